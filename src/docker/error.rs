//! What can go wrong with an engine, and what to do about it.

use bollard::errors::Error as Api;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no Docker engine answers at `{host}`")]
    Unreachable { host: String, source: Box<Api> },
    #[error("the Docker engine at `{host}` is version {version}, which is too old")]
    TooOld { host: String, version: String },
    #[error("the Docker engine could not {what}")]
    Refused { what: String, source: Box<Api> },
    #[error("the Docker engine stopped answering while it was to {what}")]
    Lost { what: String, source: Box<Api> },
    /// Not the engine failed, but what it was to be given.
    #[error("the data ended with which the Docker engine was to {what}")]
    Fed { what: String, source: std::io::Error },
    #[error("the Docker engine is slow")]
    Slow { source: crate::wait::TimedOut },
    #[error("building the image `{tag}` failed: {message}{}", indented(log))]
    Build { tag: String, message: String, log: String },
}

fn indented(log: &str) -> String {
    log.lines().map(|line| format!("\n    {line}")).collect()
}

impl Error {
    /// Returns an error of what was asked of an engine that had answered before.
    pub(super) fn of(what: impl Into<String>) -> impl FnOnce(Api) -> Self {
        let what = what.into();
        move |source| match source {
            Api::DockerResponseServerError { .. } | Api::DockerStreamError { .. } => {
                Self::Refused { what, source: Box::new(source) }
            }
            _ => Self::Lost { what, source: Box::new(source) },
        }
    }

    fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { source, .. } => match **source {
                Api::DockerResponseServerError { status_code, .. } => Some(status_code),
                _ => None,
            },
            _ => None,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Unreachable { source, .. } | Self::Refused { source, .. } | Self::Lost { source, .. } => {
                whole(source.as_ref())
            }
            Self::Build { message, log, .. } => format!("{message}\n{log}"),
            Self::TooOld { .. } | Self::Fed { .. } | Self::Slow { .. } => String::new(),
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Returns whether the thing is already as it was to become, or is on its way there.
    pub fn is_already_so(&self) -> bool {
        matches!(self.status(), Some(304 | 409))
    }

    /// Returns whether the addresses of a network were taken by another in the meantime.
    pub fn is_subnet_taken(&self) -> bool {
        self.message().contains("Pool overlaps")
    }

    /// Returns whether something else has the name, or still uses the thing.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }

    /// Returns whether a container was to be thawed that is not frozen.
    pub(super) fn is_not_paused(&self) -> bool {
        self.message().contains("is not paused")
    }

    pub fn is_engine_gone(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Lost { .. })
    }

    pub fn hint(&self) -> Option<String> {
        if let Self::TooOld { .. } = self {
            return Some("Docker 20.10 (API 1.41) or later is needed: upgrade it".to_owned());
        }
        let message = self.message();
        let told = CURES.iter().find(|(symptom, _)| message.contains(symptom)).map(|(_, cure)| *cure);
        told.or(self.is_engine_gone().then_some(START_ENGINE)).map(str::to_owned)
    }
}

/// Returns an error with all that it comes from: what matters is often the last.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

const START_ENGINE: &str =
    "start the engine (`sudo systemctl start docker`, or Docker Desktop), or name another with DOCKER_HOST";

/// What engines say, and what helps.
const CURES: &[(&str, &str)] = &[
    (
        "ssh://",
        "lab needs an engine at a socket or over tcp; `unset DOCKER_HOST`, or say where it is with LAB_DOCKER_HOST",
    ),
    (
        "ermission denied",
        "you may not use the engine's socket: `sudo usermod -aG docker $USER` and log in again, or use sudo",
    ),
    (
        "no space left on device",
        "the engine's disk is full: `docker system df` shows what takes it, `docker image prune && docker builder prune` frees some",
    ),
    (
        "requires BuildKit",
        "the engine's own builder cannot do this: build it with `docker build -t NAME`, and say `engine = \"NAME\"` in its table in lab.toml",
    ),
    (
        "Pool overlaps",
        "another network took the lab's addresses: `lab doctor` shows which; choose one with `--subnet`",
    ),
    ("port is already allocated", "another process took the port in the same moment: run the command again"),
    ("address already in use", "another process took the port in the same moment: run the command again"),
    (
        "could not find bridge",
        "the engine lost its bridges, as after a crash: restart the engine and run the command again",
    ),
    (
        "operation not permitted",
        "the engine itself lacks the right to do so: `lab doctor` shows which capability is missing",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status_code: u16, message: &str) -> Error {
        Error::of("start `x`")(Api::DockerResponseServerError { status_code, message: message.to_owned() })
    }

    #[test]
    fn a_full_disk_and_a_lost_engine_have_different_cures() {
        let full = refused(500, "write /var/lib/docker/x: no space left on device");
        assert!(full.hint().unwrap().contains("disk is full"));
        assert!(!full.is_engine_gone());
        let lost = Error::of("start `x`")(Api::RequestTimeoutError);
        assert!(lost.is_engine_gone());
        assert!(lost.hint().unwrap().contains("start the engine"));
    }

    #[test]
    fn absent_and_already_done_are_told_apart() {
        assert!(refused(404, "no such container").is_not_found());
        assert!(refused(304, "").is_already_so());
        assert!(!refused(500, "").is_already_so());
        assert_eq!(refused(500, "x").hint(), None);
    }
}
