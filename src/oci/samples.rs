//! Stores and images for the tests of this folder.

use camino::Utf8PathBuf;
use serde_json::json;

use super::{Store, store_layer};
use crate::model::image::{Descriptor, ImageName, Manifest, WantedImage, media};

pub(super) struct TestStore {
    _dir: tempfile::TempDir,
    pub(super) store: Store,
}

pub(super) fn store() -> TestStore {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().join("store")).unwrap();
    TestStore { _dir: dir, store: Store::open(&path).unwrap() }
}

/// Stores an image whose layers are these bytes.
pub(super) fn image(store: &Store, name: &str, layers: &[&[u8]]) -> WantedImage {
    let stored: Vec<_> = layers.iter().map(|layer| store_layer(store, *layer).unwrap()).collect();
    let diff_ids: Vec<_> = stored.iter().map(|layer| layer.diff_id).collect();
    let config = json!({ "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids } }).to_string();
    let digest = store.put(config.as_bytes()).unwrap();
    let config = Descriptor::new(media::OCI_CONFIG, digest, config.len() as u64);
    let manifest = Manifest::oci(config, stored.into_iter().map(|layer| layer.blob).collect()).to_bytes();
    let digest = store.put(&manifest).unwrap();
    let manifest = Descriptor::new(media::OCI_MANIFEST, digest, manifest.len() as u64);
    store.image(&ImageName::parse(name).unwrap(), &manifest).unwrap()
}

/// Packs bytes as registries have them.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
