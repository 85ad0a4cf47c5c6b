//! An engine of another generation, that keeps its images in containerd: the one of Debian 13.

use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};
use lab::docker::Engine;
use lab::exec::Cmd;
use lab::fs;
use lab::images::load::{self, Blobs, Doubts};
use lab::images::{Cache, Origin, Record};
use lab::model::image::{Descriptor, Digest, ImageName, LoadEvent, Manifest, media};
use lab::oci::store_layer;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::noise;
use crate::kit::{Run, wait_until};

const IMAGE: &str = "lab-e2e/debian-13-docker";
const DAEMON: &str = "mkdir -p /etc/docker && \
    echo '{\"features\": {\"containerd-snapshotter\": true}}' > /etc/docker/daemon.json && \
    exec dockerd --bridge=none --iptables=false --ip6tables=false --host=unix:///socket/docker.sock";

struct Newer {
    name: String,
    folder: TempDir,
}

#[track_caller]
fn docker(args: &[&str]) -> Run {
    Run::of(&Cmd::new("docker").args(args.iter().copied()), Path::new("/"))
}

impl Newer {
    #[track_caller]
    fn start() -> Self {
        if docker(&["image", "inspect", IMAGE]).code != Some(0) {
            make_image();
        }
        let folder = tempfile::tempdir().unwrap();
        let name = format!("e2e-containerd-{}", std::process::id());
        let socket = format!("{}:/socket", folder.path().display());
        docker(&[
            "run",
            "--detach",
            "--name",
            &name,
            "--cap-add=SYS_ADMIN",
            "--cap-add=NET_ADMIN",
            "--security-opt=seccomp=unconfined",
            "--network=none",
            "--volume=/var/lib/docker",
            "--volume=/var/lib/containerd",
            "--tmpfs=/run",
            "--volume",
            &socket,
            IMAGE,
            "sh",
            "-c",
            DAEMON,
        ])
        .ok();
        Self { name, folder }
    }

    fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.path().display())
    }

    #[track_caller]
    fn docker(&self, args: &[&str]) -> String {
        docker(&[&["--host", &self.host()], args].concat()).ok()
    }
}

impl Drop for Newer {
    fn drop(&mut self) {
        docker(&["rm", "--force", "--volumes", &self.name]);
    }
}

/// Makes an image of Debian 13 with its Docker, from packages.
#[track_caller]
fn make_image() {
    let script = "set -e; set -o pipefail; for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do \
        if [ -s $file ]; then sed s/bookworm/trixie/g $file > sources.${file##*.}; fi; done; \
        mmdebstrap --variant=apt --include=docker.io,containerd,iptables trixie - sources.* | docker import - $0";
    let folder = tempfile::tempdir().unwrap();
    Run::of(&Cmd::new("bash").args(["-c", script, IMAGE]), folder.path()).ok();
}

struct Shelf {
    _dir: TempDir,
    cache: Cache,
}

impl Shelf {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().join("store")).unwrap();
        let cache = Cache::at(&root);
        cache.ensure().unwrap();
        Self { _dir: dir, cache }
    }

    /// Stores an image of archives, each with one file.
    fn image(&self, name: &str, files: &[(&str, &[u8])]) -> Record {
        let store = self.cache.store();
        let stored: Vec<_> = files
            .iter()
            .map(|(path, bytes)| store_layer(store, archive(path, bytes).as_slice()).unwrap())
            .collect();
        let diff_ids: Vec<Digest> = stored.iter().map(|layer| layer.diff_id).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": { "Cmd": ["/none"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = config.to_string();
        let id = store.put(config.as_bytes()).unwrap();
        let descriptor = Descriptor::new(media::OCI_CONFIG, id, config.len() as u64);
        let manifest =
            Manifest::oci(descriptor, stored.into_iter().map(|layer| layer.blob).collect()).to_bytes();
        let digest = store.put(&manifest).unwrap();
        let manifest = Descriptor::new(media::OCI_MANIFEST, digest, manifest.len() as u64);
        let name = ImageName::parse(name).unwrap();
        let record = Record::new(Origin::Engine { reference: name.clone(), id }, name, manifest, id);
        self.cache.save(&record).unwrap();
        record
    }

    /// Loads images and returns how it went: how many layers and bytes travelled, and the end.
    async fn load(&self, engine: &Engine, records: &[&Record], doubts: &Utf8Path) -> (usize, u64, LoadEvent) {
        let image = |record: &&Record| self.cache.load_image(record, &record.name).unwrap();
        let images = records.iter().map(image).collect();
        let (sender, mut receiver) = mpsc::channel(16);
        let blobs = Blobs::Store(self.cache.store().clone());
        let doubts = Doubts::at(doubts);
        let listening = async {
            let (mut sent, mut end) = ((0, 0), None);
            while let Some(event) = receiver.recv().await {
                if let LoadEvent::Planned { layers, send, .. } = &event {
                    sent = (*layers, *send);
                }
                end = Some(event);
            }
            (sent.0, sent.1, end.expect("every load has an end"))
        };
        let (loaded, told) = tokio::join!(load::load(engine, images, blobs, &doubts, sender), listening);
        loaded.unwrap();
        told
    }
}

fn archive(path: &str, bytes: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(&Utf8Path::from_path(folder.path()).unwrap().join(path), bytes, fs::Access::Public).unwrap();
    let tar = Cmd::new("tar").args(["-c", "--mtime=@0", path]);
    let archive = Run::of(&Cmd::new("sh").args(["-c", &format!("{tar} > .tar")]), folder.path());
    archive.ok();
    fs::read(&Utf8Path::from_path(folder.path()).unwrap().join(".tar")).unwrap()
}

#[tokio::test]
async fn an_engine_with_containerd_takes_what_it_lacks_and_is_not_believed_what_it_says() {
    let newer = Newer::start();
    let engine = {
        wait_until("the newer engine answers", || {
            (docker(&["--host", &newer.host(), "version"]).code == Some(0)).then_some(())
        });
        Engine::connect(Some(&newer.host())).await.unwrap()
    };
    assert!(engine.image_store().await.unwrap().is_containerd);
    let (shelf, place) = (Shelf::new(), tempfile::tempdir().unwrap());
    let doubts = Utf8PathBuf::from_path_buf(place.path().join("doubts")).unwrap();
    let large = noise(2_000_000);

    let one = shelf.image("web:1", &[("large", &large), ("text", b"one")]);
    let (layers, bytes, end) = shelf.load(&engine, &[&one], &doubts).await;
    assert!(matches!(&end, LoadEvent::Done { loaded, .. } if loaded.len() == 1), "{end:?}");
    assert!(layers == 2 && bytes > 2_000_000, "{layers} layers, {bytes} bytes");
    assert!(engine.can_mount("web:1").await.unwrap());

    // All is there: one look.
    let (layers, _, end) = shelf.load(&engine, &[&one], &doubts).await;
    assert!(layers == 0 && matches!(end, LoadEvent::Done { bytes: 0, .. }));

    // Another small layer on the same large one: it alone travels, and the image is whole.
    let two = shelf.image("web:2", &[("large", &large), ("text", b"two")]);
    let (layers, bytes, end) = shelf.load(&engine, &[&one, &two], &doubts).await;
    assert!(
        layers == 1 && bytes < 10_000 && matches!(end, LoadEvent::Done { .. }),
        "{layers} layers: {end:?}"
    );
    assert!(engine.can_mount("web:2").await.unwrap());
    let saved = newer.folder.path().join("saved.tar");
    newer.docker(&["save", "--output", saved.to_str().unwrap(), "web:2"]);
    assert!(std::fs::metadata(saved).unwrap().len() > 2_000_000, "what was left out is there all the same");

    // A load that may have been cut off is sent in full, though the engine lists the image.
    fs::write(&doubts, serde_json::to_string(&[two.manifest.digest]).unwrap(), fs::Access::Public).unwrap();
    let (layers, _, end) = shelf.load(&engine, &[&two], &doubts).await;
    assert!(layers == 2 && matches!(end, LoadEvent::Done { .. }), "{layers} layers: {end:?}");
    assert!(!doubts.exists(), "the doubt is settled");

    // The name moves, and what it meant before goes.
    let three = Record::new(one.origin.clone(), two.name.clone(), one.manifest.clone(), one.id);
    shelf.load(&engine, &[&three], &doubts).await;
    assert_eq!(load::list(&engine).await.unwrap().len(), 1);
}
