//! An image that somebody is to have, with all that decides what has to be sent.

use serde::{Deserialize, Serialize};

use super::manifest::{BadImage, Descriptor, Manifest};
use super::{Digest, ImageConfig, ImageName};

/// One layer of an image: how it is stored, and what it is once unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The digest of its tar archive.
    pub diff_id: Digest,
    /// The digest of it and all layers below it, by which an engine knows that it has it.
    pub chain_id: Digest,
    /// The blob that is stored, compressed or not.
    pub blob: Descriptor,
    /// The length of its tar archive.
    pub tar_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedImage {
    /// What it is to be called on the node.
    pub name: ImageName,
    pub manifest: Descriptor,
    /// Its configuration, whose digest is the image's id to most engines.
    pub config: Descriptor,
    /// From the bottom up.
    pub layers: Vec<Layer>,
}

impl WantedImage {
    /// Puts together what is known of an image. `tar_bytes` says how long each layer is.
    pub fn new(
        name: ImageName,
        descriptor: Descriptor,
        manifest: &Manifest,
        config: &ImageConfig,
        tar_bytes: &[u64],
    ) -> Result<Self, BadImage> {
        let diff_ids = &config.rootfs.diff_ids;
        if manifest.layers.len() != diff_ids.len() || tar_bytes.len() != diff_ids.len() {
            return Err(BadImage::LayerCount { layers: manifest.layers.len(), diff_ids: diff_ids.len() });
        }
        let mut parent = None;
        let layers =
            diff_ids.iter().zip(&manifest.layers).zip(tar_bytes).map(|((diff_id, blob), tar_bytes)| {
                let chain_id = Digest::chained(parent.as_ref(), diff_id);
                parent = Some(chain_id);
                Layer { diff_id: *diff_id, chain_id, blob: blob.clone(), tar_bytes: *tar_bytes }
            });
        let layers = layers.collect();
        Ok(Self { name, manifest: descriptor, config: manifest.config.clone(), layers })
    }

    /// Returns whether an engine that calls an image by `id` means this one: some name an image by its
    /// configuration, some by its manifest.
    pub fn is_called(&self, id: &Digest) -> bool {
        *id == self.config.digest || *id == self.manifest.digest
    }

    pub fn tar_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.tar_bytes).sum()
    }
}
