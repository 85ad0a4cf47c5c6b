//! Gives an engine the images that it lacks, and no layer that it has. The same code loads images on
//! nodes, where `labd` runs it, and into the engine of this host.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use camino::Utf8PathBuf;
use futures_util::StreamExt;
use futures_util::stream::{iter, unfold};
use tokio::sync::mpsc;

use super::cache::Cache;
use super::record::Record;
use crate::docker::{self, Engine};
use crate::fs;
use crate::http::Bytes;
use crate::model::image::{Digest, LoadEvent, LoadImage, Manifest, NodeImage, WantedImage};
use crate::oci::{
    self, EngineImage, EngineImages, EngineKind, LoadPlan, Store, StoreSource, StreamSource, Texts, pieces,
    write_pieces,
};

/// Large enough to be quick, small enough to hold several.
const CHUNK: usize = 1 << 18;
const CHUNKS_UNDER_WAY: usize = 4;
/// Images are asked for their layers, this many at once.
const AT_ONCE: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Docker(#[from] docker::Error),
    #[error(transparent)]
    Store(#[from] oci::Error),
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error("other images came while these were on their way")]
    Overtaken,
}

/// Where the blobs of a load come from.
pub enum Blobs {
    Store(Store),
    /// They follow one behind the other.
    Stream {
        digests: Vec<Digest>,
        bytes: Box<dyn Read + Send>,
    },
}

impl Blobs {
    fn store(&self) -> Option<Store> {
        match self {
            Self::Store(store) => Some(store.clone()),
            Self::Stream { .. } => None,
        }
    }
}

/// Remembers which loads may have been cut off in an engine that lists an image before it is whole.
#[derive(Debug, Clone)]
pub struct Doubts {
    path: Option<Utf8PathBuf>,
}

impl Doubts {
    pub fn at(path: impl Into<Utf8PathBuf>) -> Self {
        Self { path: Some(path.into()) }
    }

    /// Forgets everything, for an engine that is asked to load by one process only.
    pub fn none() -> Self {
        Self { path: None }
    }

    fn read(&self) -> Result<BTreeSet<Digest>, fs::Error> {
        let text = self.path.as_deref().map(fs::read_if_present).transpose()?.flatten();
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    fn write(&self, doubts: &BTreeSet<Digest>) -> Result<(), fs::Error> {
        let Some(path) = &self.path else { return Ok(()) };
        if doubts.is_empty() {
            return fs::remove_file(path);
        }
        let json = serde_json::to_string(doubts).expect("digests are plain data");
        fs::write(path, json, fs::Access::Public)
    }
}

/// Lists the images of an engine.
pub async fn list(engine: &Engine) -> Result<Vec<NodeImage>, docker::Error> {
    let listed = engine.images().await?;
    let image = |image: docker::ListedImage| {
        Some(NodeImage { id: Digest::parse(&image.id).ok()?, names: image.names })
    };
    Ok(listed.into_iter().filter_map(image).collect())
}

/// Sees to it that an engine has these images. What happens is told on the way; the last that is told
/// is the end of it.
pub async fn load(
    engine: &Engine,
    images: Vec<LoadImage>,
    blobs: Blobs,
    doubts: &Doubts,
    tell: mpsc::Sender<LoadEvent>,
) -> Result<(), Error> {
    let load = Load { engine, doubts, tell: tell.clone() };
    let end = match load.run(images, blobs).await {
        Err(Error::Store(error)) if error.bad_blob().is_some() => {
            LoadEvent::Broken { digest: error.bad_blob().expect("it was looked at") }
        }
        end => end?,
    };
    // Whoever does not listen any more does not want to know.
    drop(tell.send(end).await);
    Ok(())
}

/// Loads an image of the cache into the engine.
pub(super) async fn give(engine: &Engine, cache: &Cache, record: &Record) -> Result<(), Error> {
    let image = cache.load_image(record, &record.name)?;
    let (sender, mut receiver) = mpsc::channel(16);
    let (blobs, doubts) = (Blobs::Store(cache.store().clone()), Doubts::none());
    let loading = load(engine, vec![image], blobs, &doubts, sender);
    let listening = async {
        let mut last = None;
        while let Some(event) = receiver.recv().await {
            last = Some(event);
        }
        last
    };
    let (loaded, last) = tokio::join!(loading, listening);
    loaded?;
    if let Some(LoadEvent::Broken { digest }) = last {
        // Whoever needs it finds it missing, and makes it again.
        cache.store().discard(&digest)?;
    }
    Ok(())
}

struct Load<'a> {
    engine: &'a Engine,
    doubts: &'a Doubts,
    tell: mpsc::Sender<LoadEvent>,
}

impl Load<'_> {
    async fn run(&self, images: Vec<LoadImage>, blobs: Blobs) -> Result<LoadEvent, Error> {
        let wanted: Vec<WantedImage> = images.iter().map(|image| image.image.clone()).collect();
        let doubted = self.doubts.read()?;
        let seen = self.survey(&wanted, &doubted, blobs.store()).await?;
        let plan = oci::plan(&wanted, &seen, &doubted);
        if plan.tasks.is_empty() {
            return Ok(LoadEvent::Done { loaded: Vec::new(), bytes: 0 });
        }
        if let Some(end) = check_blobs(&plan, &blobs)? {
            return Ok(end);
        }
        self.tell_plan(&plan).await;
        // An engine with a storage driver takes a load as a whole or not at all.
        if plan.kind == EngineKind::Containerd {
            self.doubts.write(&doubted.union(&manifests(&plan)).copied().collect())?;
        }
        self.send(&plan, images, blobs).await?;
        if let Some(why) = self.complaint(&plan).await? {
            self.doubts.write(&doubted.union(&manifests(&plan)).copied().collect())?;
            return Ok(LoadEvent::Again { why });
        }
        self.doubts.write(&doubted.difference(&manifests(&plan)).copied().collect())?;
        self.forget_old(&plan).await?;
        let loaded = plan.tasks.iter().map(|task| task.image.name.clone()).collect();
        Ok(LoadEvent::Done { loaded, bytes: plan.bytes() })
    }

    async fn tell_plan(&self, plan: &LoadPlan) {
        let planned = LoadEvent::Planned {
            images: plan.tasks.iter().map(|task| task.image.name.clone()).collect(),
            send: plan.bytes(),
            skip: plan.skipped_bytes(),
            layers: plan.send.len(),
            skipped: plan.skip.len(),
        };
        drop(self.tell.send(planned).await);
    }

    /// Looks what the engine has, more closely only if something is missing.
    async fn survey(
        &self,
        wanted: &[WantedImage],
        doubted: &BTreeSet<Digest>,
        store: Option<Store>,
    ) -> Result<EngineImages, Error> {
        let listed = list(self.engine).await?;
        let images =
            listed.into_iter().map(|image| EngineImage { id: image.id, names: image.names }).collect();
        let mut seen =
            EngineImages { kind: EngineKind::Graph, images, chains: BTreeSet::new(), blobs: BTreeSet::new() };
        if oci::plan(wanted, &seen, doubted).tasks.is_empty() {
            return Ok(seen);
        }
        let is_containerd = self.engine.image_store().await?.is_containerd;
        seen.kind = if is_containerd { EngineKind::Containerd } else { EngineKind::Graph };
        match seen.kind {
            EngineKind::Graph => seen.chains = self.chains(&seen.images).await?,
            EngineKind::Containerd => seen.blobs = known_blobs(wanted, &seen.images, doubted, store.as_ref()),
        }
        Ok(seen)
    }

    async fn chains(&self, images: &[EngineImage]) -> Result<BTreeSet<Digest>, Error> {
        // A closure that lends the engine to its futures is not general enough for the compiler.
        let asked: Vec<_> = images.iter().map(|image| ask(self.engine.clone(), image.id)).collect();
        let answers: Vec<_> = iter(asked).buffer_unordered(AT_ONCE).collect().await;
        let mut chains = BTreeSet::new();
        for diff_ids in answers {
            let mut parent = None;
            for diff_id in diff_ids?.iter().map_while(|diff_id| Digest::parse(diff_id).ok()) {
                parent = Some(Digest::chained(parent.as_ref(), &diff_id));
                chains.extend(parent);
            }
        }
        Ok(chains)
    }

    async fn send(&self, plan: &LoadPlan, images: Vec<LoadImage>, blobs: Blobs) -> Result<(), Error> {
        let texts = |task: &oci::LoadTask| {
            let image =
                images.iter().find(|image| image.image == task.image).expect("tasks are made of images");
            Texts { manifest: image.manifest.clone().into_bytes(), config: image.config.clone().into_bytes() }
        };
        let texts: Vec<Texts> = plan.tasks.iter().map(texts).collect();
        let pieces = pieces(plan, &texts);
        let (sender, receiver) = mpsc::channel(CHUNKS_UNDER_WAY);
        let body = unfold((receiver, self.tell.clone(), 0), |(mut receiver, tell, sent)| async move {
            let chunk: io::Result<Bytes> = mpsc::Receiver::recv(&mut receiver).await?;
            let sent = sent + chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
            // News that nobody takes in time is of no use later.
            drop(tell.try_send(LoadEvent::Sent { bytes: sent }));
            Some((chunk, (receiver, tell, sent)))
        });
        let writing = tokio::task::spawn_blocking(move || {
            let to = io::BufWriter::with_capacity(CHUNK, ChunkWriter { sender: sender.clone() });
            let written = match blobs {
                Blobs::Store(store) => write_pieces(&pieces, &mut StoreSource(&store), to),
                Blobs::Stream { bytes, .. } => write_pieces(&pieces, &mut StreamSource(bytes), to),
            };
            if written.is_err() {
                // Without it the engine would take the stream for a whole one.
                drop(sender.blocking_send(Err(io::Error::other("the images could not be read"))));
            }
            written
        });
        let loaded = self.engine.load_images(body).await;
        let written = writing.await.expect("the writer does not panic");
        match (loaded, written) {
            // What the writer says is the cause, if it was not the engine that hung up.
            (_, Err(error)) if error.bad_blob().is_some() => Err(error.into()),
            (Err(error), _) => Err(error.into()),
            (Ok(()), written) => Ok(written?),
        }
    }

    /// Returns what the engine has not, though it took the load.
    async fn complaint(&self, plan: &LoadPlan) -> Result<Option<String>, Error> {
        let listed = list(self.engine).await?;
        for task in &plan.tasks {
            let name = task.image.name.unpinned().familiar();
            let id = listed.iter().find(|image| image.names.contains(&name)).map(|image| image.id);
            if !id.is_some_and(|id| task.image.is_called(&id)) {
                return Ok(Some(format!("the engine took `{name}` and does not have it")));
            }
            let is_containerd = plan.kind == EngineKind::Containerd;
            if is_containerd && self.engine.is_image_whole(&name).await? == Some(false) {
                return Ok(Some(format!("the engine has `{name}` in parts only")));
            }
        }
        Ok(None)
    }

    /// Removes what the names meant before, if nothing else uses it.
    async fn forget_old(&self, plan: &LoadPlan) -> Result<(), Error> {
        let old: BTreeSet<Digest> = plan.tasks.iter().filter_map(|task| task.before).collect();
        if old.is_empty() {
            return Ok(());
        }
        for image in list(self.engine).await? {
            if old.contains(&image.id) && image.names.is_empty() {
                self.engine.remove_image(&image.id.to_string()).await?;
            }
        }
        Ok(())
    }
}

async fn ask(engine: Engine, id: Digest) -> Result<Vec<String>, docker::Error> {
    // One that was removed in this moment has no layers.
    Ok(engine.image_layers(&id.to_string()).await?.unwrap_or_default())
}

fn manifests(plan: &LoadPlan) -> BTreeSet<Digest> {
    plan.tasks.iter().map(|task| task.image.manifest.digest).collect()
}

/// An engine that names images by their manifests has the blobs of those whose manifests we know.
fn known_blobs(
    wanted: &[WantedImage],
    images: &[EngineImage],
    doubted: &BTreeSet<Digest>,
    store: Option<&Store>,
) -> BTreeSet<Digest> {
    let mut known = BTreeSet::new();
    for id in images.iter().map(|image| image.id).filter(|id| !doubted.contains(id)) {
        if let Some(image) = wanted.iter().find(|image| image.manifest.digest == id) {
            known.extend(image.layers.iter().map(|layer| layer.blob.digest));
        } else if let Some(store) = store
            && let Some(manifest) = store.read(&id).ok().and_then(|bytes| Manifest::parse(&bytes).ok())
        {
            known.extend(manifest.layers.iter().map(|layer| layer.digest));
        }
    }
    known
}

/// Returns how the load ends before it begins, if blobs are out of reach.
fn check_blobs(plan: &LoadPlan, blobs: &Blobs) -> Result<Option<LoadEvent>, Error> {
    let needed = plan.send.iter().map(|layer| layer.blob.clone());
    match blobs {
        Blobs::Store(store) if !plan.send.iter().all(|layer| store.has(&layer.blob)) => {
            Ok(Some(LoadEvent::Needs { blobs: needed.collect() }))
        }
        Blobs::Stream { digests, .. } if !needed.map(|blob| blob.digest).eq(digests.iter().copied()) => {
            Err(Error::Overtaken)
        }
        _ => Ok(None),
    }
}

/// Hands what is written over to a stream.
struct ChunkWriter {
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.sender.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
