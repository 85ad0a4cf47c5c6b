//! What a store does with what it is given, and what comes out of it again.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use proptest::prelude::*;

use super::samples::{gzip, image, store};
use super::*;
use crate::fs;
use crate::model::image::{Digest, WantedImage, media};

fn text(length: usize) -> Vec<u8> {
    b"to be or not to be; ".iter().copied().cycle().take(length).collect()
}

#[test]
fn a_plain_layer_is_packed_and_a_packed_one_stays_as_it_is() {
    let place = store();
    let layer = text(3_000_000);
    let stored = store_layer(&place.store, layer.as_slice()).unwrap();
    assert_eq!((stored.diff_id, stored.tar_bytes), (Digest::of(&layer), 3_000_000));
    assert_eq!(stored.blob.media_type, media::OCI_LAYER_ZSTD);
    assert!(stored.blob.size < 10_000);

    let packed = gzip(&text(500));
    let stored = store_layer(&place.store, packed.as_slice()).unwrap();
    assert_eq!((stored.diff_id, stored.blob.digest), (Digest::of(text(500)), Digest::of(&packed)));
    assert_eq!(stored.blob.media_type, media::OCI_LAYER_GZIP);
    assert!(fs::list(&place.store.temporary()).unwrap().is_empty());
}

#[test]
fn a_layer_is_stored_once_however_it_is_packed() {
    let place = store();
    let first = store_layer(&place.store, text(1000).as_slice()).unwrap();
    let second = store_layer(&place.store, gzip(&text(1000)).as_slice()).unwrap();
    assert_eq!(first, second);
    assert_eq!(fs::list(&place.store.root().join("blobs/sha256")).unwrap(), [first.blob.digest.hex()]);
    assert!(fs::list(&place.store.temporary()).unwrap().is_empty());
}

#[test]
fn a_packed_layer_that_is_cut_off_is_not_stored() {
    let place = store();
    let packed = gzip(&text(100_000));
    store_layer(&place.store, &packed[..packed.len() - 9]).unwrap_err();
    assert!(fs::list(&place.store.root().join("blobs/sha256")).unwrap().is_empty());
    assert!(fs::list(&place.store.temporary()).unwrap().is_empty());
}

#[test]
fn what_is_broken_is_never_read_as_good() {
    let place = store();
    let digest = place.store.put(b"what it says").unwrap();
    let path = place.store.blob_path(&digest);
    for broken in ["what it sayz", "what it", "what it says and more"] {
        fs::write(&path, broken, fs::Access::Public).unwrap();
        assert_eq!(place.store.read(&digest).unwrap_err().bad_blob(), Some(digest), "{broken}");
    }
    place.store.discard(&digest).unwrap();
    assert!(matches!(place.store.read(&digest), Err(Error::Missing { .. })));
    place.store.put(b"what it says").unwrap();
    assert_eq!(place.store.read(&digest).unwrap(), b"what it says");
}

#[test]
fn an_image_whose_layer_is_gone_names_it() {
    let place = store();
    let wanted = image(&place.store, "a:1", &[b"one", b"two"]);
    let gone = wanted.layers[1].blob.digest;
    place.store.discard(&gone).unwrap();
    let error = place.store.image(&wanted.name, &wanted.manifest).unwrap_err();
    assert_eq!(error.bad_blob(), Some(gone));
}

#[test]
fn who_removes_waits_for_those_who_add() {
    let place = store();
    let (one, two) = (place.store.share().unwrap(), place.store.share().unwrap());
    assert!(matches!(place.store.claim(), Err(Error::Busy { .. })));
    drop((one, two));
    drop(place.store.claim().unwrap());
}

fn texts(store: &Store, image: &WantedImage) -> Result<Texts, Error> {
    let manifest = store.read(&image.manifest.digest)?;
    Ok(Texts { manifest, config: store.read(&image.config.digest)? })
}

/// Returns the stream for an engine that has nothing, or `has`.
fn stream(
    store: &Store,
    kind: EngineKind,
    images: &[WantedImage],
    has: &[&WantedImage],
) -> Result<Vec<u8>, Error> {
    let layers = || has.iter().flat_map(|image| &image.layers);
    let seen = EngineImages {
        kind,
        images: Vec::new(),
        chains: layers().map(|layer| layer.chain_id).collect(),
        blobs: layers().map(|layer| layer.blob.digest).collect(),
    };
    let plan = plan(images, &seen, &BTreeSet::new());
    let texts: Vec<Texts> =
        plan.tasks.iter().map(|task| texts(store, &task.image)).collect::<Result<_, _>>()?;
    let mut archive = Vec::new();
    write_pieces(&pieces(&plan, &texts), &mut StoreSource(store), &mut archive)?;
    Ok(archive)
}

fn entries(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let entry = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
    };
    archive.entries().unwrap().map(entry).collect()
}

#[test]
fn an_engine_with_a_storage_driver_gets_plain_layers_that_it_lacks_and_the_names_of_all() {
    let place = store();
    let base = image(&place.store, "base:1", &[b"one"]);
    let app = image(&place.store, "app:1", &[b"one", b"two", b"two"]);
    let archive = stream(&place.store, EngineKind::Graph, std::slice::from_ref(&app), &[&base]).unwrap();
    let entries = entries(&archive);
    let path = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    let config = place.store.read(&app.config.digest).unwrap();
    assert_eq!(entries[0], (path(&config), config.clone()));
    assert_eq!(entries[1], (path(b"two"), b"two".to_vec()));
    assert_eq!((entries.len(), entries[2].0.as_str()), (3, "manifest.json"));
    let manifest: serde_json::Value = serde_json::from_slice(&entries[2].1).unwrap();
    let want = serde_json::json!([{
        "Config": path(&config), "RepoTags": ["app:1"], "Layers": [path(b"one"), path(b"two"), path(b"two")],
    }]);
    assert_eq!(manifest, want);
}

#[test]
fn an_engine_with_containerd_gets_blobs_as_they_are_stored() {
    let place = store();
    let base = image(&place.store, "base:1", &[b"one"]);
    let app = image(&place.store, "app:1", &[b"one", b"two"]);
    let archive = stream(&place.store, EngineKind::Containerd, std::slice::from_ref(&app), &[&base]).unwrap();
    let entries = entries(&archive);
    let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    let blob = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let want = [
        "oci-layout".to_owned(),
        blob(&app.config.digest),
        blob(&app.manifest.digest),
        blob(&app.layers[1].blob.digest),
        "index.json".to_owned(),
        "manifest.json".to_owned(),
    ];
    assert_eq!(names, want);
    for (name, bytes) in entries.iter().filter(|(name, _)| name.starts_with("blobs/")) {
        assert_eq!(*name, blob(&Digest::of(bytes)));
    }
    let index: serde_json::Value = serde_json::from_slice(&entries[4].1).unwrap();
    let names = &index["manifests"][0]["annotations"];
    assert_eq!(names["io.containerd.image.name"], "docker.io/library/app:1");
}

#[test]
fn a_stream_ends_at_a_broken_layer_and_names_it() {
    let place = store();
    let app = image(&place.store, "app:1", &[&text(400_000), &text(300_000)]);
    let blob = &app.layers[1].blob;
    let path = place.store.blob_path(&blob.digest);
    let good = fs::read(&path).unwrap();
    for at in [0, 5, good.len() / 2, good.len() - 1] {
        let mut broken = good.clone();
        broken[at] ^= 1;
        fs::write(&path, broken, fs::Access::Public).unwrap();
        for kind in [EngineKind::Graph, EngineKind::Containerd] {
            let error = stream(&place.store, kind, std::slice::from_ref(&app), &[]).unwrap_err();
            assert_eq!(error.bad_blob(), Some(blob.digest), "{kind:?}, byte {at}: {error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_goes_in_comes_out(layers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 1..4)) {
        let place = store();
        let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
        // What looks packed and is not is refused, which is a case of its own.
        prop_assume!(layers.iter().all(|layer| Compression::of(layer) == Compression::None));
        let app = image(&place.store, "app:1", &layers);
        let archive = stream(&place.store, EngineKind::Graph, &[app], &[]).unwrap();
        let sent: BTreeSet<Vec<u8>> = entries(&archive).into_iter().map(|(_, bytes)| bytes).collect();
        prop_assert!(layers.iter().all(|layer| sent.contains(*layer)));
    }

    #[test]
    fn no_stream_is_taken_for_a_layer_that_it_is_not(bytes in prop::collection::vec(any::<u8>(), 0..4000), cut in 0usize..4000) {
        let place = store();
        let mut packed = zstd::Encoder::new(Vec::new(), 1).unwrap();
        packed.write_all(&bytes).unwrap();
        let packed = packed.finish().unwrap();
        let cut = cut.min(packed.len());
        if let Ok(stored) = store_layer(&place.store, &packed[..cut]) {
            let mut tar = Vec::new();
            let blob = place.store.reader(&stored.blob).unwrap();
            Decoder::new(io::BufReader::new(blob)).unwrap().read_to_end(&mut tar).unwrap();
            prop_assert_eq!(Digest::of(&tar), stored.diff_id);
        }
    }
}
