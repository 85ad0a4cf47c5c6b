//! Exit codes: the only place that gives them, documented in `lab --help` and docs/exit-codes.md.

use crate::config;
use crate::{docker, ops, provider};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    Failed,
    /// What was typed, or a file, makes no sense.
    Usage,
    /// The lab exists and does not serve in full.
    Unhealthy,
    /// There is no such lab or node.
    NotFound,
    /// Another command works on the lab.
    Locked,
    /// This host lacks something: an engine, a right, a program.
    Missing,
    TimedOut,
    /// It would destroy something and nobody said yes.
    NotConfirmed,
    Interrupted,
    /// A command on a node ended with this code.
    Command(u8),
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unhealthy => 3,
            Self::NotFound => 4,
            Self::Locked => 5,
            Self::Missing => 6,
            Self::TimedOut => 7,
            Self::NotConfirmed => 8,
            Self::Interrupted => 130,
            Self::Command(code) => code,
        }
    }

    /// Returns the code of whatever the error's chain tells first.
    pub fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(Self::of_link).unwrap_or(Self::Failed)
    }

    fn of_link(link: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(error) = link.downcast_ref::<ops::Error>() {
            return Self::of_ops(error);
        }
        if let Some(error) = link.downcast_ref::<config::LockError>() {
            return Some(match error {
                config::LockError::Busy { .. } => Self::Locked,
                config::LockError::Stopped { .. } => Self::Interrupted,
                _ => Self::Failed,
            });
        }
        if link.is::<config::Error>() || link.is::<config::Problems>() {
            return Some(Self::Usage);
        }
        link.downcast_ref::<docker::Error>().map(Self::of_docker)
    }

    fn of_ops(error: &ops::Error) -> Option<Self> {
        use ops::Error as E;
        Some(match error {
            E::Interrupted => Self::Interrupted,
            E::NoLab { .. }
            | E::NoNode { .. }
            | E::NoImage { .. }
            | E::NoUnit { .. }
            | E::NoUnitFile { .. }
            | E::NoMachine { .. } => Self::NotFound,
            E::Silent { .. } | E::NotServing { .. } => Self::TimedOut,
            E::Unfinished { failures, .. } if failures.iter().all(|failure| failure.is_late) => {
                Self::TimedOut
            }
            E::Name(_)
            | E::ImageName(_)
            | E::NotPulled { .. }
            | E::Stack(_)
            | E::Subnet(_)
            | E::OtherPrefix { .. }
            | E::BadCopy { .. }
            | E::UnitFile { .. }
            | E::UnitNeeds { .. }
            | E::Provider(
                provider::Error::SubnetTaken { .. }
                | provider::Error::SubnetRefused { .. }
                | provider::Error::OtherProvider { .. },
            ) => Self::Usage,
            E::Provider(provider::Error::Docker(source)) => Self::of_docker(source),
            E::Provider(
                provider::Error::Capability { .. }
                | provider::Error::NoKvm { .. }
                | provider::Error::NoEngine,
            )
            | E::Box(ops::BoxError::Arch | ops::BoxError::Tools { .. }) => Self::Missing,
            E::Box(ops::BoxError::Add { source }) if source.is_program_missing() => Self::Missing,
            E::Provider(provider::Error::Vagrant(source)) if source.is_something_missing() => Self::Missing,
            E::Node { source, .. } => return Self::of_ops(source),
            E::Several { errors, .. } => return errors.iter().find_map(Self::of_ops),
            _ => Self::Failed,
        })
    }

    fn of_docker(error: &docker::Error) -> Self {
        match error {
            docker::Error::Unreachable { .. } | docker::Error::TooOld { .. } => Self::Missing,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Exit as E;
    use super::*;
    use crate::model::{LabName, NodeName};

    #[track_caller]
    fn check(error: impl std::error::Error + Send + Sync + 'static, want: u8) {
        assert_eq!(Exit::of(&anyhow::Error::new(error).context("could not do it")).code(), want);
    }

    #[test]
    fn each_class_of_error_has_its_code() {
        let node = || NodeName::parse("core-01").unwrap();
        check(ops::Error::Interrupted, 130);
        check(ops::Error::NoLab { lab: LabName::parse("web").unwrap() }, 4);
        check(ops::Error::KeysGone { lab: LabName::parse("web").unwrap() }, 1);
        check(ops::Error::Silent { node: node(), limit: std::time::Duration::ZERO }, 7);
        check(
            ops::Error::Node { node: node(), what: "boot", source: Box::new(ops::Error::Interrupted) },
            130,
        );
        check(docker::Error::TooOld { host: String::new(), version: String::new() }, 6);
        check(std::io::Error::other("x"), 1);
    }

    #[test]
    fn the_page_about_exit_codes_lists_them_all() {
        let page = include_str!("../../docs/exit-codes.md");
        for exit in [
            E::Done,
            E::Failed,
            E::Usage,
            E::Unhealthy,
            E::NotFound,
            E::Locked,
            E::Missing,
            E::TimedOut,
            E::NotConfirmed,
            E::Interrupted,
        ] {
            assert!(page.contains(&format!("| {} |", exit.code())), "{exit:?}");
        }
    }
}
