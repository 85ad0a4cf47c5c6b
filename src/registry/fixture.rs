//! A real registry for tests: Debian's, on a port of 127.0.0.1, with a folder of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{Client, Patience};
use crate::fs::{self, Access};
use crate::model::image::{Descriptor, Digest, ImageName, media};
use crate::wait::wait_until;

const PROGRAM: &str = "/usr/bin/docker-registry";
pub(crate) const USER: (&str, &str) = ("lab", "secret");
/// What `htpasswd` makes of the user above.
const PASSWORDS: &str = "lab:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";

/// Killed when dropped, together with its folder.
pub(crate) struct Registry {
    child: Child,
    folder: TempDir,
    address: SocketAddr,
    is_locked: bool,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        Self::run(false).await
    }

    /// Starts a registry that asks everybody for a password.
    pub(crate) async fn start_locked() -> Self {
        Self::run(true).await
    }

    async fn run(is_locked: bool) -> Self {
        assert!(
            Path::new(PROGRAM).exists(),
            "`{PROGRAM}` is missing; the cure is `apt-get install docker-registry`"
        );
        let mut registry = Self::spawn(is_locked);
        // Between our choice of a free port and its use, another program may have taken it.
        while !registry.listens().await {
            registry = Self::spawn(is_locked);
        }
        registry
    }

    fn spawn(is_locked: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = launch(Utf8Path::from_path(folder.path()).unwrap(), address, is_locked);
        Self { child, folder, address, is_locked }
    }

    async fn listens(&mut self) -> bool {
        let (address, child) = (self.address, &mut self.child);
        wait_until("the registry listens", Duration::from_secs(10), Duration::from_millis(10), async || {
            if child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            TcpStream::connect(address).await.is_ok().then_some(true)
        })
        .await
        .unwrap()
    }

    fn dir(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).unwrap()
    }

    pub(crate) fn name(&self, rest: &str) -> ImageName {
        ImageName::parse(&format!("{}/{rest}", self.address)).unwrap()
    }

    /// Writes a configuration of Docker with this password for the registry, and returns its path.
    pub(crate) fn docker_config(&self, auth: &str) -> Utf8PathBuf {
        let path = self.dir().join("config.json");
        let text = json!({"auths": {self.address.to_string(): {"auth": auth}}}).to_string();
        fs::write(&path, text, Access::Private).unwrap();
        path
    }

    /// Returns how often something was asked for, as `GET /v2/a/blobs/`.
    pub(crate) fn asked(&self, what: &str) -> usize {
        let log = fs::read_to_string(&self.dir().join("log")).unwrap();
        log.matches(&format!("\"{what}")).count()
    }

    async fn send(&self, method: Method, url: &str, kind: &str, body: Vec<u8>) -> reqwest::Response {
        let client = Client::new(None);
        let mut request = client.http_for("localhost").unwrap().request(method, url);
        if self.is_locked {
            request = request.basic_auth(USER.0, Some(USER.1));
        }
        let answer = request.header("content-type", kind).body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        answer
    }

    pub(crate) async fn push_blob(&self, repository: &str, blob: &[u8]) -> Digest {
        let url = format!("http://{}/v2/{repository}/blobs/uploads/", self.address);
        let kind = "application/octet-stream";
        let begun = self.send(Method::POST, &url, kind, Vec::new()).await;
        let place = begun.headers()["location"].to_str().unwrap().to_owned();
        let digest = Digest::of(blob);
        self.send(Method::PUT, &format!("{place}&digest={digest}"), kind, blob.to_vec()).await;
        digest
    }

    pub(crate) async fn push_manifest(&self, name: &str, kind: &str, manifest: Vec<u8>) -> Digest {
        let (repository, tag) = name.split_once(':').unwrap();
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.address);
        let answer = self.send(Method::PUT, &url, kind, manifest).await;
        answer.headers()["docker-content-digest"].to_str().unwrap().parse().unwrap()
    }

    /// Fetches what the registry makes of a manifest for somebody who knows only schema 1.
    pub(crate) async fn as_schema1(&self, name: &str) -> Vec<u8> {
        let (repository, tag) = name.split_once(':').unwrap();
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.address);
        let answer = self.send(Method::GET, &url, "text/plain", Vec::new()).await;
        assert_eq!(answer.headers()["content-type"], media::DOCKER_SCHEMA1_SIGNED);
        answer.bytes().await.unwrap().to_vec()
    }

    pub(crate) async fn push(&self, name: &str, image: &Sample) -> Digest {
        let (repository, _) = name.split_once(':').unwrap();
        for blob in image.layers.iter().chain([&image.config]) {
            self.push_blob(repository, blob).await;
        }
        self.push_manifest(name, image.kind, image.manifest()).await
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "a server in the background, which no runner of ours offers")]
fn launch(dir: &Utf8Path, address: SocketAddr, is_locked: bool) -> Child {
    fs::write(&dir.join("passwords"), PASSWORDS, Access::Private).unwrap();
    let auth = json!({"htpasswd": {"realm": "lab", "path": dir.join("passwords")}});
    let mut config = json!({
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": dir.join("data")}},
        "http": {"addr": address.to_string()},
        "compatibility": {"schema1": {"enabled": true}},
    });
    if is_locked {
        config["auth"] = auth;
    }
    fs::write(&dir.join("config.yml"), config.to_string(), Access::Public).unwrap();
    let log = std::fs::File::create(dir.join("log")).unwrap();
    Command::new(PROGRAM)
        .args(["serve", dir.join("config.yml").as_str()])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// An image to push. Its layers are no archives, which nobody looks at on the way into the store.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) kind: &'static str,
    pub(crate) config: Vec<u8>,
    /// As they are pushed.
    pub(crate) layers: Vec<Vec<u8>>,
    pub(crate) layer_kind: &'static str,
}

impl Sample {
    /// Makes an image for a platform whose layers are these once unpacked.
    pub(crate) fn new(architecture: &str, unpacked: &[&[u8]]) -> Self {
        let diff_ids: Vec<Digest> = unpacked.iter().map(Digest::of).collect();
        let history: Vec<_> =
            unpacked.iter().map(|_| json!({"created": "2020-01-01T00:00:00Z", "created_by": "a"})).collect();
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/a"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        });
        Self {
            kind: media::OCI_MANIFEST,
            config: config.to_string().into_bytes(),
            layers: unpacked.iter().map(|layer| gzip(layer)).collect(),
            layer_kind: media::OCI_LAYER_GZIP,
        }
    }

    /// Returns the same image as Docker pushes it.
    pub(crate) fn of_docker(self) -> Self {
        let layer_kind = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        Self { kind: media::DOCKER_MANIFEST, layer_kind, ..self }
    }

    pub(crate) fn manifest(&self) -> Vec<u8> {
        let config_kind = match self.kind {
            media::OCI_MANIFEST => media::OCI_CONFIG,
            _ => "application/vnd.docker.container.image.v1+json",
        };
        let describe =
            |kind: &str, blob: &Vec<u8>| Descriptor::new(kind, Digest::of(blob), blob.len() as u64);
        let layers: Vec<_> = self.layers.iter().map(|layer| describe(self.layer_kind, layer)).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": self.kind,
            "config": describe(config_kind, &self.config),
            "layers": layers,
        });
        serde_json::to_vec_pretty(&manifest).unwrap()
    }

    /// Returns an index of images, each with its architecture.
    pub(crate) fn index(of: &[(&str, &Self)]) -> Vec<u8> {
        let entries = of.iter().map(|(architecture, image)| {
            let manifest = image.manifest();
            json!({
                "mediaType": image.kind,
                "digest": Digest::of(&manifest),
                "size": manifest.len(),
                "platform": {"os": "linux", "architecture": architecture},
            })
        });
        let entries: Vec<_> = entries.collect();
        json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": entries})
            .to_string()
            .into_bytes()
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Tests wait for no second.
pub(crate) fn hasty() -> Patience {
    Patience {
        connect: Duration::from_secs(2),
        stall: Duration::from_millis(300),
        tries: 4,
        first_pause: Duration::from_millis(2),
        longest_pause: Duration::from_millis(20),
    }
}
