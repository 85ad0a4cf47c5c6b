//! What an examination says.

use camino::Utf8PathBuf;
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Fine,
    /// Worth knowing; nothing has to be done.
    Note,
    /// Some labs will not work, or not well.
    Warning,
    /// No lab will work.
    Problem,
}

/// What one check found. A warning and a problem have a cure, always.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    pub says: String,
    /// One line for the shell.
    pub cure: Option<String>,
    /// What [`super::mend`] can do about it.
    pub fix: Option<Fix>,
}

/// A cure that harms nobody and can be done unasked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fix {
    /// Raises the limits to these, and never lowers one. Lasts until the next boot.
    RaiseInotify {
        instances: u64,
        watches: u64,
    },
    /// Lets the kernel forward packets. Lasts until the next boot.
    ForwardPackets,
    CreateFolder {
        path: Utf8PathBuf,
    },
    StartDocker,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, says: impl Into<String>) -> Self {
        Self { check, verdict, says: says.into(), cure: None, fix: None }
    }

    pub(super) fn fine(check: &'static str, says: impl Into<String>) -> Self {
        Self::new(check, Verdict::Fine, says)
    }

    pub(super) fn note(check: &'static str, says: impl Into<String>) -> Self {
        Self::new(check, Verdict::Note, says)
    }

    pub(super) fn warning(check: &'static str, says: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warning, says).cured_by(cure)
    }

    pub(super) fn problem(check: &'static str, says: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(check, Verdict::Problem, says).cured_by(cure)
    }

    pub(super) fn cured_by(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }

    pub(super) fn fixed_by(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }
}
