//! Waits for changes of the files that images are made of.

use std::time::Duration;

use anyhow::Context as _;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::config::Settings;
use crate::model::image::ImageSource;

/// Editors write a file in several steps, and a checkout writes many.
const QUIET: Duration = Duration::from_millis(300);

/// Changes below the folders that images are built from.
pub struct Changes {
    changed: UnboundedReceiver<String>,
    _watcher: RecommendedWatcher,
}

impl Changes {
    pub fn of(settings: &Settings) -> anyhow::Result<Self> {
        let (sender, changed) = unbounded_channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            // Reading a file, as a build does, is no change.
            if !matches!(event.kind, EventKind::Access(_))
                && let Some(path) = event.paths.first()
            {
                drop(sender.send(path.display().to_string()));
            }
        })
        .context("could not watch files")?;
        for image in &settings.images {
            let (path, mode) = match &image.source {
                ImageSource::Build(build) => (&build.folder, RecursiveMode::Recursive),
                ImageSource::Archive { path, .. } => (path, RecursiveMode::NonRecursive),
                ImageSource::Registry { .. } | ImageSource::Engine { .. } => continue,
            };
            watcher.watch(path.as_std_path(), mode).with_context(|| format!("could not watch `{path}`"))?;
        }
        Ok(Self { changed, _watcher: watcher })
    }

    /// Waits for a change, and until no more follow it. Returns what changed first.
    pub async fn next(&mut self) -> Option<String> {
        let first = self.changed.recv().await?;
        while let Ok(Some(_)) = timeout(QUIET, self.changed.recv()).await {}
        Some(first)
    }
}
