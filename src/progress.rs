//! News of long work, for whoever shows it: a terminal, a log, a program.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Begun,
    Changed,
    /// How far something is, many times a second.
    Advanced,
    /// A line that a tool printed on the way.
    Output,
    Done,
    Failed,
    /// Something to know that belongs to no step.
    Note,
}

#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// The same for all news of one step; 0 for a note.
    pub step: u64,
    pub kind: Kind,
    /// What it is about: a node's name, `image`, `network`.
    pub subject: String,
    pub text: String,
    pub elapsed_ms: u64,
}

/// Takes events; cheap to clone and to share.
#[derive(Clone)]
pub struct Progress {
    sink: Arc<dyn Fn(Event) + Send + Sync>,
    last: Arc<AtomicU64>,
}

impl Progress {
    pub fn new(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self { sink: Arc::new(sink), last: Arc::default() }
    }

    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    pub fn begin(&self, subject: impl Into<String>, text: impl Into<String>) -> Step {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let step = Step { progress: self.clone(), id, subject: subject.into(), since: Instant::now() };
        step.tell(Kind::Begun, text.into());
        step
    }

    pub fn note(&self, subject: impl Into<String>, text: impl Into<String>) {
        let (subject, text) = (subject.into(), text.into());
        (self.sink)(Event { step: 0, kind: Kind::Note, subject, text, elapsed_ms: 0 });
    }
}

/// One piece of work under way.
pub struct Step {
    progress: Progress,
    id: u64,
    subject: String,
    since: Instant,
}

impl Step {
    fn tell(&self, kind: Kind, text: String) {
        let elapsed_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        (self.progress.sink)(Event { step: self.id, kind, subject: self.subject.clone(), text, elapsed_ms });
    }

    pub fn change(&self, text: impl Into<String>) {
        self.tell(Kind::Changed, text.into());
    }

    pub fn advance(&self, text: impl Into<String>) {
        self.tell(Kind::Advanced, text.into());
    }

    /// Returns a way to tell how far it is from elsewhere.
    pub fn news(&self) -> impl Fn(String) + Send + 'static {
        let (progress, id, subject, since) =
            (self.progress.clone(), self.id, self.subject.clone(), self.since);
        move |text| Self { progress: progress.clone(), id, subject: subject.clone(), since }.advance(text)
    }

    pub fn output(&self, line: impl Into<String>) {
        self.tell(Kind::Output, line.into());
    }

    pub fn done(self, text: impl Into<String>) {
        self.tell(Kind::Done, text.into());
    }

    pub fn failed(self, text: impl Into<String>) {
        self.tell(Kind::Failed, text.into());
    }
}
