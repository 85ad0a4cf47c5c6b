//! Which images and layers an engine has to be sent: a function from what is wanted and what was seen.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::image::{Digest, Layer, WantedImage};

/// What an engine keeps images in, which decides the form in which it takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// A storage driver such as overlay2: layers are known by their chain ids.
    Graph,
    /// The image store of containerd: blobs are known by their digests.
    Containerd,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineImage {
    pub id: Digest,
    /// As the engine lists them: `redis:7`.
    pub names: Vec<String>,
}

/// What an engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineImages {
    pub kind: EngineKind,
    pub images: Vec<EngineImage>,
    /// The chain ids of all layers, where the kind is [`EngineKind::Graph`].
    pub chains: BTreeSet<Digest>,
    /// The digests of all blobs that are known to be there, where it is [`EngineKind::Containerd`].
    pub blobs: BTreeSet<Digest>,
}

impl EngineImages {
    /// Returns the id of the image with this name.
    pub fn id_of(&self, name: &str) -> Option<&Digest> {
        let image = self.images.iter().find(|image| image.names.iter().any(|known| known == name))?;
        Some(&image.id)
    }

    fn has(&self, layer: &Layer) -> bool {
        match self.kind {
            EngineKind::Graph => self.chains.contains(&layer.chain_id),
            EngineKind::Containerd => self.blobs.contains(&layer.blob.digest),
        }
    }
}

/// Why an image is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The engine has no image of that name.
    Missing,
    /// The name means another image there.
    Moved,
    /// An earlier load was cut off, or did not end well: everything is sent.
    Doubted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadTask {
    pub image: WantedImage,
    pub why: Reason,
    /// What the name meant before.
    pub before: Option<Digest>,
}

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadPlan {
    pub kind: EngineKind,
    pub tasks: Vec<LoadTask>,
    /// The layers that travel, each once, in the order in which they do.
    pub send: Vec<Layer>,
    /// The layers of those images that need not travel.
    pub skip: Vec<Layer>,
}

impl LoadPlan {
    /// Returns how long what is sent is, without the few bytes that say what it is.
    pub fn bytes(&self) -> u64 {
        self.length_of(&self.send)
    }

    pub fn skipped_bytes(&self) -> u64 {
        self.length_of(&self.skip)
    }

    fn length_of(&self, layers: &[Layer]) -> u64 {
        let length = |layer: &Layer| if self.unpacks() { layer.tar_bytes } else { layer.blob.size };
        layers.iter().map(length).sum()
    }

    /// Returns whether layers are unpacked on the way. Engines with a storage driver learned zstd late and
    /// unpack gzip slower than we do; with containerd the digest of the packed layer is the one that counts.
    pub fn unpacks(&self) -> bool {
        self.kind == EngineKind::Graph
    }
}

/// Decides what an engine has to be sent so that it has all that is `wanted`. Images in `doubted`
/// are sent in full, whatever the engine says.
pub fn plan(wanted: &[WantedImage], seen: &EngineImages, doubted: &BTreeSet<Digest>) -> LoadPlan {
    let tasks: Vec<LoadTask> = wanted.iter().filter_map(|image| task(image, seen, doubted)).collect();
    let (mut send, mut skip) = (Vec::new(), Vec::new());
    let mut decided = BTreeSet::new();
    // A layer that stands on another one has another chain id, and may be needed though its twin is there.
    let needs = |task: &LoadTask, layer: &Layer| task.why == Reason::Doubted || !seen.has(layer);
    for layer in tasks.iter().flat_map(|task| task.image.layers.iter().filter(|layer| needs(task, layer))) {
        if decided.insert(layer.diff_id) {
            send.push(layer.clone());
        }
    }
    for layer in tasks.iter().flat_map(|task| &task.image.layers) {
        if decided.insert(layer.diff_id) {
            skip.push(layer.clone());
        }
    }
    LoadPlan { kind: seen.kind, tasks, send, skip }
}

fn task(image: &WantedImage, seen: &EngineImages, doubted: &BTreeSet<Digest>) -> Option<LoadTask> {
    let before = seen.id_of(&image.name.familiar());
    let why = match before {
        _ if doubted.contains(&image.manifest.digest) => Reason::Doubted,
        None => Reason::Missing,
        Some(id) if image.is_called(id) => return None,
        Some(_) => Reason::Moved,
    };
    Some(LoadTask { image: image.clone(), why, before: before.copied() })
}

#[cfg(test)]
mod tests;
