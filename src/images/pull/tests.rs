//! Pulls into a store: from a registry as Debian ships it, and from servers that misbehave.

use std::sync::{Arc, Mutex};

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

use super::*;
use crate::fs::Access;
use crate::progress::Progress;
use crate::registry::fixture::{Registry, Sample, gzip, hasty};
use crate::registry::rogue::{Answer, Asked, Rogue};

/// A store with a client, and all that was told of pulls.
struct Place {
    _dir: TempDir,
    root: Utf8PathBuf,
    store: Store,
    client: Client,
    told: Arc<Mutex<Vec<String>>>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().join("store");
        let store = Store::open(&root).unwrap();
        let client = Client::with_patience(None, hasty());
        Self { _dir: dir, root, store, client, told: Arc::default() }
    }

    async fn pull(&self, name: &ImageName) -> Result<Pulled, Error> {
        let told = self.told.clone();
        let progress = Progress::new(move |event| told.lock().unwrap().push(event.text));
        let platform = Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None };
        pull(&self.store, &self.client, name, Some(&platform), &progress.begin("image", "pulling")).await
    }

    /// Returns what is in the store under a name, having read every blob of it.
    fn check(&self, name: &ImageName, pulled: &Pulled) {
        let image = self.store.image(name, &pulled.manifest).unwrap();
        assert_eq!(image.config.digest, pulled.id);
        for layer in image.layers {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut self.store.reader(&layer.blob).unwrap(), &mut content).unwrap();
        }
    }

    fn left(&self) -> Vec<String> {
        fs::list(&self.store.temporary()).unwrap()
    }

    fn blobs(&self) -> usize {
        fs::list(&self.root.join("blobs/sha256")).unwrap().len()
    }

    fn last(&self) -> String {
        self.told.lock().unwrap().last().unwrap().clone()
    }

    /// Leaves the beginning of a blob behind, as a killed run does.
    fn leave(&self, blob: &Digest, beginning: &[u8]) {
        let path = self.store.temporary().join(format!("{}.part", blob.hex()));
        fs::write(&path, beginning, Access::Public).unwrap();
    }
}

fn sample() -> Sample {
    Sample::new("amd64", &[b"the base", b"an application"])
}

/// Serves an image; `answer` may have something else to say about a blob.
async fn serving(
    image: &Sample,
    answer: impl Fn(&Asked, &[u8]) -> Option<Answer> + Send + Sync + 'static,
) -> Rogue {
    let manifest = image.manifest();
    let blobs: BTreeMap<String, Vec<u8>> = image
        .layers
        .iter()
        .chain([&image.config])
        .map(|blob| (format!("/v2/app/blobs/{}", Digest::of(blob)), blob.clone()))
        .collect();
    Rogue::start(move |asked| match blobs.get(&asked.path) {
        Some(blob) => answer(asked, blob).unwrap_or_else(|| Answer::range(asked, blob)),
        None => Answer::ok(manifest.clone()),
    })
    .await
}

#[tokio::test]
async fn an_image_is_stored_as_its_registry_has_it_and_the_second_pull_transfers_nothing() {
    let registry = Registry::start().await;
    for image in [sample(), sample().of_docker()] {
        let place = Place::new();
        let digest = registry.push("a/app:1", &image).await;
        let name = registry.name("a/app:1");
        let pulled = place.pull(&name).await.unwrap();
        place.check(&name, &pulled);
        assert_eq!((pulled.digest, pulled.manifest.digest), (digest, digest));
        assert_eq!(pulled.id, Digest::of(&image.config));
        assert_eq!(pulled.transferred, image.layers.iter().map(|layer| layer.len() as u64).sum::<u64>());
        assert!(place.last().starts_with("2 of 2 layers, "), "{}", place.last());
        let asked = registry.asked("GET /v2/a/app/blobs/");
        assert_eq!(place.pull(&name).await.unwrap(), Pulled { transferred: 0, ..pulled });
        assert_eq!(registry.asked("GET /v2/a/app/blobs/"), asked);
        assert_eq!(place.last(), "2 of 2 layers, 2 were there already");
        assert!(place.left().is_empty());
    }
}

#[tokio::test]
async fn of_an_index_only_the_image_for_the_platform_comes() {
    let registry = Registry::start().await;
    let (amd, arm) = (sample(), Sample::new("arm64", &[b"arm"]));
    let manifest = registry.push("app:amd", &amd).await;
    registry.push("app:arm", &arm).await;
    let index = Sample::index(&[("arm64", &arm), ("amd64", &amd)]);
    let digest = registry.push_manifest("app:all", media::OCI_INDEX, index).await;
    let place = Place::new();
    let pulled = place.pull(&registry.name("app:all")).await.unwrap();
    assert_eq!((pulled.digest, pulled.manifest.digest, place.blobs()), (digest, manifest, 4));
    assert_eq!(place.pull(&registry.name("app").pinned(digest)).await.unwrap().manifest, pulled.manifest);
    let error = place.pull(&registry.name("app:arm")).await.unwrap_err();
    assert!(error.to_string().ends_with("is not there for linux/amd64; there is linux/arm64"), "{error}");
}

#[tokio::test]
async fn a_layer_that_is_stored_already_keeps_its_blob_and_only_others_come() {
    let registry = Registry::start().await;
    let place = Place::new();
    let known = oci::store_layer(&place.store, &b"the base"[..]).unwrap();
    registry.push("app:1", &sample()).await;
    let name = registry.name("app:1");
    let pulled = place.pull(&name).await.unwrap();
    place.check(&name, &pulled);
    assert_eq!(pulled.transferred, sample().layers[1].len() as u64);
    assert_ne!(pulled.digest, pulled.manifest.digest);
    let manifest = Manifest::parse(&place.store.read(&pulled.manifest.digest).unwrap()).unwrap();
    assert_eq!(manifest.layers[0], known.blob);
}

#[tokio::test]
async fn a_plain_layer_is_packed_and_one_that_comes_twice_is_fetched_once() {
    let registry = Registry::start().await;
    let place = Place::new();
    let mut image = Sample::new("amd64", &[b"plain", b"plain", b"plain"]);
    image.layers = vec![b"plain".to_vec(); 3];
    image.layer_kind = media::OCI_LAYER;
    registry.push("app:1", &image).await;
    let name = registry.name("app:1");
    let pulled = place.pull(&name).await.unwrap();
    place.check(&name, &pulled);
    assert_eq!((pulled.transferred, pulled.id), (5, Digest::of(&image.config)));
    assert_eq!(place.store.image(&name, &pulled.manifest).unwrap().layers.len(), 3);
}

#[tokio::test]
async fn an_image_of_schema_1_becomes_one_of_today() {
    let registry = Registry::start().await;
    registry.push("new:1", &sample().of_docker()).await;
    let signed = registry.as_schema1("new:1").await;
    for layer in &sample().layers {
        registry.push_blob("old", layer).await;
    }
    let renamed = String::from_utf8(signed).unwrap();
    let digest = registry.push_manifest("new:old", media::DOCKER_SCHEMA1_SIGNED, renamed.into_bytes()).await;
    let place = Place::new();
    let name = registry.name("new:old");
    let pulled = place.pull(&name).await.unwrap();
    place.check(&name, &pulled);
    assert_eq!((pulled.digest, pulled.manifest.media_type.as_str()), (digest, media::OCI_MANIFEST));
    let image = place.store.image(&name, &pulled.manifest).unwrap();
    let diff_ids: Vec<Digest> = image.layers.iter().map(|layer| layer.diff_id).collect();
    assert_eq!(diff_ids, [Digest::of("the base"), Digest::of("an application")]);
    let config = String::from_utf8(place.store.read(&pulled.id).unwrap()).unwrap();
    assert!(config.contains("\"architecture\":\"amd64\"") && config.contains("\"history\":["), "{config}");
    assert_eq!(place.pull(&name).await.unwrap(), Pulled { transferred: 0, ..pulled });
    let pinned = place.pull(&registry.name("new").pinned(digest)).await.unwrap();
    assert_eq!((pinned.digest, pinned.id), (digest, Digest::of(&config)));
}

#[tokio::test]
async fn what_was_cut_goes_on_in_the_next_run() {
    let layer: Vec<u8> = (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let image = Sample::new("amd64", &[&layer]);
    let blob = image.layers[0].clone();
    let digest = Digest::of(&blob);
    let half = blob.len() / 2;
    let rogue = serving(&image, move |asked, _| {
        let is_layer = asked.path.ends_with(&digest.to_string());
        (is_layer && asked.before == 0).then(|| Answer::ok(blob.clone()).stall(half))
    })
    .await;
    let place = Place::new();
    let name = rogue.name("app:1");
    // Nobody waits for the rest of it: the pull is dropped as Ctrl-C would.
    let first = tokio::time::timeout(Duration::from_millis(150), place.pull(&name)).await;
    assert!(first.is_err());
    assert_eq!(place.left(), [format!("{}.part", digest.hex())]);
    let pulled = place.pull(&name).await.unwrap();
    place.check(&name, &pulled);
    let from: Vec<usize> = rogue.asked(&digest.to_string()).iter().map(Asked::from).collect();
    assert_eq!(from, [0, half]);
    assert_eq!(pulled.transferred, (image.layers[0].len() - half) as u64);
    assert!(place.last().ends_with("were left of an earlier try"), "{}", place.last());
    assert!(place.left().is_empty());
}

#[tokio::test]
async fn what_an_earlier_run_left_is_not_trusted() {
    let image = sample();
    let blob = image.layers[0].clone();
    let digest = Digest::of(&blob);
    let zeros = vec![0; blob.len()];
    let too_long = [blob.as_slice(), b"more"].concat();
    for left in [&blob[..5], &blob[..], &zeros[..7], &zeros[..], &too_long[..], b""] {
        let rogue = serving(&image, |_, _| None).await;
        let place = Place::new();
        place.leave(&digest, left);
        let pulled = place.pull(&rogue.name("app:1")).await.unwrap();
        place.check(&rogue.name("app:1"), &pulled);
        assert!(place.left().is_empty());
    }
}

#[tokio::test]
async fn a_layer_of_another_digest_or_length_is_named_and_thrown_away() {
    let image = sample();
    let digest = Digest::of(&image.layers[1]);
    let length = image.layers[1].len();
    for answer in
        [gzip(b"another layer"), vec![0; length], gzip(b"An application"), vec![0x1f, 0x8b, 0, 0], Vec::new()]
    {
        let served = answer.clone();
        let rogue = serving(&image, move |asked, _| {
            asked.path.ends_with(&digest.to_string()).then(|| Answer::ok(served.clone()))
        })
        .await;
        let place = Place::new();
        let error = place.pull(&rogue.name("app:1")).await.unwrap_err();
        let is_right = match &error {
            Error::Registry(registry::Error::WrongDigest { .. }) => answer.len() == length,
            Error::Registry(registry::Error::WrongLength { .. }) => answer.len() != length,
            _ => false,
        };
        assert!(is_right && error.to_string().contains(&digest.to_string()), "{error}");
        assert!(!place.left().contains(&format!("{}.part", digest.hex())));
        assert_eq!(place.store.size_of(&digest), None);
        // Nothing of it hinders the next.
        let honest = serving(&image, |_, _| None).await;
        place.pull(&honest.name("app:1")).await.unwrap();
    }
}

#[tokio::test]
async fn a_configuration_that_speaks_of_other_layers_is_refused() {
    let mut swapped = sample();
    swapped.layers.reverse();
    let mut short = sample();
    short.layers.pop();
    let mut bare = sample();
    bare.config = b"{\"os\":\"linux\"}".to_vec();
    for (image, says) in
        [(swapped, "is not the one that"), (short, "cannot be used"), (bare, "cannot be used")]
    {
        let rogue = serving(&image, |_, _| None).await;
        let place = Place::new();
        let error = place.pull(&rogue.name("app:1")).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(place.store.size_of(&Digest::of(image.manifest())), None);
    }
}

#[tokio::test]
async fn a_layer_that_cannot_be_unpacked_is_an_error_of_its_own() {
    let mut image = sample();
    let length = image.layers[0].len();
    image.layers[0].truncate(length - 3);
    let rogue = serving(&image, |_, _| None).await;
    let error = Place::new().pull(&rogue.name("app:1")).await.unwrap_err();
    assert!(matches!(error, Error::Store(oci::Error::Stream { .. })), "{error}");
}

#[tokio::test]
async fn a_broken_configuration_in_the_store_is_fetched_again() {
    let image = sample();
    let rogue = serving(&image, |_, _| None).await;
    let place = Place::new();
    let pulled = place.pull(&rogue.name("app:1")).await.unwrap();
    let broken = "x".repeat(image.config.len());
    fs::write(&place.store.blob_path(&pulled.id), broken, Access::Public).unwrap();
    place.pull(&rogue.name("app:1")).await.unwrap();
    assert_eq!(place.store.read(&pulled.id).unwrap(), image.config);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_pull_the_same_fetch_each_layer_once() {
    let layers: Vec<Vec<u8>> = (0..8_u8).map(|n| vec![n; 300_000]).collect();
    let image = Sample::new("amd64", &layers.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let rogue = serving(&image, |_, _| None).await;
    let (place, name) = (Place::new(), rogue.name("app:1"));
    let (one, two) = tokio::join!(place.pull(&name), place.pull(&name));
    let (one, two) = (one.unwrap(), two.unwrap());
    place.check(&name, &one);
    assert_eq!(one.manifest, two.manifest);
    for layer in &image.layers {
        assert_eq!(rogue.asked(&Digest::of(layer).to_string()).len(), 1);
    }
    assert!(place.left().is_empty());
}
