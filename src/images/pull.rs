//! Brings an image from its registry into the store: only the layers that the store lacks, several at a
//! time, each going on where an earlier run was cut.

mod part;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use self::part::{Content, Part};
use crate::fs;
use crate::model::Bytes;
use crate::model::image::{BadImage, Descriptor, Digest, ImageConfig, ImageName, Manifest, Platform, media};
use crate::oci::{self, Store, StoredLayer};
use crate::progress::Step;
use crate::registry::{self, Client, Found, Schema1, WantedBlob};
use crate::wait::{TimedOut, wait_until};

/// As many as Docker fetches at a time.
const PARALLEL: usize = 4;
/// Chunks have up to 400 kB: what waits to be written stays below two megabytes for each layer.
const WAITING_CHUNKS: usize = 4;
const NEWS: Duration = Duration::from_millis(200);
/// How often to look whether another `lab` is done with a layer.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Longer than any layer takes that still comes.
const TURN_LIMIT: Duration = Duration::from_hours(2);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Store(#[from] oci::Error),
    #[error(transparent)]
    Slow(#[from] TimedOut),
    #[error("the layer {blob} of `{name}` is not the one that its configuration speaks of")]
    WrongLayer { name: String, blob: Digest },
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(source) => source.hint(),
            Self::Store(source) => source.hint(),
            Self::Slow(_) => Some("end the other `lab` that pulls the same image, and repeat".to_owned()),
            Self::WrongLayer { .. } => Some("who made the image has to push it again".to_owned()),
        }
    }
}

/// An image that is in the store now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// What the reference meant in its registry; of several platforms' images, that of their index.
    pub digest: Digest,
    /// The manifest in the store, which is the registry's own if all layers are stored as it has them.
    pub manifest: Descriptor,
    /// The digest of its configuration.
    pub id: Digest,
    /// How many bytes of layers came over the network.
    pub transferred: u64,
}

/// Pulls an image for a platform; that of this host, unless told.
///
/// Whoever calls holds the store's lock, shared, until it is written down somewhere that the image is used.
pub async fn pull(
    store: &Store,
    client: &Client,
    name: &ImageName,
    platform: Option<&Platform>,
    step: &Step,
) -> Result<Pulled, Error> {
    let platform = platform.cloned().unwrap_or_else(registry::host_platform);
    let resolved = client.resolve(name, &platform).await?;
    let pull = Pull { store, client, name, step, tally: Arc::default() };
    let (manifest, id) = match resolved.found {
        Found::Image { bytes, descriptor, manifest } => {
            pull.image(&platform, bytes, descriptor, &manifest).await?
        }
        Found::Schema1(manifest) => pull.schema1(&platform, manifest).await?,
    };
    let transferred = pull.tally.bytes.load(Ordering::Relaxed);
    Ok(Pulled { digest: resolved.digest, manifest, id, transferred })
}

/// One pull under way.
struct Pull<'a> {
    store: &'a Store,
    client: &'a Client,
    name: &'a ImageName,
    step: &'a Step,
    tally: Arc<Tally>,
}

/// A layer that the image has. Manifests of schema 1 do not say what it is unpacked.
#[derive(Clone, Copy)]
struct Need {
    blob: WantedBlob,
    diff_id: Option<Digest>,
}

impl Pull<'_> {
    async fn image(
        &self,
        platform: &Platform,
        bytes: Vec<u8>,
        descriptor: Descriptor,
        manifest: &Manifest,
    ) -> Result<(Descriptor, Digest), Error> {
        let config = ImageConfig::parse(&self.config(&manifest.config).await?).map_err(self.bad_image())?;
        self.client.check_platform(self.name, &config, platform)?;
        let (layers, diff_ids) = (&manifest.layers, &config.rootfs.diff_ids);
        if layers.len() != diff_ids.len() {
            let (layers, diff_ids) = (layers.len(), diff_ids.len());
            return Err(self.bad_image()(BadImage::LayerCount { layers, diff_ids }));
        }
        let needs = layers.iter().zip(diff_ids).map(|(layer, diff_id)| Need {
            blob: WantedBlob { digest: layer.digest, size: Some(layer.size) },
            diff_id: Some(*diff_id),
        });
        let stored = self.layers(needs.collect()).await?;
        let is_same = stored.iter().zip(layers).all(|(stored, layer)| stored.blob.digest == layer.digest);
        let id = manifest.config.digest;
        if is_same {
            self.store.put(&bytes)?;
            return Ok((descriptor, id));
        }
        Ok((self.put_manifest(id, manifest.config.size, &stored)?, id))
    }

    async fn schema1(&self, platform: &Platform, manifest: Schema1) -> Result<(Descriptor, Digest), Error> {
        let bad = |source| registry::Error::Schema1 { name: self.name.familiar(), source };
        // What is in the layers decides nothing about what they are for, and they may be large.
        let unknown = vec![Digest::of(""); manifest.blobs().len()];
        let draft = manifest.clone().into_config(&unknown).map_err(bad)?;
        let draft = ImageConfig::parse(&draft).map_err(self.bad_image())?;
        self.client.check_platform(self.name, &draft, platform)?;
        let needs = manifest
            .blobs()
            .iter()
            .map(|digest| Need { blob: WantedBlob { digest: *digest, size: None }, diff_id: None });
        let stored = self.layers(needs.collect()).await?;
        let diff_ids: Vec<Digest> = stored.iter().map(|layer| layer.diff_id).collect();
        let config = manifest.into_config(&diff_ids).map_err(bad)?;
        let id = self.store.put(&config)?;
        Ok((self.put_manifest(id, config.len() as u64, &stored)?, id))
    }

    fn bad_image(&self) -> impl Fn(BadImage) -> Error {
        move |source| registry::Error::Manifest { name: self.name.familiar(), source }.into()
    }

    /// Returns the configuration, which is in the store then.
    async fn config(&self, blob: &Descriptor) -> Result<Vec<u8>, Error> {
        if let Ok(known) = self.store.read(&blob.digest) {
            return Ok(known);
        }
        // If it were there and broken, it would pass for what it is to be.
        self.store.discard(&blob.digest)?;
        let bytes = self.client.config(self.name, blob).await?;
        self.store.put(&bytes)?;
        Ok(bytes)
    }

    /// Writes a manifest of our own, for layers that are stored otherwise than the registry has them.
    fn put_manifest(&self, config: Digest, size: u64, layers: &[StoredLayer]) -> Result<Descriptor, Error> {
        let config = Descriptor::new(media::OCI_CONFIG, config, size);
        let bytes = Manifest::oci(config, layers.iter().map(|layer| layer.blob.clone()).collect()).to_bytes();
        let digest = self.store.put(&bytes)?;
        Ok(Descriptor::new(media::OCI_MANIFEST, digest, bytes.len() as u64))
    }

    /// Returns all layers in their order, when they are in the store.
    async fn layers(&self, needs: Vec<Need>) -> Result<Vec<StoredLayer>, Error> {
        let mut seen = BTreeSet::new();
        let unique: Vec<Need> = needs.iter().filter(|need| seen.insert(need.blob.digest)).copied().collect();
        self.tally.layers.store(unique.len(), Ordering::Relaxed);
        let work = unique.into_iter().map(|need| async move {
            let layer = self.layer(need).await?;
            Ok::<_, Error>((need.blob.digest, layer))
        });
        let mut work = std::pin::pin!(stream::iter(work).buffer_unordered(PARALLEL).try_collect());
        let stored: BTreeMap<Digest, StoredLayer> = loop {
            match tokio::time::timeout(NEWS, &mut work).await {
                Ok(done) => break done?,
                Err(_) => self.step.change(self.tally.text()),
            }
        };
        self.step.change(self.tally.text());
        needs.iter().map(|need| self.checked(*need, stored[&need.blob.digest].clone())).collect()
    }

    /// Sees to it that a layer is what the configuration calls it. Who unpacks it would run another image.
    fn checked(&self, need: Need, layer: StoredLayer) -> Result<StoredLayer, Error> {
        match need.diff_id {
            Some(wanted) if wanted != layer.diff_id => {
                Err(Error::WrongLayer { name: self.name.familiar(), blob: need.blob.digest })
            }
            _ => Ok(layer),
        }
    }

    async fn layer(&self, need: Need) -> Result<StoredLayer, Error> {
        loop {
            let part = match self.turn(need).await? {
                Turn::Known(known) => {
                    self.tally.known.fetch_add(1, Ordering::Relaxed);
                    return Ok(known);
                }
                Turn::Ours(part) => part,
            };
            // Another one may have become done with it since we looked.
            if self.known(need).await?.is_some() {
                fs::remove_file(part.path()).map_err(oci::Error::from)?;
                continue;
            }
            let is_continued = part.have() > 0;
            match self.download(need, part).await {
                // What a crash of this machine left of it may be anything.
                Err(Error::Registry(registry::Error::WrongDigest { .. })) if is_continued => {}
                result => {
                    self.tally.done.fetch_add(1, Ordering::Relaxed);
                    return result;
                }
            }
        }
    }

    /// Waits while another one that pulls the same layer has its beginning.
    async fn turn(&self, need: Need) -> Result<Turn, Error> {
        let what = format!("another lab has fetched the layer {}", need.blob.digest);
        let look = async || self.look(need).await.transpose();
        wait_until(what, TURN_LIMIT, LOOK_AGAIN, look).await?
    }

    async fn look(&self, need: Need) -> Result<Option<Turn>, Error> {
        if let Some(known) = self.known(need).await? {
            return Ok(Some(Turn::Known(known)));
        }
        Ok(Part::claim(&self.store.temporary(), &need.blob)?.map(Turn::Ours))
    }

    async fn known(&self, need: Need) -> Result<Option<StoredLayer>, Error> {
        if let Some(diff_id) = &need.diff_id
            && let Some(known) = self.store.layer(diff_id)?
        {
            return Ok(Some(known));
        }
        let (store, digest) = (self.store.clone(), need.blob.digest);
        let looking = tokio::task::spawn_blocking(move || oci::recognize_layer(&store, &digest));
        match looking.await.expect("looking at a layer does not panic") {
            Err(error) if error.bad_blob() == Some(digest) => {
                self.store.discard(&digest)?;
                Ok(None)
            }
            other => Ok(other?),
        }
    }

    /// Fetches what is missing of a layer, while all of it is looked at in a thread of its own.
    async fn download(&self, need: Need, part: Part) -> Result<StoredLayer, Error> {
        let (to, from) = mpsc::channel(WAITING_CHUNKS);
        let (store, path, digest) = (self.store.clone(), part.path().to_owned(), need.blob.digest);
        let have = part.have();
        let mut content = Content::new(part, from, self.tally.clone());
        let place = path.clone();
        let storing = tokio::task::spawn_blocking(move || {
            let stored = oci::adopt_layer(&store, &place, &digest, &mut content);
            content.close();
            // With it, the file stays locked until it is decided what becomes of it.
            (stored, content)
        });
        let fetching = async move { self.client.fetch(self.name, need.blob, have, &to).await };
        let (fetched, stored) = tokio::join!(fetching, storing);
        let (stored, _content) = stored.expect("storing a layer does not panic");
        let error = match (fetched, stored) {
            (Ok(()), Ok(stored)) => return Ok(stored),
            (Ok(()), Err(oci::Error::Broken { .. })) => {
                registry::Error::WrongDigest { registry: self.name.registry().to_owned(), digest }
            }
            (Ok(()), Err(error)) => return Err(error.into()),
            (Err(_), Err(error)) if error.is_full_disk() => return Err(error.into()),
            (Err(error), _) => error,
        };
        if matches!(error, registry::Error::WrongDigest { .. } | registry::Error::WrongLength { .. }) {
            fs::remove_file(&path).map_err(oci::Error::from)?;
        }
        Err(error.into())
    }
}

/// What becomes of a layer that is needed.
enum Turn {
    Known(StoredLayer),
    Ours(Part),
}

/// What came so far.
struct Tally {
    since: Instant,
    layers: AtomicUsize,
    known: AtomicUsize,
    done: AtomicUsize,
    bytes: AtomicU64,
    /// What earlier runs had fetched of layers that were not whole.
    found: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            layers: AtomicUsize::default(),
            known: AtomicUsize::default(),
            done: AtomicUsize::default(),
            bytes: AtomicU64::default(),
            found: AtomicU64::default(),
        }
    }
}

impl Tally {
    fn text(&self) -> String {
        let count = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        let (layers, known, done) = (count(&self.layers), count(&self.known), count(&self.done));
        let bytes = self.bytes.load(Ordering::Relaxed);
        let milliseconds = self.since.elapsed().as_millis().max(1);
        let rate = u64::try_from(u128::from(bytes) * 1000 / milliseconds).unwrap_or(u64::MAX);
        let mut text = format!("{} of {layers} layers", known + done);
        if known > 0 {
            text += &format!(", {known} were there already");
        }
        if bytes > 0 {
            text += &format!(", {} at {}/s", Bytes::new(bytes), Bytes::new(rate));
        }
        let found = self.found.load(Ordering::Relaxed);
        if found > 0 {
            text += &format!(", {} were left of an earlier try", Bytes::new(found));
        }
        text
    }
}

#[cfg(test)]
mod tests;
