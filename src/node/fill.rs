//! `labd fill`: puts images into the layers that container nodes share, by means of an engine that has no
//! network and serves nobody else, and finds out whether nodes can use them.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::mpsc;

use super::daemon::Daemon;
use super::layers;
use crate::docker::{self, Engine};
use crate::exec::{self, Cmd};
use crate::fs::{self, Access};
use crate::images::load::{self, Blobs, Doubts};
use crate::model::image::{LAYERS_ON_NODE, LoadEvent, LoadImage, STORE_ON_NODE, SharedImage};
use crate::oci::{self, Store};
use crate::wait::{TimedOut, wait_until};

/// Written once links to these layers have worked here.
const PROBED: &str = "lab-probed";
/// An empty folder that is not itself on overlayfs.
const PROBE: &str = "/var/lib/lab/probe";
const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_mins(1);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the images to fill in could not be read")]
    Request { source: serde_json::Error },
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error(transparent)]
    Exec(#[from] exec::Error),
    #[error(transparent)]
    Docker(#[from] docker::Error),
    #[error(transparent)]
    Store(#[from] oci::Error),
    #[error(transparent)]
    Load(#[from] load::Error),
    #[error(transparent)]
    Link(#[from] layers::Error),
    #[error("the engine for shared layers does not start")]
    Slow(#[from] TimedOut),
    #[error("a node would not see the image `{name}` through links")]
    NotSeen { name: String },
    #[error("{why}")]
    Incomplete { why: String },
}

/// Fills the shared layers with `images`, as JSON, from the store.
pub async fn fill(images: &str, mut tell: impl FnMut(&LoadEvent)) -> Result<(), Error> {
    let images: Vec<SharedImage> =
        serde_json::from_str(images).map_err(|source| Error::Request { source })?;
    let shared = Utf8Path::new(LAYERS_ON_NODE);
    let store = Store::at(Utf8Path::new(STORE_ON_NODE));
    let wanted = images.iter().map(|image| read(&store, image)).collect::<Result<Vec<_>, Error>>()?;

    let daemon = Dockerd::start(shared, "fill").await?;
    let filled = daemon.load(wanted, store, &mut tell).await;
    daemon.stop().await?;
    filled?;
    if !shared.join(PROBED).exists() {
        probe(&images, shared).await?;
        fs::write(&shared.join(PROBED), "", Access::Public)?;
    }
    Ok(())
}

fn read(store: &Store, image: &SharedImage) -> Result<LoadImage, Error> {
    let wanted = store.image(&image.name, &image.manifest)?;
    let text = |digest| Ok::<_, oci::Error>(String::from_utf8_lossy(&store.read(digest)?).into_owned());
    Ok(LoadImage {
        manifest: text(&wanted.manifest.digest)?,
        config: text(&wanted.config.digest)?,
        image: wanted,
    })
}

/// Starts an engine on links as a node has them, and lets it mount an image.
async fn probe(images: &[SharedImage], shared: &Utf8Path) -> Result<(), Error> {
    let data = Utf8Path::new(PROBE);
    layers::link(images, shared, data)?;
    let daemon = Dockerd::start(data, "probe").await?;
    let seen = daemon.sees(images).await;
    daemon.stop().await?;
    seen
}

struct Dockerd {
    daemon: Daemon,
    engine: Engine,
}

impl Dockerd {
    async fn start(data: &Utf8Path, name: &str) -> Result<Self, Error> {
        let run = Utf8PathBuf::from(format!("/run/lab-{name}"));
        fs::create_dir(&run)?;
        let config = run.join("daemon.json");
        // The image's own settings are for nodes.
        fs::write(&config, "{}", Access::Public)?;
        let socket = format!("unix://{run}/docker.sock");
        let cmd = Cmd::new("dockerd").args([
            "--config-file".to_owned(),
            config.to_string(),
            format!("--data-root={data}"),
            format!("--exec-root={run}/exec"),
            format!("--pidfile={run}/docker.pid"),
            format!("--host={socket}"),
            "--storage-driver=overlay2".to_owned(),
            "--bridge=none".to_owned(),
            "--iptables=false".to_owned(),
            "--log-level=warn".to_owned(),
        ]);
        let mut daemon = Daemon::start(cmd, run.join("log"))?;
        let mut died = None;
        let answers = wait_until("the engine answers", START_LIMIT, Duration::from_millis(20), async || {
            died = daemon.has_died();
            if died.is_some() {
                return Some(None);
            }
            if !run.join("docker.sock").exists() {
                return None;
            }
            Engine::connect(Some(&socket)).await.ok().map(Some)
        });
        match answers.await? {
            Some(engine) => Ok(Self { daemon, engine }),
            None => Err(died.expect("it was just seen").into()),
        }
    }

    async fn load(
        &self,
        images: Vec<LoadImage>,
        store: Store,
        tell: &mut impl FnMut(&LoadEvent),
    ) -> Result<(), Error> {
        let (sender, mut receiver) = mpsc::channel(16);
        let doubts = Doubts::none();
        let loading = load::load(&self.engine, images, Blobs::Store(store), &doubts, sender);
        let mut end = None;
        let telling = async {
            while let Some(event) = receiver.recv().await {
                tell(&event);
                end = Some(event);
            }
        };
        let (loaded, ()) = tokio::join!(loading, telling);
        loaded?;
        match end {
            Some(LoadEvent::Done { .. }) => Ok(()),
            other => Err(Error::Incomplete { why: format!("the load ended with {other:?}") }),
        }
    }

    async fn sees(&self, images: &[SharedImage]) -> Result<(), Error> {
        let listed = load::list(&self.engine).await?;
        for image in images {
            let name = image.name.unpinned().familiar();
            let is_there = listed.iter().any(|seen| seen.id == image.id && seen.names.contains(&name));
            if !is_there || !self.engine.can_mount(&name).await? {
                return Err(Error::NotSeen { name });
            }
        }
        Ok(())
    }

    async fn stop(self) -> Result<(), Error> {
        Ok(self.daemon.stop(STOP_LIMIT).await?)
    }
}
