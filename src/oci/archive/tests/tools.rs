//! What real tools write is read, and what we write is read by us.

use super::*;

macro_rules! recorded {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/archive/", $name))
    };
}

#[track_caller]
fn check(archive: &[u8], want: &[(&[&str], &str)]) -> (tempfile::TempDir, Store, ArchivedImages) {
    let (folder, store) = store();
    let images = read(&store, archive).unwrap();
    let found: Vec<(Vec<String>, String)> =
        names(&images).into_iter().zip(images.images.iter().map(|image| image.config.short())).collect();
    let want: Vec<(Vec<String>, String)> = want
        .iter()
        .map(|(names, id)| (names.iter().map(ToString::to_string).collect(), id.to_string()))
        .collect();
    assert_eq!(found, want);
    check_whole(&store, &images);
    (folder, store, images)
}

#[test]
fn what_docker_20_saves_keeps_its_ids_and_shares_a_layer() {
    let want: [(&[&str], &str); 2] =
        [(&["hb-base:1"], "78fbc8e8b257"), (&["hb-two:1", "hb-two:latest"], "3ca18c650881")];
    let (_folder, store, images) = check(recorded!("docker-20.10-shared.tar.gz"), &want);
    assert_eq!(crate::fs::list(&store.root().join("lab/layers")).unwrap().len(), 3);
    assert_eq!(images.images[0].platform.architecture, "amd64");
    let again = read(&store, recorded!("docker-20.10-shared.tar.gz")).unwrap();
    assert_eq!(again, images, "reading it again changes nothing");
}

#[test]
fn what_skopeo_writes_is_read_in_each_form() {
    let id = "3ca18c650881";
    check(recorded!("skopeo-docker.tar.gz"), &[(&["hb-two:1"], id)]);
    let (_folder, store, images) = check(recorded!("skopeo-oci.tar"), &[(&["hb-two:1"], "6c270341fa9e")]);
    let manifest = &images.images[0].manifest;
    assert_eq!(manifest.digest.short(), "69ead1c7efa8", "all blobs are stored, so the manifest stays");
    // The same layers in another packing are not stored again, and the manifest speaks of those that are there.
    let packed = read(&store, recorded!("skopeo-oci-zstd.tar.zst")).unwrap();
    assert_eq!(packed.images[0].config, images.images[0].config);
    assert_eq!(crate::fs::list(&store.root().join("lab/layers")).unwrap().len(), 3);
    check_whole(&store, &packed);
    check(recorded!("skopeo-oci-zstd.tar.zst"), &[(&["hb-two:1"], "6c270341fa9e")]);
}

#[test]
fn a_root_file_system_is_told_as_what_it_is() {
    let error = read(&store().1, recorded!("docker-export.tar.gz")).unwrap_err();
    assert!(matches!(error, Error::RootFileSystem), "{error:?}");
    assert!(error.hint().unwrap().contains("docker import"));
}

#[test]
fn an_archive_may_be_packed_and_so_may_its_layers() {
    let packings = [Compression::None, Compression::Gzip, Compression::Zstd];
    for outer in packings {
        let archive = pack(&tar_of(&docker_24()), outer);
        let (_folder, store) = store();
        let images = read(&store, &archive).unwrap();
        assert_eq!(names(&images), [vec!["base:1"], vec!["top:1", "registry.lab:5000/top:2"]]);
        check_whole(&store, &images);
        for inner in packings {
            let archive = pack(&tar_of(&oci_layout(inner)), outer);
            let (_folder, store) = self::store();
            let images = read(&store, &archive).unwrap();
            assert_eq!(names(&images), [["top:1"]]);
            check_whole(&store, &images);
        }
    }
}

#[test]
fn links_may_come_before_what_they_lead_to() {
    let mut items = docker_24();
    items.reverse();
    items.insert(0, link("dd/layer.tar", tar::EntryType::Link, "./bb/layer.tar"));
    let text =
        String::from_utf8(items.iter().find(|item| item.path == "manifest.json").unwrap().content.clone());
    let text = text.unwrap().replace("bb/layer.tar", "dd/layer.tar");
    items.retain(|item| item.path != "manifest.json");
    items.push(file("./manifest.json", text));
    assert_eq!(read_items(&items).unwrap().images.len(), 2);
}

#[test]
fn a_newer_docker_writes_both_forms_and_names_add_up() {
    let mut items = oci_layout(Compression::None);
    let config = Digest::of(config(&[layer("base"), layer("top")], "amd64")).hex();
    let saved = json!([
        { "Config": format!("blobs/sha256/{config}"), "RepoTags": ["top:1", "also:2"], "Layers": null },
        { "Config": "blobs/sha256/of-another-platform", "RepoTags": ["top:1"], "Layers": null },
    ]);
    items.push(file("manifest.json", saved.to_string()));
    assert_eq!(names(&read_items(&items).unwrap()), [["top:1", "also:2"]]);
}

#[test]
fn of_several_platforms_ours_is_taken_and_attestations_are_none() {
    let amd = oci_image(&[layer("amd")], "amd64", Compression::Gzip);
    let arm = oci_image(&[layer("arm")], "arm64", Compression::Gzip);
    let proof = blob(r#"{"_type":"https://in-toto.io/Statement/v0.1"}"#);
    let entry = |items: &[Item]| descriptor(items.last().unwrap(), MANIFEST);
    let nested = blob(index(&[
        on(entry(&arm), "linux", "arm64"),
        on(entry(&amd), "linux", "amd64"),
        on(descriptor(&proof, MANIFEST), "unknown", "unknown"),
    ]));
    let mut items: Vec<Item> = [&arm[..], &amd, &[proof, nested.clone()]].concat();
    items.push(file("index.json", index(&[named(descriptor(&nested, INDEX), "localhost/both:1")])));
    let (_folder, store) = store();
    let images = read(&store, &tar_of(&items)).unwrap();
    assert_eq!(names(&images), [["localhost/both:1"]]);
    assert_eq!(images.images[0].platform.architecture, "amd64");
    check_whole(&store, &images);

    let mut other = options();
    other.platform.architecture = "s390x".to_owned();
    let error = read_archive(&store, tar_of(&items).as_slice(), other).unwrap_err();
    assert!(error.to_string().contains("`localhost/both:1` is not there for linux/s390x"), "{error}");
}

#[test]
fn an_image_without_a_name_or_a_layer_is_one() {
    let config = config(&[], "amd64");
    let named = format!("{}.json", Digest::of(&config).hex());
    let saved = json!([{ "Config": named, "RepoTags": null, "Layers": null }]);
    let images = read_items(&[file(named, config), file("manifest.json", saved.to_string())]).unwrap();
    assert_eq!(names(&images), [[""; 0]]);
}

#[test]
fn a_layer_that_looks_like_a_text_is_a_layer() {
    let mut items = oci_image(&[layer("{")], "amd64", Compression::None);
    let entry = descriptor(items.last().unwrap(), MANIFEST);
    items.push(file("index.json", index(&[entry])));
    let (_folder, store) = store();
    let images = read(&store, &tar_of(&items)).unwrap();
    check_whole(&store, &images);
}

#[test]
fn a_stream_may_come_byte_by_byte() {
    for (outer, inner) in [(Compression::Gzip, Compression::Zstd), (Compression::None, Compression::Gzip)] {
        let archive = pack(&tar_of(&oci_layout(inner)), outer);
        let images = read_archive(&store().1, OneByOne(&archive), options()).unwrap();
        assert_eq!(names(&images), [["top:1"]]);
    }
}

struct OneByOne<'a>(&'a [u8]);

impl Read for OneByOne<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(1);
        self.0.read(&mut buffer[..most])
    }
}

#[test]
fn bytes_are_told_as_they_are_read() {
    let archive = tar_of(&docker_24());
    let (told, read) = std::sync::mpsc::channel();
    let options = ReadOptions { on_bytes: Box::new(move |bytes| told.send(bytes).unwrap()), ..options() };
    read_archive(&store().1, archive.as_slice(), options).unwrap();
    let told: Vec<u64> = read.iter().collect();
    assert!(told.is_sorted());
    assert_eq!(told.last(), Some(&(archive.len() as u64)));
}

#[test]
fn what_is_written_is_read_elsewhere_as_the_same() {
    let (_folder, here) = store();
    let mut images = read(&here, &tar_of(&docker_24())).unwrap();
    let kept = read(&here, recorded!("skopeo-oci.tar")).unwrap();
    images.images.extend(kept.images);
    images.images.push(ArchivedImage { names: Vec::new(), ..read_nameless(&here) });
    images.records = [("a.json".to_owned(), b"{}".to_vec()), ("b".to_owned(), Vec::new())].into();
    let mut wanted: WantedArchive = images.images.iter().cloned().collect();
    wanted.records = images.records.clone();

    let mut archive = Vec::new();
    write_archive(&here, &wanted, &mut archive).unwrap();
    let (_folder, there) = store();
    let found = read(&there, &archive).unwrap();
    assert_eq!(found, images);
    check_whole(&there, &found);
    let blobs = |store: &Store| crate::fs::list(&store.root().join("blobs/sha256")).unwrap();
    assert!(blobs(&there).iter().all(|blob| blobs(&here).contains(blob)), "the same bytes");
    let mut again = Vec::new();
    write_archive(&there, &wanted, &mut again).unwrap();
    assert!(archive == again, "the same archive");
}

fn read_nameless(store: &Store) -> ArchivedImage {
    let mut items = oci_image(&[layer("nameless")], "amd64", Compression::Gzip);
    let entry = descriptor(items.last().unwrap(), MANIFEST);
    items.push(file("index.json", index(&[entry])));
    read(store, &tar_of(&items)).unwrap().images.remove(0)
}

#[test]
fn a_broken_blob_or_a_full_disk_ends_the_writing() {
    let (_folder, store) = store();
    let images = read(&store, &tar_of(&oci_layout(Compression::Gzip))).unwrap();
    let wanted: WantedArchive = images.images.iter().cloned().collect();
    let full = write_archive(&store, &wanted, FullDisk(4000)).unwrap_err();
    assert!(full.is_full_disk(), "{full:?}");
    assert!(full.hint().unwrap().contains("make room"));

    let manifest =
        crate::model::image::Manifest::parse(&store.read(&images.images[0].manifest.digest).unwrap());
    let layer = manifest.unwrap().layers.remove(1);
    let path = store.blob_path(&layer.digest);
    let mut content = crate::fs::read(&path).unwrap();
    content[30] ^= 1;
    crate::fs::overwrite(&path, &content).unwrap();
    let broken = write_archive(&store, &wanted, io::sink()).unwrap_err();
    assert!(matches!(&broken, Error::Store(error) if error.bad_blob() == Some(layer.digest)), "{broken:?}");
    crate::fs::remove_file(&path).unwrap();
    let missing = write_archive(&store, &wanted, io::sink()).unwrap_err();
    assert!(matches!(&missing, Error::Store(error) if error.bad_blob() == Some(layer.digest)), "{missing:?}");
}

/// A disk with so many bytes of room.
struct FullDisk(usize);

impl Write for FullDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        self.0 = room;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_plain_layer_that_is_known_is_not_packed_again_but_still_checked() {
    let (_folder, store) = store();
    let items = oci_layout(Compression::None);
    let images = read(&store, &tar_of(&items)).unwrap();
    assert_eq!(read(&store, &tar_of(&items)).unwrap(), images);
    let mut changed = items;
    changed[0].content[600] ^= 1;
    let error = read(&store, &tar_of(&changed)).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error:?}");
    let cut = read(&store, &tar_of(&changed)[..900]).unwrap_err();
    assert!(matches!(cut, Error::CutOff { .. }), "{cut:?}");
}
