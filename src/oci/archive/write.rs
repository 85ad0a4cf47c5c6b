//! Images of a store as one archive: an OCI layout, that Docker can load as well.
//!
//! Blobs are written as they are stored, so that the other side has the same digests. Docker reads layers that
//! are packed with zstd since version 23; an older one needs `lab` to unpack them for it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use serde_json::json;

use super::{ArchivedImage, Error, Store, StoreError};
use crate::model::image::{Descriptor, ImageName, Manifest, media};
use crate::oci;

/// What goes into an archive.
#[derive(Debug, Clone, Default)]
pub struct WantedArchive {
    pub images: Vec<(Vec<ImageName>, Descriptor)>,
    /// Goes to `lab/records/`, by name.
    pub records: BTreeMap<String, Vec<u8>>,
}

impl FromIterator<ArchivedImage> for WantedArchive {
    fn from_iter<T: IntoIterator<Item = ArchivedImage>>(images: T) -> Self {
        let images = images.into_iter().map(|image| (image.names, image.manifest));
        Self { images: images.collect(), records: BTreeMap::new() }
    }
}

/// Writes an archive. It is of no use if this fails; each blob is checked as it is read.
pub fn write_archive(store: &Store, wanted: &WantedArchive, to: impl Write) -> Result<(), Error> {
    let manifests = wanted.images.iter().map(|(_, manifest)| manifest_of(store, manifest));
    let manifests = manifests.collect::<Result<Vec<_>, Error>>()?;
    let mut archive = tar::Builder::new(to);
    text(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    text(&mut archive, "index.json", &oci_index(&wanted.images))?;
    text(&mut archive, "manifest.json", &docker_manifest(&wanted.images, &manifests))?;
    for (name, bytes) in &wanted.records {
        text(&mut archive, &format!("lab/records/{name}"), bytes)?;
    }
    let mut written = BTreeSet::new();
    for ((_, descriptor), manifest) in wanted.images.iter().zip(&manifests) {
        for blob in [descriptor, &manifest.config].into_iter().chain(&manifest.layers) {
            if written.insert(blob.digest) {
                append(&mut archive, &blob_path(blob), blob.size, store.reader(blob)?)?;
            }
        }
    }
    let finished = archive.into_inner().and_then(|mut to| to.flush());
    Ok(finished.map_err(StoreError::stream("write the archive"))?)
}

fn manifest_of(store: &Store, descriptor: &Descriptor) -> Result<Manifest, Error> {
    let manifest = Manifest::parse(&store.read(&descriptor.digest)?).map_err(StoreError::from)?;
    // What is not there is better found before gigabytes are written.
    let missing = manifest.layers.iter().chain([&manifest.config]).find(|blob| !store.has(blob));
    let missing = missing.map(|blob| StoreError::Missing { digest: blob.digest });
    missing.map_or(Ok(manifest), |missing| Err(missing.into()))
}

fn oci_index(images: &[(Vec<ImageName>, Descriptor)]) -> Vec<u8> {
    let mut entries = Vec::new();
    for (names, manifest) in images {
        let plain = Descriptor { annotations: BTreeMap::new(), ..manifest.clone() };
        entries.extend(names.iter().map(|name| named(&plain, name)));
        if names.is_empty() {
            entries.push(plain);
        }
    }
    let index = json!({ "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": entries });
    serde_json::to_vec(&index).expect("it is plain data")
}

fn named(manifest: &Descriptor, name: &ImageName) -> Descriptor {
    // No tool takes a tag and a digest together.
    let name = if name.tag().is_some() { name.unpinned() } else { name.clone() };
    let tag = name.tag().map(|tag| ("org.opencontainers.image.ref.name".to_owned(), tag.to_owned()));
    let full = ("io.containerd.image.name".to_owned(), name.full());
    Descriptor { annotations: tag.into_iter().chain([full]).collect(), ..manifest.clone() }
}

fn docker_manifest(images: &[(Vec<ImageName>, Descriptor)], manifests: &[Manifest]) -> Vec<u8> {
    let entry = |((names, _), manifest): (&(Vec<ImageName>, Descriptor), &Manifest)| {
        let tagged = names.iter().filter(|name| name.tag().is_some());
        let names: BTreeSet<String> = tagged.map(|name| name.unpinned().familiar()).collect();
        let layers: Vec<String> = manifest.layers.iter().map(blob_path).collect();
        json!({ "Config": blob_path(&manifest.config), "RepoTags": names, "Layers": layers })
    };
    let entries: Vec<_> = images.iter().zip(manifests).map(entry).collect();
    serde_json::to_vec(&entries).expect("it is plain data")
}

fn blob_path(blob: &Descriptor) -> String {
    format!("blobs/sha256/{}", blob.digest.hex())
}

fn text(archive: &mut tar::Builder<impl Write>, path: &str, bytes: &[u8]) -> Result<(), Error> {
    append(archive, path, bytes.len() as u64, bytes)
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    size: u64,
    content: impl Read,
) -> Result<(), Error> {
    Ok(oci::append(archive, path, size, content).map_err(StoreError::stream("write the archive"))?)
}
