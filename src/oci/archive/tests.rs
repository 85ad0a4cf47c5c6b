//! Archives as tools write them, recorded and made here; what must not be, and what chance makes of them.

mod fuzz;
mod hostile;
mod tools;

use std::io::Write;

use camino::Utf8PathBuf;
use serde_json::{Value, json};

use super::*;
use crate::oci::Compression;

/// One entry of an archive that is made for a test.
#[derive(Debug, Clone)]
struct Item {
    path: String,
    content: Vec<u8>,
    kind: tar::EntryType,
    target: String,
}

fn file(path: impl Into<String>, content: impl AsRef<[u8]>) -> Item {
    let content = content.as_ref().to_vec();
    Item { path: path.into(), content, kind: tar::EntryType::Regular, target: String::new() }
}

fn link(path: &str, kind: tar::EntryType, target: &str) -> Item {
    Item { target: target.to_owned(), kind, ..file(path, "") }
}

fn symlink(path: &str, target: &str) -> Item {
    link(path, tar::EntryType::Symlink, target)
}

/// Writes paths as they are, which the library would refuse for some.
fn header(item: &Item) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(item.kind);
    header.set_size(item.content.len() as u64);
    let bytes = header.as_mut_bytes();
    bytes[..item.path.len()].copy_from_slice(item.path.as_bytes());
    bytes[157..157 + item.target.len()].copy_from_slice(item.target.as_bytes());
    header.set_cksum();
    header
}

fn tar_of(items: &[Item]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for item in items {
        archive.append(&header(item), item.content.as_slice()).unwrap();
    }
    archive.into_inner().unwrap()
}

/// A layer with one file in it.
fn layer(name: &str) -> Vec<u8> {
    tar_of(&[file(name, name.repeat(100))])
}

fn pack(bytes: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn config(layers: &[Vec<u8>], architecture: &str) -> Vec<u8> {
    let diff_ids: Vec<Digest> = layers.iter().map(Digest::of).collect();
    let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
    json!({ "architecture": architecture, "os": "linux", "config": {}, "rootfs": rootfs })
        .to_string()
        .into_bytes()
}

/// What an engine up to 24 saves: the first layer of the second image is a link to that of the first one.
fn docker_24() -> Vec<Item> {
    let (base, top) = (layer("base"), layer("top"));
    let one = config(std::slice::from_ref(&base), "amd64");
    let two = config(&[base.clone(), top.clone()], "amd64");
    let named = |config: &[u8]| format!("{}.json", Digest::of(config).hex());
    let saved = json!([
        { "Config": named(&one), "RepoTags": ["base:1"], "Layers": ["aa/layer.tar"] },
        { "Config": named(&two), "RepoTags": ["top:1", "registry.lab:5000/top:2"],
          "Layers": ["bb/layer.tar", "cc/layer.tar"] },
    ]);
    vec![
        link("aa/", tar::EntryType::Directory, ""),
        file("aa/VERSION", "1.0"),
        file("aa/json", "{}"),
        file("aa/layer.tar", &base),
        symlink("bb/layer.tar", "../aa/layer.tar"),
        file("cc/layer.tar", &top),
        file(named(&one), &one),
        file(named(&two), &two),
        file("manifest.json", saved.to_string()),
        file("repositories", "{}"),
    ]
}

fn blob(content: impl AsRef<[u8]>) -> Item {
    let path = format!("blobs/sha256/{}", Digest::of(content.as_ref()).hex());
    file(path, content)
}

fn descriptor(item: &Item, media_type: &str) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(&item.content), "size": item.content.len() })
}

/// The blobs of an image, its manifest last.
fn oci_image(layers: &[Vec<u8>], architecture: &str, compression: Compression) -> Vec<Item> {
    let config = blob(config(layers, architecture));
    let packed: Vec<Item> = layers.iter().map(|layer| blob(pack(layer, compression))).collect();
    let named: Vec<Value> = packed.iter().map(|layer| descriptor(layer, compression.media_type())).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor(&config, "application/vnd.oci.image.config.v1+json"), "layers": named,
    });
    let manifest = blob(manifest.to_string());
    packed.into_iter().chain([config, manifest]).collect()
}

fn named(mut entry: Value, name: &str) -> Value {
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
    entry
}

fn on(mut entry: Value, os: &str, architecture: &str) -> Value {
    entry["platform"] = json!({ "os": os, "architecture": architecture });
    entry
}

fn index(entries: &[Value]) -> String {
    json!({ "schemaVersion": 2, "manifests": entries }).to_string()
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn oci_layout(compression: Compression) -> Vec<Item> {
    let mut items = oci_image(&[layer("base"), layer("top")], "amd64", compression);
    let entry = named(descriptor(items.last().unwrap(), MANIFEST), "docker.io/library/top:1");
    items.push(file("index.json", index(&[entry])));
    items.push(file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#));
    items
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().join("store")).unwrap();
    let store = Store::open(&path).unwrap();
    (folder, store)
}

fn options() -> ReadOptions {
    let platform = Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None };
    ReadOptions { platform, on_bytes: Box::new(|_| ()) }
}

fn read(store: &Store, archive: &[u8]) -> Result<ArchivedImages, Error> {
    read_archive(store, archive, options())
}

fn read_items(items: &[Item]) -> Result<ArchivedImages, Error> {
    read(&store().1, &tar_of(items))
}

fn names(images: &ArchivedImages) -> Vec<Vec<String>> {
    let familiar = |image: &ArchivedImage| image.names.iter().map(ImageName::familiar).collect();
    images.images.iter().map(familiar).collect()
}

/// Every image can be sent, and every blob is what its name says.
fn check_whole(store: &Store, images: &ArchivedImages) {
    for image in &images.images {
        let name = ImageName::parse("any").unwrap();
        let wanted = store.image(&name, &image.manifest).unwrap();
        assert_eq!(wanted.config.digest, image.config);
        for layer in &wanted.layers {
            let mut unpacked = Vec::new();
            let blob = buffered(store.reader(&layer.blob).unwrap());
            Decoder::new(blob).unwrap().read_to_end(&mut unpacked).unwrap();
            assert_eq!(Digest::of(&unpacked), layer.diff_id);
        }
    }
    check_store(store);
}

/// Every blob is what its name says, nothing is left over, and no file is where none belongs.
fn check_store(store: &Store) {
    for entry in store.root().join("blobs/sha256").read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        let content = crate::fs::read(&path).unwrap();
        assert_eq!(Digest::of(content).hex(), path.file_name().unwrap());
    }
    assert_eq!(crate::fs::list(&store.temporary()).unwrap(), [""; 0]);
    let outside = store.root().parent().unwrap();
    assert_eq!(crate::fs::list(outside).unwrap(), ["store"]);
    assert_eq!(crate::fs::list(store.root()).unwrap(), ["blobs", "lab", "oci-layout"]);
}
