//! Builds images from folders, by the builder that every engine has in itself.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::time::Duration;

use bollard::models::BuildInfo;
use bollard::query_parameters::BuildImageOptionsBuilder;
use bollard::{body_full, body_try_stream};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio_util::bytes::Bytes;

use super::{Engine, Error, Labels};

/// An engine may answer only when it has the whole folder.
const SEND_LIMIT: Duration = Duration::from_hours(2);
/// How much of the builder's output is kept for an error.
const LOG_LINES: usize = 12;

/// An image to build: a folder as a tar archive, with a Dockerfile in it.
#[derive(Debug)]
pub struct Build {
    pub tag: String,
    pub context: BuildContext,
    /// Where in the folder it is.
    pub dockerfile: String,
    pub args: Vec<(String, String)>,
    /// The stage to build, if not the last.
    pub target: Option<String>,
    /// Such as `linux/arm64`, if not what the engine runs on.
    pub platform: Option<String>,
    pub labels: Labels,
    /// Whether no step of an earlier build is taken for one of this.
    pub is_fresh: bool,
}

/// The tar archive.
pub enum BuildContext {
    Memory(Vec<u8>),
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

impl fmt::Debug for BuildContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Stream(_) => f.write_str("a stream"),
        }
    }
}

impl Build {
    pub fn new(tag: impl Into<String>, context: BuildContext) -> Self {
        Self {
            tag: tag.into(),
            context,
            dockerfile: "Dockerfile".to_owned(),
            args: Vec::new(),
            target: None,
            platform: None,
            labels: Labels::new(),
            is_fresh: false,
        }
    }
}

impl Engine {
    /// Builds an image and hands each line of the builder's output to `on_line`. Returns its id. The
    /// engine stops building when this is dropped.
    pub async fn build_image(&self, build: Build, mut on_line: impl FnMut(&str)) -> Result<String, Error> {
        let options = BuildImageOptionsBuilder::new()
            .t(&build.tag)
            .dockerfile(&build.dockerfile)
            .buildargs(&build.args.into_iter().collect::<HashMap<String, String>>())
            .labels(&build.labels.into_iter().collect::<HashMap<String, String>>())
            .target(build.target.as_deref().unwrap_or_default())
            .platform(build.platform.as_deref().unwrap_or_default())
            .nocache(build.is_fresh)
            .rm(true)
            .forcerm(true)
            .build();
        let body = match build.context {
            BuildContext::Memory(bytes) => body_full(bytes.into()),
            BuildContext::Stream(stream) => body_try_stream(stream),
        };
        let api = self.api.clone().with_timeout(SEND_LIMIT);
        let mut steps = std::pin::pin!(api.build_image(options, None, Some(body)));
        let (mut log, mut id) = (Log::default(), None);
        while let Some(step) = steps.next().await {
            let step = step.map_err(|source| failed(&build.tag, source, &log))?;
            if let Some(detail) = step.error_detail {
                let message = detail.message.unwrap_or_default();
                return Err(Error::Build { tag: build.tag, message, log: log.last_lines() });
            }
            id = step.aux.as_ref().and_then(|aux| aux.id.clone()).or(id);
            for line in lines(&step) {
                on_line(line);
                log.add(line);
            }
        }
        let message = || "the engine does not say which image it made".to_owned();
        id.ok_or_else(|| Error::Build { tag: build.tag, message: message(), log: log.last_lines() })
    }
}

/// Returns what a step of the build says: output of the builder, or how a base image comes along.
fn lines(step: &BuildInfo) -> impl Iterator<Item = &str> {
    // How many bytes of a layer came is told many times a second.
    let is_counting = step.progress_detail.as_ref().is_some_and(|detail| detail.current.is_some());
    let status = step.status.as_deref().filter(|_| !is_counting);
    let output = step.stream.as_deref().into_iter().flat_map(str::lines);
    output.chain(status).filter(|line| !line.trim().is_empty())
}

fn failed(tag: &str, source: bollard::errors::Error, log: &Log) -> Error {
    match Error::of(format!("build the image `{tag}`"))(source) {
        Error::Refused { source, .. } => {
            let message = match *source {
                bollard::errors::Error::DockerStreamError { error: message }
                | bollard::errors::Error::DockerResponseServerError { message, .. } => message,
                other => other.to_string(),
            };
            Error::Build { tag: tag.to_owned(), message, log: log.last_lines() }
        }
        lost => lost,
    }
}

/// The last lines of a build, however long it talks.
#[derive(Default)]
struct Log(std::collections::VecDeque<String>);

impl Log {
    fn add(&mut self, line: &str) {
        if self.0.len() == LOG_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line.to_owned());
    }

    fn last_lines(&self) -> String {
        self.0.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    #[test]
    fn a_log_keeps_its_end() {
        let mut log = Log::default();
        (1..=100).for_each(|number| log.add(&number.to_string()));
        assert_eq!(log.last_lines().lines().collect::<Vec<_>>().len(), LOG_LINES);
        assert!(log.last_lines().starts_with("89\n") && log.last_lines().ends_with("\n100"));
    }

    #[test]
    fn bytes_that_are_counted_are_no_output() {
        let output = BuildInfo { stream: Some("Step 1\n\n ---> a\n".to_owned()), ..BuildInfo::default() };
        assert_eq!(lines(&output).collect::<Vec<_>>(), ["Step 1", " ---> a"]);
        let status = |current| BuildInfo {
            status: Some("Downloading".to_owned()),
            progress_detail: Some(ProgressDetail { current, total: None }),
            ..BuildInfo::default()
        };
        assert_eq!(lines(&status(Some(7))).count(), 0);
        assert_eq!(lines(&status(None)).collect::<Vec<_>>(), ["Downloading"]);
    }
}
