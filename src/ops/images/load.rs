//! Brings images to one node: it reads the store itself if it sees it, else it is sent the blobs.

use std::io;
use std::time::Instant;

use futures_util::stream::{iter, once};
use futures_util::{StreamExt, TryStreamExt};
use tokio_util::io::ReaderStream;

use crate::http::Bytes as Chunk;
use crate::images::Cache;
use crate::model::image::{Descriptor, Digest, ImageName, LoadEvent, LoadImage, LoadRequest};
use crate::model::{Bytes, NodeName};
use crate::progress::Step;

use super::super::Error;
use super::super::link::Link;

/// A load that the engine took and does not have is sent once more in full, and then it is given up.
const TRIES: usize = 3;
const CHUNK: usize = 1 << 18;

/// What a node was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Loaded {
    pub images: Vec<ImageName>,
    /// Bytes of layers that travelled, and of those that did not have to.
    pub sent_bytes: u64,
    pub skipped_bytes: u64,
}

/// Why a node could not be given what it is to have.
pub enum Trouble {
    /// This blob of the store has to be made again.
    Broken(Digest),
    Other(Error),
}

impl<E: Into<Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Loads images on a node; one that has them all is asked and left alone.
pub async fn load(
    node: &NodeName,
    link: &Link,
    cache: &Cache,
    images: &[LoadImage],
    step: &Step,
) -> Result<Loaded, Trouble> {
    let load = Load { node, link, cache, images, step, since: Instant::now() };
    let mut blobs: Option<Vec<Descriptor>> = None;
    let mut loaded = Loaded::default();
    for _ in 0..TRIES {
        match load.attempt(blobs.as_deref(), &mut loaded).await? {
            LoadEvent::Done { loaded: images, bytes } => {
                return Ok(Loaded { images, sent_bytes: bytes, ..loaded });
            }
            LoadEvent::Broken { digest } => return Err(Trouble::Broken(digest)),
            LoadEvent::Needs { blobs: needed } => {
                // What the node does not see may not be there at all.
                if let Some(gone) = needed.iter().find(|blob| !cache.store().has(blob)) {
                    return Err(Trouble::Broken(gone.digest));
                }
                blobs = Some(needed);
            }
            LoadEvent::Again { why } => step.change(format!("{why}; sending everything")),
            LoadEvent::Failed { why } => return Err(load.refused(why).into()),
            LoadEvent::Planned { .. } | LoadEvent::Sent { .. } => {
                return Err(load.refused("labd ended before the load did").into());
            }
        }
    }
    Err(load.refused("its engine takes images and does not keep them").into())
}

struct Load<'a> {
    node: &'a NodeName,
    link: &'a Link,
    cache: &'a Cache,
    images: &'a [LoadImage],
    step: &'a Step,
    since: Instant,
}

impl Load<'_> {
    fn refused(&self, complaint: impl Into<String>) -> Error {
        Error::LabdRefused { node: self.node.clone(), complaint: complaint.into() }
    }

    /// Asks once, and returns the last thing that was told.
    async fn attempt(&self, blobs: Option<&[Descriptor]>, loaded: &mut Loaded) -> Result<LoadEvent, Error> {
        let request = LoadRequest {
            images: self.images.to_vec(),
            blobs: blobs.map(|blobs| blobs.iter().map(|blob| blob.digest).collect()),
        };
        let line = serde_json::to_string(&request).expect("a request is plain data") + "\n";
        let path = |blob: &Descriptor| self.cache.store().blob_path(&blob.digest);
        let paths: Vec<_> = blobs.unwrap_or_default().iter().map(path).collect();
        let files = iter(paths).then(async |path| {
            let file = tokio::fs::File::open(path).await?;
            Ok::<_, io::Error>(ReaderStream::with_capacity(file, CHUNK))
        });
        let body = once(async { Ok(Chunk::from(line)) }).chain(files.try_flatten());
        let mut lines = self.link.load(body).await?;
        let mut last = LoadEvent::Failed { why: "labd hung up".to_owned() };
        while let Some(event) = lines.next().await? {
            self.tell(&event, loaded);
            last = event;
        }
        Ok(last)
    }

    fn tell(&self, event: &LoadEvent, loaded: &mut Loaded) {
        match event {
            LoadEvent::Planned { images, send, skip, .. } => {
                (loaded.sent_bytes, loaded.skipped_bytes) = (*send, *skip);
                self.step.change(told(images, *send, *skip));
            }
            LoadEvent::Sent { bytes } => {
                let (done, all) = ((*bytes).min(loaded.sent_bytes), loaded.sent_bytes);
                let rate = u128::from(done) * 1000 / self.since.elapsed().as_millis().max(1);
                let rate = Bytes::new(u64::try_from(rate).unwrap_or(u64::MAX));
                let (done, all) = (Bytes::new(done), Bytes::new(all));
                self.step.advance(format!("loading images: {done} of {all}, {rate}/s"));
            }
            _ => {}
        }
    }
}

fn told(images: &[ImageName], send: u64, skip: u64) -> String {
    let names: Vec<String> = images.iter().map(ImageName::familiar).collect();
    let (send, skip) = (Bytes::new(send), Bytes::new(skip));
    format!("loading {}: {send} travel, {skip} are there", names.join(", "))
}

impl std::fmt::Display for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.images.is_empty() {
            return write!(f, "has all images");
        }
        let names: Vec<String> = self.images.iter().map(ImageName::familiar).collect();
        let (sent, skipped) = (Bytes::new(self.sent_bytes), Bytes::new(self.skipped_bytes));
        write!(f, "loaded {}: {sent} sent, {skipped} were there", names.join(", "))
    }
}
