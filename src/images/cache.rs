//! The cache of one user: the store, what is known of each image in it, and who uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use super::record::{Origin, Record, Uses};
use crate::fs::{self, Access};
use crate::model::image::{Descriptor, Digest, ImageName, LoadImage, Manifest, WantedImage, media};
use crate::model::{LabName, build_id};
use crate::oci::{self, Store, StoreLock};

#[derive(Debug, Clone)]
pub struct Cache {
    store: Store,
}

/// What has been removed from a cache, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Swept {
    pub images: Vec<ImageName>,
    pub blobs: usize,
    pub bytes: u64,
}

/// An image of the cache with all that it takes.
#[derive(Debug, Clone)]
pub struct Entry {
    pub key: Digest,
    pub record: Record,
    pub used: SystemTime,
    /// All blobs that it is made of; fewer if it is broken.
    pub blobs: Vec<Descriptor>,
}

impl Cache {
    /// Names the cache of this user, which may not be there yet: then it has nothing in it.
    pub fn at(root: &Utf8Path) -> Self {
        Self { store: Store::at(root) }
    }

    /// Makes the cache if there is none.
    pub fn ensure(&self) -> Result<(), oci::Error> {
        Store::open(self.store.root()).map(drop)
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Names a folder for large things that are on their way into the cache.
    pub(super) fn workshop(&self) -> Utf8PathBuf {
        self.store.root().join("lab/workshop")
    }

    /// Keeps everything from being removed until the lock is dropped. Whoever adds something holds it.
    pub fn share(&self) -> Result<StoreLock, oci::Error> {
        self.ensure()?;
        self.store.share()
    }

    fn record_path(&self, key: &Digest) -> Utf8PathBuf {
        self.store.records().join(key.hex() + ".json")
    }

    fn uses_folder(&self) -> Utf8PathBuf {
        self.store.root().join("lab/uses")
    }

    fn uses_path(&self, project: &Utf8Path, lab: &LabName) -> Utf8PathBuf {
        self.uses_folder().join(build_id(format!("{project}\0{lab}").as_bytes()) + ".json")
    }

    /// Returns the image that was made of this, if all of it is still there, and counts it as used.
    pub fn find(&self, key: &Digest) -> Result<Option<Record>, oci::Error> {
        let Some(record) = self.record(key)? else { return Ok(None) };
        match self.wanted(&record) {
            Ok(_) => {
                self.touch(key);
                Ok(Some(record))
            }
            Err(error) if error.bad_blob().is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn record(&self, key: &Digest) -> Result<Option<Record>, oci::Error> {
        let text = fs::read_if_present(&self.record_path(key))?;
        // A record of another version, or half a file, counts as none: the image is made again.
        Ok(text
            .and_then(|text| serde_json::from_str(&text).ok())
            .filter(|record: &Record| record.version == Record::VERSION && record.origin.key() == *key))
    }

    /// Its file's time says when it was used last; a store that cannot be written to forgets it.
    fn touch(&self, key: &Digest) {
        let file = std::fs::File::options().append(true).open(self.record_path(key));
        drop(file.and_then(|file| file.set_modified(SystemTime::now())));
    }

    pub fn save(&self, record: &Record) -> Result<(), oci::Error> {
        let json = serde_json::to_string_pretty(record).expect("a record is plain data");
        fs::write(&self.record_path(&record.origin.key()), json, Access::Public)?;
        self.write_index()
    }

    /// Finds any image with this id, wherever it came from.
    pub fn with_id(&self, id: &Digest) -> Result<Option<Record>, oci::Error> {
        let is_it = |record: &Record| record.id == *id || record.manifest.digest == *id;
        let mut entries = self.entries()?.into_iter();
        Ok(entries.find(|entry| is_it(&entry.record) && !self.is_broken(entry)).map(|entry| entry.record))
    }

    fn is_broken(&self, entry: &Entry) -> bool {
        self.wanted(&entry.record).is_err()
    }

    /// Returns what has to be known to load an image.
    pub fn wanted(&self, record: &Record) -> Result<WantedImage, oci::Error> {
        self.store.image(&record.name, &record.manifest)
    }

    /// Returns an image with the texts that describe it, under the name that it is to have.
    pub fn load_image(&self, record: &Record, name: &ImageName) -> Result<LoadImage, oci::Error> {
        let image = self.store.image(name, &record.manifest)?;
        let text = |digest: &Digest| {
            let text = String::from_utf8(self.store.read(digest)?);
            text.map_err(|_| oci::Error::Broken { digest: *digest })
        };
        let (manifest, config) = (text(&image.manifest.digest)?, text(&image.config.digest)?);
        Ok(LoadImage { image, manifest, config })
    }

    /// Lists all images, the one that was used last first.
    pub fn entries(&self) -> Result<Vec<Entry>, oci::Error> {
        let mut entries = Vec::new();
        for file in fs::list(&self.store.records())? {
            let key = file.strip_suffix(".json").and_then(Digest::from_hex);
            let Some((key, record)) = key.and_then(|key| Some((key, self.record(&key).ok()??))) else {
                continue;
            };
            let metadata = std::fs::metadata(self.record_path(&key));
            let used = metadata.and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            let blobs = self.blobs(&record);
            entries.push(Entry { key, record, used, blobs });
        }
        entries.sort_by(|a, b| b.used.cmp(&a.used).then(a.key.cmp(&b.key)));
        Ok(entries)
    }

    fn blobs(&self, record: &Record) -> Vec<Descriptor> {
        let mut blobs = vec![record.manifest.clone()];
        let manifest = self.store.read(&record.manifest.digest).ok();
        if let Some(manifest) = manifest.and_then(|bytes| Manifest::parse(&bytes).ok()) {
            blobs.push(manifest.config);
            blobs.extend(manifest.layers);
        }
        blobs
    }

    /// Writes the list by which other tools find images in the store.
    fn write_index(&self) -> Result<(), oci::Error> {
        let descriptor = |entry: Entry| {
            let name = entry.record.name.unpinned();
            let mut descriptor = entry.record.manifest;
            let annotation = |key: &str, value: String| (key.to_owned(), value);
            descriptor.annotations = [
                annotation("org.opencontainers.image.ref.name", name.familiar()),
                annotation("io.containerd.image.name", name.full()),
            ]
            .into();
            descriptor
        };
        let manifests: Vec<Descriptor> = self.entries()?.into_iter().map(descriptor).collect();
        let index = json!({ "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": manifests });
        Ok(fs::write(&self.store.root().join("index.json"), index.to_string(), Access::Public)?)
    }

    /// Returns what a lab used when it was last looked after.
    pub fn uses(&self, project: &Utf8Path, lab: &LabName) -> Result<Uses, oci::Error> {
        let text = fs::read_if_present(&self.uses_path(project, lab))?;
        let uses: Option<Uses> = text.and_then(|text| serde_json::from_str(&text).ok());
        Ok(uses.unwrap_or_else(|| Uses {
            lab: lab.to_string(),
            project: project.to_owned(),
            ..Uses::default()
        }))
    }

    pub fn save_uses(&self, lab: &LabName, uses: &Uses) -> Result<(), oci::Error> {
        let json = serde_json::to_string_pretty(uses).expect("it is plain data");
        Ok(fs::write(&self.uses_path(&uses.project, lab), json, Access::Public)?)
    }

    /// Lets go of what a lab used: it may be removed when room is needed.
    pub fn forget_uses(&self, project: &Utf8Path, lab: &LabName) -> Result<(), oci::Error> {
        Ok(fs::remove_file(&self.uses_path(project, lab))?)
    }

    /// Returns the labs that use each image. A lab whose project is gone uses nothing.
    pub fn users(&self) -> Result<BTreeMap<Digest, BTreeSet<String>>, oci::Error> {
        let mut users: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
        for file in fs::list(&self.uses_folder())? {
            let text = fs::read_to_string(&self.uses_folder().join(&file))?;
            let Ok(uses) = serde_json::from_str::<Uses>(&text) else { continue };
            if uses.project.exists() {
                for key in uses.images.values() {
                    users.entry(*key).or_default().insert(uses.lab.clone());
                }
            }
        }
        Ok(users)
    }

    /// Returns how many bytes the blobs take.
    pub fn size(&self) -> Result<u64, oci::Error> {
        Ok(self.all_blobs()?.values().sum())
    }

    pub(super) fn all_blobs(&self) -> Result<BTreeMap<Digest, u64>, oci::Error> {
        let folder = self.store.root().join("blobs/sha256");
        let size = |digest: Digest| Some((digest, self.store.size_of(&digest)?));
        Ok(fs::list(&folder)?.iter().filter_map(|name| Digest::from_hex(name)).filter_map(size).collect())
    }

    /// Unless somebody adds or reads now: removes images that no lab uses, those first that were not used for longest, until the cache is
    /// within `limit`, and all that belongs to no image. `is_rehearsal` only tells.
    pub fn sweep(&self, limit: u64, is_rehearsal: bool) -> Result<Swept, oci::Error> {
        self.ensure()?;
        let _lock = self.store.claim()?;
        let (entries, users, blobs) = (self.entries()?, self.users()?, self.all_blobs()?);
        let mut used: BTreeSet<Digest> = users.into_keys().collect();
        if !used.is_empty() {
            // What nodes boot from is needed by whoever has a lab.
            let bases = entries.iter().filter(|entry| matches!(entry.record.origin, Origin::Base { .. }));
            used.extend(bases.map(|entry| entry.key));
        }
        let gone = surplus(&entries, &used, &blobs, limit);
        let kept: BTreeSet<Digest> = entries
            .iter()
            .filter(|entry| !gone.contains(&entry.key))
            .flat_map(|entry| entry.blobs.iter().map(|blob| blob.digest))
            .collect();
        let unused: Vec<(&Digest, &u64)> =
            blobs.iter().filter(|(digest, _)| !kept.contains(digest)).collect();
        let images = entries.iter().filter(|entry| gone.contains(&entry.key));
        let swept = Swept {
            images: images.map(|entry| entry.record.name.clone()).collect(),
            blobs: unused.len(),
            bytes: unused.iter().map(|(_, bytes)| **bytes).sum(),
        };
        if !is_rehearsal {
            for key in &gone {
                fs::remove_file(&self.record_path(key))?;
            }
            self.write_index()?;
            unused.iter().try_for_each(|(digest, _)| self.store.discard(digest))?;
            self.remove_leftovers()?;
        }
        Ok(swept)
    }

    /// Sweeps if the cache is larger than `limit` and nobody uses it now.
    pub fn keep_within(&self, limit: u64) -> Result<Option<Swept>, oci::Error> {
        if self.size()? <= limit {
            return Ok(None);
        }
        match self.sweep(limit, false) {
            Err(oci::Error::Busy { .. }) => Ok(None),
            swept => swept.map(Some),
        }
    }

    /// What killed processes were writing; nobody writes now.
    fn remove_leftovers(&self) -> Result<(), oci::Error> {
        for name in fs::list(&self.store.temporary())? {
            let path = self.store.temporary().join(name);
            if path.is_dir() { fs::remove_dir(&path)? } else { fs::remove_file(&path)? }
        }
        for name in fs::list(&self.store.root().join("lab/layers"))? {
            let Some(diff_id) = name.strip_suffix(".json").and_then(Digest::from_hex) else { continue };
            if self.store.layer(&diff_id)?.is_none() {
                fs::remove_file(&self.store.root().join("lab/layers").join(name))?;
            }
        }
        Ok(())
    }
}

/// Returns the images that have to go so that the others are within `limit`.
fn surplus(
    entries: &[Entry],
    used: &BTreeSet<Digest>,
    blobs: &BTreeMap<Digest, u64>,
    limit: u64,
) -> BTreeSet<Digest> {
    let mut sharers: BTreeMap<Digest, usize> = BTreeMap::new();
    for blob in entries.iter().flat_map(|entry| &entry.blobs) {
        *sharers.entry(blob.digest).or_default() += 1;
    }
    let size = |digest: &Digest| blobs.get(digest).copied().unwrap_or(0);
    let mut total: u64 = sharers.keys().map(size).sum();
    let mut gone = BTreeSet::new();
    for entry in entries.iter().rev().filter(|entry| !used.contains(&entry.key)) {
        if total <= limit {
            break;
        }
        gone.insert(entry.key);
        for blob in &entry.blobs {
            let left = sharers.get_mut(&blob.digest).expect("it was counted");
            *left -= 1;
            if *left == 0 {
                total -= size(&blob.digest);
            }
        }
    }
    gone
}

#[cfg(test)]
mod tests;
