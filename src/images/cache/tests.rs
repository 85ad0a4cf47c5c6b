//! What a cache finds again, and what it lets go.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::model::image::Digest;
use crate::oci::store_layer;

struct Place {
    dir: tempfile::TempDir,
    cache: Cache,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(dir.path().join("store")).unwrap();
    let cache = Cache::at(&root);
    cache.ensure().unwrap();
    Place { dir, cache }
}

/// Bytes that nothing packs, so that sizes are what they seem.
fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33).to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

impl Place {
    /// Puts an image into the cache whose layers are made of these seeds, used so many seconds ago.
    fn image(&self, name: &str, layers: &[u8], seconds: u64) -> Record {
        let store = self.cache.store();
        let stored: Vec<_> =
            layers.iter().map(|seed| store_layer(store, noise(*seed, 10_000).as_slice()).unwrap()).collect();
        let diff_ids: Vec<Digest> = stored.iter().map(|layer| layer.diff_id).collect();
        let config = json!({ "rootfs": { "type": "layers", "diff_ids": diff_ids } }).to_string();
        let id = store.put(config.as_bytes()).unwrap();
        let descriptor = Descriptor::new(media::OCI_CONFIG, id, config.len() as u64);
        let manifest =
            Manifest::oci(descriptor, stored.into_iter().map(|layer| layer.blob).collect()).to_bytes();
        let digest = store.put(&manifest).unwrap();
        let manifest = Descriptor::new(media::OCI_MANIFEST, digest, manifest.len() as u64);
        let reference = ImageName::parse(name).unwrap();
        let origin = Origin::Engine { reference: reference.clone(), id };
        let record = Record::new(origin, reference, manifest, id);
        self.cache.save(&record).unwrap();
        let used = SystemTime::now() - Duration::from_secs(seconds);
        let file = std::fs::File::options().append(true).open(self.cache.record_path(&record.origin.key()));
        file.unwrap().set_modified(used).unwrap();
        record
    }

    fn use_by(&self, lab: &str, record: &Record) {
        let project = Utf8PathBuf::from_path_buf(self.dir.path().join(lab)).unwrap();
        fs::create_dir(&project).unwrap();
        let images = [("web".to_owned(), record.origin.key())].into();
        let uses = Uses { lab: lab.to_owned(), project, images };
        self.cache.save_uses(&LabName::parse(lab).unwrap(), &uses).unwrap();
    }

    fn names(&self) -> Vec<String> {
        self.cache.entries().unwrap().iter().map(|entry| entry.record.name.familiar()).collect()
    }

    #[track_caller]
    fn sweeps(&self, limit: u64, want: &[&str]) {
        let rehearsed = self.cache.sweep(limit, true).unwrap();
        let swept = self.cache.sweep(limit, false).unwrap();
        assert_eq!(rehearsed, swept);
        assert_eq!(swept.images.iter().map(ImageName::familiar).collect::<Vec<_>>(), want);
    }
}

#[test]
fn what_was_used_last_stays_longest_and_what_a_lab_uses_stays_always() {
    let place = place();
    let old = place.image("old:1", &[1], 300);
    place.image("middle:1", &[2], 200);
    place.image("new:1", &[3], 100);
    place.use_by("web", &old);
    place.sweeps(100_000, &[]);
    place.sweeps(25_000, &["middle:1"]);
    assert_eq!(place.names(), ["new:1", "old:1"]);
    place.sweeps(0, &["new:1"]);
    assert_eq!(place.names(), ["old:1"]);
    // A lab whose project is gone uses nothing.
    fs::remove_dir(&Utf8PathBuf::from_path_buf(place.dir.path().join("web")).unwrap()).unwrap();
    place.sweeps(0, &["old:1"]);
    assert_eq!(place.cache.size().unwrap(), 0);
}

#[test]
fn a_layer_stays_as_long_as_one_image_has_it() {
    let place = place();
    place.image("old:1", &[1, 2], 300);
    let new = place.image("new:1", &[1, 3], 100);
    place.use_by("web", &new);
    place.sweeps(0, &["old:1"]);
    assert!(place.cache.wanted(&new).is_ok());
    assert!((20_000..25_000).contains(&place.cache.size().unwrap()));
}

#[test]
fn nothing_is_removed_while_somebody_adds() {
    let place = place();
    place.image("old:1", &[1], 300);
    let adding = place.cache.share().unwrap();
    assert_eq!(place.cache.keep_within(0).unwrap(), None);
    drop(adding);
    assert_eq!(place.cache.keep_within(0).unwrap().unwrap().images.len(), 1);
    assert_eq!(place.cache.keep_within(0).unwrap(), None);
}

#[test]
fn an_image_that_misses_a_part_is_not_found() {
    let place = place();
    let record = place.image("a:1", &[1, 2], 0);
    let key = record.origin.key();
    assert_eq!(place.cache.find(&key).unwrap(), Some(record.clone()));
    assert_eq!(place.cache.with_id(&record.id).unwrap(), Some(record.clone()));
    place.cache.store().discard(&place.cache.wanted(&record).unwrap().layers[0].blob.digest).unwrap();
    assert_eq!(place.cache.find(&key).unwrap(), None);
    assert_eq!(place.cache.with_id(&record.id).unwrap(), None);
    fs::write(&place.cache.record_path(&key), "{", Access::Public).unwrap();
    assert_eq!(place.cache.find(&key).unwrap(), None);
    assert!(place.names().is_empty());
}

#[test]
fn other_tools_find_the_images_by_the_index() {
    let place = place();
    let record = place.image("a:1", &[1], 0);
    let text = fs::read_to_string(&place.cache.store().root().join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(index["manifests"][0]["digest"], record.manifest.digest.to_string());
    assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "a:1");
    assert!(place.cache.store().root().join("oci-layout").exists());
}

#[test]
fn a_cache_that_is_not_there_has_nothing_in_it() {
    let cache = Cache::at(Utf8Path::new("/nowhere/at/all"));
    assert!(cache.entries().unwrap().is_empty() && cache.users().unwrap().is_empty());
    assert_eq!(cache.find(&Digest::of("x")).unwrap(), None);
    assert_eq!(cache.size().unwrap(), 0);
}
