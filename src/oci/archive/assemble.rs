//! Images from the pieces that an archive had: every layer has to be the one that the configuration names.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::contents::{Contents, Found, LONGEST_TEXT};
use super::error::PlatformName;
use super::index::{self, Chosen};
use super::path::{self, normal};
use super::{ArchivedImage, Error, Store};
use crate::model::image::{
    BadImage, Descriptor, Digest, ImageConfig, ImageName, Index, Manifest, Platform, media,
};
use crate::oci::{StoredLayer, store_layer};

const INDEX: &str = "index.json";
const MANIFEST: &str = "manifest.json";
/// An index of indexes is common, more is not.
const DEEPEST: usize = 4;

/// An entry of Docker's `manifest.json`. Go writes `null` for a list with nothing in it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// What is put together, and how it is called in errors.
struct Parts<'a> {
    image: &'a str,
    config: Descriptor,
    /// Where the layers are in the archive.
    layers: Vec<String>,
    /// As the archive has it, if it does.
    manifest: Option<(Descriptor, Manifest)>,
}

pub fn images(store: &Store, contents: &Contents, platform: &Platform) -> Result<Vec<ArchivedImage>, Error> {
    let index: Option<Index> = table(contents, INDEX)?;
    let saved: Option<Vec<Saved>> = table(contents, MANIFEST)?;
    let index = index.filter(|index| !index.manifests.is_empty());
    if index.is_none() && saved.is_none() {
        return Err(no_images(contents));
    }
    let assembler = Assembler { store, contents, platform };
    let images = match index {
        Some(index) => assembler.of_index(index, &saved.unwrap_or_default())?,
        None => assembler.of_saved(&saved.unwrap_or_default())?,
    };
    check_names(&images)?;
    Ok(images)
}

fn table<T: DeserializeOwned>(contents: &Contents, path: &str) -> Result<Option<T>, Error> {
    let parse = |text: &Vec<u8>| {
        serde_json::from_slice(text).map_err(|source| Error::Json { path: path.to_owned(), source })
    };
    contents.tables.get(path).map(parse).transpose()
}

fn no_images(contents: &Contents) -> Error {
    match contents {
        Contents { has_repositories: true, .. } => Error::Legacy,
        Contents { has_root: true, .. } => Error::RootFileSystem,
        _ => Error::NoImages,
    }
}

fn check_names(images: &[ArchivedImage]) -> Result<(), Error> {
    let mut known = BTreeSet::new();
    let twice = images.iter().flat_map(|image| &image.names).find(|name| !known.insert(*name));
    twice.map_or(Ok(()), |name| Err(Error::SameName { name: name.familiar() }))
}

struct Assembler<'a> {
    store: &'a Store,
    contents: &'a Contents,
    platform: &'a Platform,
}

impl Assembler<'_> {
    /// Newer engines write a `manifest.json` beside the index, which may know more names.
    fn of_index(&self, index: Index, saved: &[Saved]) -> Result<Vec<ArchivedImage>, Error> {
        let mut entries = Vec::new();
        let mut known: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        for entry in index.manifests.into_iter().filter(|entry| !index::is_beside(entry)) {
            let name = index::name(&entry);
            let manifest = match known.get(&entry.digest) {
                Some(manifest) => manifest.clone(),
                None => self.manifest_of(entry.clone(), &shown(name.as_slice(), &entry.digest))?,
            };
            known.insert(entry.digest, manifest.clone());
            entries.push((name, manifest));
        }
        let chosen = index::wanted(entries, self.platform);
        let mut images =
            chosen.into_iter().map(|one| self.of_manifest(one)).collect::<Result<Vec<_>, _>>()?;
        self.add_names(&mut images, saved)?;
        Ok(images)
    }

    fn add_names(&self, images: &mut [ArchivedImage], saved: &[Saved]) -> Result<(), Error> {
        let mut named: BTreeSet<ImageName> =
            images.iter().flat_map(|image| image.names.iter().cloned()).collect();
        let known: BTreeMap<Digest, usize> = images.iter().map(|image| image.config).zip(0..).collect();
        for one in saved {
            let Some(Found::Text { digest, .. }) = self.contents.at(&normal(&one.config)?)? else { continue };
            let Some(image) = known.get(digest).and_then(|at| images.get_mut(*at)) else { continue };
            image.names.extend(names(one)?.into_iter().filter(|name| named.insert(name.clone())));
        }
        Ok(())
    }

    /// Goes down from an index to the manifest that suits.
    fn manifest_of(&self, mut entry: Descriptor, image: &str) -> Result<Descriptor, Error> {
        for _ in 0..DEEPEST {
            if !index::is_index(&entry) {
                return Ok(entry);
            }
            let found = self.text(&blob_path(&entry.digest), image, "index")?;
            let bad = |source| Error::Image { image: image.to_owned(), source };
            let index = Index::parse(&self.store.read(&found.digest)?).map_err(bad)?;
            let chosen = index::choose(&index, self.platform).cloned();
            entry = chosen.ok_or_else(|| Error::NoPlatform {
                image: image.to_owned(),
                wanted: PlatformName(self.platform.clone()),
            })?;
        }
        Err(Error::NoPlatform { image: image.to_owned(), wanted: PlatformName(self.platform.clone()) })
    }

    fn of_manifest(&self, chosen: Chosen) -> Result<ArchivedImage, Error> {
        let image = shown(&chosen.names, &chosen.manifest.digest);
        let found = self.text(&blob_path(&chosen.manifest.digest), &image, "manifest")?;
        let bad = |source| Error::Image { image: image.clone(), source };
        let manifest = Manifest::parse(&self.store.read(&found.digest)?).map_err(bad)?;
        let media_type = manifest.media_type.as_ref().unwrap_or(&chosen.manifest.media_type);
        let descriptor = Descriptor::new(media_type, found.digest, found.size);
        let parts = Parts {
            image: &image,
            config: manifest.config.clone(),
            layers: manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
            manifest: Some((descriptor, manifest)),
        };
        self.assemble(chosen.names, parts)
    }

    fn of_saved(&self, saved: &[Saved]) -> Result<Vec<ArchivedImage>, Error> {
        let mut images: Vec<ArchivedImage> = Vec::new();
        let mut known: BTreeMap<Digest, usize> = BTreeMap::new();
        for one in saved {
            let names = names(one)?;
            let image = names.first().map_or_else(|| one.config.clone(), ImageName::familiar);
            let config = self.text(&one.config, &image, "configuration")?;
            if let Some(at) = known.get(&config.digest) {
                let more = names.into_iter().filter(|name| !images[*at].names.contains(name));
                let more: Vec<ImageName> = more.collect();
                images[*at].names.extend(more);
                continue;
            }
            known.insert(config.digest, images.len());
            let layers = one.layers.clone().unwrap_or_default();
            images.push(self.assemble(names, Parts { image: &image, config, layers, manifest: None })?);
        }
        Ok(images)
    }

    fn assemble(&self, names: Vec<ImageName>, parts: Parts) -> Result<ArchivedImage, Error> {
        let bad = |source| Error::Image { image: parts.image.to_owned(), source };
        if parts.manifest.is_some() {
            self.text(&blob_path(&parts.config.digest), parts.image, "configuration")?;
        }
        let config = ImageConfig::parse(&self.store.read(&parts.config.digest)?).map_err(bad)?;
        let diff_ids = &config.rootfs.diff_ids;
        if parts.layers.len() != diff_ids.len() {
            let (layers, diff_ids) = (parts.layers.len(), diff_ids.len());
            return Err(bad(BadImage::LayerCount { layers, diff_ids }));
        }
        let pairs = parts.layers.iter().zip(diff_ids);
        let layers = pairs.map(|(path, diff_id)| self.layer(path, diff_id, parts.image));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let id = parts.config.digest;
        let manifest = self.manifest(&parts.config, parts.manifest, &layers)?;
        let platform = Platform { architecture: config.architecture, os: config.os, variant: config.variant };
        Ok(ArchivedImage { names, manifest, config: id, platform })
    }

    /// Keeps the manifest if it speaks of what is stored. It does not if a layer is packed in another way.
    fn manifest(
        &self,
        config: &Descriptor,
        original: Option<(Descriptor, Manifest)>,
        layers: &[StoredLayer],
    ) -> Result<Descriptor, Error> {
        if let Some((descriptor, manifest)) = original {
            let mut pairs = manifest.layers.iter().zip(layers);
            if pairs.all(|(named, layer)| (named.digest, named.size) == (layer.blob.digest, layer.blob.size))
                && self.store.has(&manifest.config)
            {
                return Ok(descriptor);
            }
        }
        let config = Descriptor::new(media::OCI_CONFIG, config.digest, config.size);
        let manifest = Manifest::oci(config, layers.iter().map(|layer| layer.blob.clone()).collect());
        let bytes = manifest.to_bytes();
        let digest = self.store.put(&bytes)?;
        Ok(Descriptor::new(media::OCI_MANIFEST, digest, bytes.len() as u64))
    }

    fn layer(&self, path: &str, diff_id: &Digest, image: &str) -> Result<StoredLayer, Error> {
        let layer = match self.contents.at(&normal(path)?)? {
            Some(Found::Layer(layer)) => layer.clone(),
            // An archive of which the first file has a strange name looks like a text.
            Some(Found::Text { digest, size }) => {
                let blob = Descriptor::new(media::OCI_LAYER, *digest, *size);
                store_layer(self.store, self.store.reader(&blob)?)?
            }
            _ => return Err(missing(image, "layer", path)),
        };
        if layer.diff_id == *diff_id {
            return Ok(layer);
        }
        let (image, path) = (image.to_owned(), path::shown(path));
        Err(Error::WrongLayer { image, path, found: layer.diff_id })
    }

    /// Looks for a text of an image, which is in the store if it is in the archive.
    fn text(&self, path: &str, image: &str, what: &'static str) -> Result<Descriptor, Error> {
        match self.contents.at(&normal(path)?)? {
            Some(Found::Text { digest, size }) => Ok(Descriptor::new(media::OCI_CONFIG, *digest, *size)),
            Some(Found::TooLong) => Err(Error::TooLong { path: path::shown(path), limit: LONGEST_TEXT }),
            _ => Err(missing(image, what, path)),
        }
    }
}

/// Returns what an image is called in errors.
fn shown(names: &[ImageName], digest: &Digest) -> String {
    names.first().map_or_else(|| digest.to_string(), ImageName::familiar)
}

fn missing(image: &str, what: &'static str, path: &str) -> Error {
    Error::Missing { image: image.to_owned(), what, path: path::shown(path) }
}

fn names(saved: &Saved) -> Result<Vec<ImageName>, Error> {
    let names = saved.repo_tags.iter().flatten().map(|name| ImageName::parse(name));
    Ok(names.collect::<Result<_, _>>()?)
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
