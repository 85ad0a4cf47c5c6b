//! Gives a new node images that are already unpacked: real folders for Docker's own notes on each layer,
//! and a link to its files in a store that all nodes of this host share and none can write to.
//!
//! Only a storage driver that keeps its layers in folders can be served so; overlay2 is the one that is tried.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value, json};

use crate::fs as files;
use crate::model::image::{Digest, ImageConfig, SharedImage};

/// There while links are being made: what is half-made is not to be used.
const MARK: &str = "lab-linking";
/// What Docker keeps in the folder of a layer besides its files.
const NOTES: [&str; 3] = ["link", "lower", "committed"];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] files::Error),
    #[error("could not {what} `{path}`")]
    Io { what: &'static str, path: Utf8PathBuf, source: io::Error },
    #[error("the shared layers do not have the image `{name}`")]
    Absent { name: String },
    #[error("`{path}` of the shared layers is not what it should be")]
    Unreadable { path: Utf8PathBuf },
}

/// The folders of one Docker engine's data that matter here.
struct Root<'a>(&'a Utf8Path);

impl Root<'_> {
    fn layers(&self) -> Utf8PathBuf {
        self.0.join("overlay2")
    }

    fn layer_notes(&self, chain: &Digest) -> Utf8PathBuf {
        self.0.join("image/overlay2/layerdb/sha256").join(chain.hex())
    }

    fn config(&self, id: &Digest) -> Utf8PathBuf {
        self.0.join("image/overlay2/imagedb/content/sha256").join(id.hex())
    }

    fn names(&self) -> Utf8PathBuf {
        self.0.join("image/overlay2/repositories.json")
    }
}

/// Returns whether Docker has run on this data before.
pub(super) fn is_used(data: &Utf8Path) -> bool {
    data.join("image").exists() && !data.join(MARK).exists()
}

/// Links these images into data on which no engine runs or ever ran. What fails leaves nothing behind.
pub(super) fn link(images: &[SharedImage], shared: &Utf8Path, data: &Utf8Path) -> Result<(), Error> {
    clear(data)?;
    files::write(&data.join(MARK), "", files::Access::Public)?;
    let linked = images.iter().try_for_each(|image| link_image(image, &Root(shared), &Root(data)));
    // The names come last: before that, no engine would look at anything else.
    let linked = linked.and_then(|()| write_names(images, &Root(data)));
    if linked.is_err() {
        clear(data)?;
    }
    files::remove_file(&data.join(MARK))?;
    linked
}

fn clear(data: &Utf8Path) -> Result<(), Error> {
    files::remove_dir(&data.join("image"))?;
    Ok(files::remove_dir(&data.join("overlay2"))?)
}

fn link_image(image: &SharedImage, shared: &Root<'_>, data: &Root<'_>) -> Result<(), Error> {
    let text = files::read(&shared.config(&image.id));
    let text = text.map_err(|_| Error::Absent { name: image.name.familiar() })?;
    let config =
        ImageConfig::parse(&text).map_err(|_| Error::Unreadable { path: shared.config(&image.id) })?;
    let mut parent = None;
    for diff_id in &config.rootfs.diff_ids {
        let chain = Digest::chained(parent.as_ref(), diff_id);
        link_layer(&chain, shared, data)?;
        parent = Some(chain);
    }
    Ok(files::write(&data.config(&image.id), text, files::Access::Private)?)
}

fn link_layer(chain: &Digest, shared: &Root<'_>, data: &Root<'_>) -> Result<(), Error> {
    let (from, to) = (shared.layer_notes(chain), data.layer_notes(chain));
    if to.exists() {
        return Ok(());
    }
    let id = files::read_to_string(&from.join("cache-id"))?;
    // The name becomes part of paths; Docker's own are hexadecimal.
    let id = id.trim();
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(Error::Unreadable { path: from.join("cache-id") });
    }
    let (source, folder) = (shared.layers().join(id), data.layers().join(id));
    make_dir(&folder, 0o710)?;
    make_link(&source.join("diff"), &folder.join("diff"))?;
    for note in NOTES {
        copy_if_present(&source.join(note), &folder.join(note))?;
    }
    if source.join("work").exists() {
        make_dir(&folder.join("work"), 0o700)?;
    }
    let link = files::read_to_string(&folder.join("link"))?;
    make_dir(&data.layers().join("l"), 0o700)?;
    make_link(&Utf8PathBuf::from(format!("../{id}/diff")), &data.layers().join("l").join(link.trim()))?;
    make_dir(&to, 0o755)?;
    files::list(&from)?.iter().try_for_each(|note| copy_if_present(&from.join(note), &to.join(note)))
}

fn write_names(images: &[SharedImage], data: &Root<'_>) -> Result<(), Error> {
    let mut repositories = Map::new();
    for image in images {
        let name = image.name.unpinned().familiar();
        let (repository, _) = name.rsplit_once(':').unwrap_or((&name, ""));
        let names = repositories.entry(repository).or_insert_with(|| json!({}));
        names[&name] = Value::from(image.id.to_string());
    }
    let json = json!({ "Repositories": repositories }).to_string();
    Ok(files::write(&data.names(), json, files::Access::Private)?)
}

fn make_dir(path: &Utf8Path, mode: u32) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    // Parents are made as the process likes it; Docker wants its folders to be its own.
    let made = made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)));
    made.map_err(|source| Error::Io { what: "create", path: path.to_owned(), source })
}

fn make_link(target: &Utf8Path, path: &Utf8Path) -> Result<(), Error> {
    match symlink(target, path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::Io { what: "link", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn copy_if_present(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    match fs::copy(from, to) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Io { what: "copy", path: from.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::image::{Descriptor, ImageName, media};

    struct Place {
        _dir: tempfile::TempDir,
        shared: Utf8PathBuf,
        data: Utf8PathBuf,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        Place { _dir: dir, shared: path.join("shared"), data: path.join("data") }
    }

    /// Writes an image as an engine would have unpacked it.
    fn unpack(place: &Place, name: &str, layers: &[&str]) -> SharedImage {
        let root = Root(&place.shared);
        let diff_ids: Vec<Digest> = layers.iter().map(Digest::of).collect();
        let mut parent = None;
        for (layer, diff_id) in layers.iter().zip(&diff_ids) {
            let chain = Digest::chained(parent.as_ref(), diff_id);
            write(&root.layer_notes(&chain).join("cache-id"), &format!("id-{layer}"));
            write(&root.layer_notes(&chain).join("diff"), &diff_id.to_string());
            write(&root.layers().join(format!("id-{layer}/link")), &layer.to_uppercase());
            write(&root.layers().join(format!("id-{layer}/diff/file")), layer);
            parent = Some(chain);
        }
        let config = json!({ "rootfs": { "type": "layers", "diff_ids": diff_ids } }).to_string();
        let id = Digest::of(&config);
        write(&root.config(&id), &config);
        let name = ImageName::parse(name).unwrap();
        SharedImage { name, manifest: Descriptor::new(media::OCI_MANIFEST, id, 1), id }
    }

    fn write(path: &Utf8Path, text: &str) {
        files::write(path, text, files::Access::Public).unwrap();
    }

    #[test]
    fn an_image_is_linked_with_all_that_docker_looks_for() {
        let place = place();
        let images = [unpack(&place, "a:1", &["x", "y"]), unpack(&place, "b.io/c:2", &["x", "z"])];
        unpack(&place, "other:1", &["o"]);
        link(&images, &place.shared, &place.data).unwrap();

        assert!(is_used(&place.data));
        let read = |path: &str| files::read_to_string(&place.data.join(path)).unwrap();
        assert_eq!(read("overlay2/id-y/diff/file"), "y");
        assert_eq!(read("overlay2/l/Z/file"), "z");
        assert_eq!(files::list(&place.data.join("overlay2")).unwrap(), ["id-x", "id-y", "id-z", "l"]);
        assert_eq!(files::list(&place.data).unwrap(), ["image", "overlay2"], "no mark is left");
        let names: Value = serde_json::from_str(&read("image/overlay2/repositories.json")).unwrap();
        assert_eq!(names["Repositories"]["b.io/c"]["b.io/c:2"], images[1].id.to_string());
        let chain = Digest::chained(Some(&Digest::of("x")), &Digest::of("y"));
        assert_eq!(read(&format!("image/overlay2/layerdb/sha256/{}/cache-id", chain.hex())), "id-y");
    }

    #[test]
    fn what_cannot_be_linked_leaves_data_as_new() {
        let place = place();
        let good = unpack(&place, "a:1", &["x"]);
        let absent = SharedImage { id: Digest::of("?"), ..good.clone() };
        let error = link(&[good.clone(), absent], &place.shared, &place.data).unwrap_err();
        assert_eq!(error.to_string(), "the shared layers do not have the image `a:1`");
        assert!(!is_used(&place.data));
        assert!(files::list(&place.data).unwrap().is_empty());

        let chain = Digest::of("x");
        write(&Root(&place.shared).layer_notes(&chain).join("cache-id"), "../../etc");
        assert!(matches!(link(&[good], &place.shared, &place.data), Err(Error::Unreadable { .. })));
    }

    #[test]
    fn what_a_killed_node_half_made_is_made_anew() {
        let place = place();
        let image = unpack(&place, "a:1", &["x"]);
        write(&place.data.join(MARK), "");
        write(&place.data.join("image/overlay2/layerdb/sha256/half/cache-id"), "gone");
        assert!(!is_used(&place.data));
        link(&[image], &place.shared, &place.data).unwrap();
        assert!(!place.data.join("image/overlay2/layerdb/sha256/half").exists());
    }
}
