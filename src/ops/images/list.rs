//! `lab images ls`: what images there are, what they weigh and who has them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde::Serialize;

use crate::images::{Entry, Look, Origin, State};
use crate::model::NodeName;
use crate::model::image::{Digest, ImageName, ImageSource};
use crate::provider::{MachineState, Provider};

use super::super::run::connect;
use super::super::{Error, Lab};
use super::{Have, Images};

/// An image of the lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageRow {
    pub key: String,
    pub name: ImageName,
    pub from: &'static str,
    pub id: Option<Digest>,
    /// Why it has to be made again; nothing if it has not.
    pub stale: Vec<String>,
    #[serde(flatten)]
    pub size: Size,
    /// Whether each node that was asked has this very image.
    pub nodes: BTreeMap<NodeName, bool>,
}

/// An image of the cache, whoever uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheRow {
    pub name: ImageName,
    pub from: &'static str,
    pub id: Digest,
    #[serde(flatten)]
    pub size: Size,
    pub used_by: BTreeSet<String>,
    pub used_unix: u64,
}

/// What an image weighs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Unpacked, on a node that has nothing else.
    pub unpacked_bytes: u64,
    /// In the cache.
    pub stored_bytes: u64,
    /// How much of that other images of the cache have too.
    pub shared_bytes: u64,
}

/// Lists the images of a lab, and which nodes have them.
pub async fn list<P: Provider>(lab: &Lab<'_, P>) -> Result<Vec<ImageRow>, Error> {
    let looks = lab.look_at_images().await?;
    let have = have(lab).await?;
    let sizes = sizes(lab.images, &lab.images.cache.entries()?);
    Ok(looks.into_iter().map(|look| row(look, &have, &sizes)).collect())
}

/// Lists the whole cache, the image that was used last first.
pub fn list_cache(images: &Images) -> Result<Vec<CacheRow>, Error> {
    let (entries, users) = (images.cache.entries()?, images.cache.users()?);
    let sizes = sizes(images, &entries);
    let row = |entry: Entry| CacheRow {
        name: entry.record.name.clone(),
        from: origin(&entry.record.origin),
        id: entry.record.id,
        size: sizes.get(&entry.key).copied().unwrap_or_default(),
        used_by: users.get(&entry.key).cloned().unwrap_or_default(),
        used_unix: entry.used.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs(),
    };
    Ok(entries.into_iter().map(row).collect())
}

fn row(look: Look, have: &Have, sizes: &BTreeMap<Digest, Size>) -> ImageRow {
    let name = look.spec.name.unpinned().familiar();
    let (id, manifest) = look.record().map(|record| (record.id, record.manifest.digest)).unzip();
    let has = |images: &Vec<crate::model::image::NodeImage>| {
        images
            .iter()
            .any(|image| image.names.contains(&name) && (Some(image.id) == id || Some(image.id) == manifest))
    };
    ImageRow {
        key: look.spec.key.clone(),
        name: look.spec.name.clone(),
        from: source(&look.spec.source),
        id,
        size: look.record().and_then(|record| sizes.get(&record.origin.key()).copied()).unwrap_or_default(),
        nodes: have.iter().map(|(node, images)| (node.clone(), has(images))).collect(),
        stale: match look.state {
            State::Ready(_) => Vec::new(),
            State::Stale { why } => why,
        },
    }
}

fn source(source: &ImageSource) -> &'static str {
    match source {
        ImageSource::Build(_) => "build",
        ImageSource::Registry { .. } => "pull",
        ImageSource::Engine { .. } => "engine",
        ImageSource::Archive { .. } => "archive",
    }
}

fn origin(origin: &Origin) -> &'static str {
    match origin {
        Origin::Build { .. } => "build",
        Origin::Registry { .. } => "pull",
        Origin::Engine { .. } => "engine",
        Origin::Archive { .. } => "archive",
        Origin::Base { .. } => "base",
    }
}

/// Returns what each image weighs, by its key.
fn sizes(images: &Images, entries: &[Entry]) -> BTreeMap<Digest, Size> {
    let mut holders: BTreeMap<Digest, usize> = BTreeMap::new();
    for entry in entries {
        let blobs: BTreeSet<Digest> = entry.blobs.iter().map(|blob| blob.digest).collect();
        for digest in blobs {
            *holders.entry(digest).or_default() += 1;
        }
    }
    let size = |entry: &Entry| {
        let blobs: BTreeMap<Digest, u64> = entry.blobs.iter().map(|blob| (blob.digest, blob.size)).collect();
        let shared = blobs.iter().filter(|(digest, _)| holders.get(digest).is_some_and(|count| *count > 1));
        Size {
            unpacked_bytes: images.cache.wanted(&entry.record).map_or(0, |image| image.tar_bytes()),
            stored_bytes: blobs.values().sum(),
            shared_bytes: shared.map(|(_, size)| size).sum(),
        }
    };
    entries.iter().map(|entry| (entry.key, size(entry))).collect()
}

/// Asks all nodes that run which images they have; one that does not answer is left out.
async fn have<P: Provider>(lab: &Lab<'_, P>) -> Result<Have, Error> {
    let seen = lab.observe().await?;
    let running = seen.machines.iter().filter(|(_, machine)| machine.state == MachineState::Running);
    let asked = running.map(async |(node, _)| {
        let images = connect(lab, &seen, node).await.ok()?.images().await.ok()?;
        Some((node.clone(), images))
    });
    Ok(join_all(asked).await.into_iter().flatten().collect())
}
