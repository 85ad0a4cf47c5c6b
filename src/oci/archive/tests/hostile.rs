//! Archives that nobody should have made.

use super::*;

#[track_caller]
fn check(archive: &[u8], is_right: impl FnOnce(&Error) -> bool) {
    let (_folder, store) = store();
    let error = read(&store, archive).unwrap_err();
    assert!(is_right(&error), "{error:?}");
    check_store(&store);
}

#[track_caller]
fn check_items(items: &[Item], told: &str) {
    check(&tar_of(items), |error| error.to_string().contains(told));
}

/// An archive as `docker_24` makes it, but with another entry at `path`.
fn with(path: &str, item: &Item) -> Vec<Item> {
    let items = docker_24().into_iter();
    items.map(|old| if old.path == path { item.clone() } else { old }).collect()
}

fn also(item: Item) -> Vec<Item> {
    docker_24().into_iter().chain([item]).collect()
}

#[test]
fn paths_lead_nowhere_else() {
    for path in ["../x", "/etc/passwd", "a/../../b", "a/..", "blobs/../../x/layer.tar"] {
        check_items(&also(file(path, "x")), "which leads out of it");
    }
    for target in ["../../aa/layer.tar", "/aa/layer.tar", "../../../../../../etc/passwd"] {
        check_items(&with("bb/layer.tar", &symlink("bb/layer.tar", target)), "leads nowhere");
    }
    check_items(&with("bb/layer.tar", &symlink("bb/layer.tar", "layer.tar")), "leads nowhere");
    let ring = [symlink("bb/layer.tar", "../xx/layer.tar"), symlink("xx/layer.tar", "../bb/layer.tar")];
    let items = [docker_24(), ring.to_vec()].concat();
    let items: Vec<Item> = items.into_iter().filter(|item| item.target != "../aa/layer.tar").collect();
    check_items(&items, "leads nowhere");
    check_items(
        &with("bb/layer.tar", &link("bb/layer.tar", tar::EntryType::Link, "/aa/layer.tar")),
        "which leads out of it",
    );
    check_items(&with("bb/layer.tar", &symlink("bb/layer.tar", "../no/layer.tar")), "lacks the layer");
    check_items(&with("bb/layer.tar", &symlink("bb/layer.tar", "../manifest.json")), "lacks the layer");
}

#[test]
fn a_piece_that_is_missing_or_another_is_named_with_its_image() {
    let without = |path: &str| docker_24().into_iter().filter(|item| item.path != path).collect::<Vec<_>>();
    check_items(&without("cc/layer.tar"), "lacks the layer `cc/layer.tar` of the image `top:1`");
    check_items(
        &with("cc/layer.tar", &file("cc/layer.tar", layer("other"))),
        "the layer `cc/layer.tar` of the image `top:1` is another",
    );
    let config = docker_24().into_iter().find(|item| item.path.len() > 64).unwrap();
    check_items(&without(&config.path), "lacks the configuration");
    check_items(&with(&config.path, &file(&config.path, "{}")), "is another than its name says");
    check_items(&without("manifest.json"), "before 1.10");
    check_items(&[file("a", "b")], "neither `manifest.json` nor `index.json`");
    check_items(
        &with("manifest.json", &file("manifest.json", "[{]")),
        "`manifest.json` is not what it should be",
    );
    check_items(&with("manifest.json", &file("manifest.json", "[{\"Config\":\"../x\"}]")), "leads out of it");

    for at in 0..oci_layout(Compression::Gzip).len() {
        let mut items = oci_layout(Compression::Gzip);
        let gone = items.remove(at);
        if gone.path != "oci-layout" {
            assert!(read_items(&items).is_err(), "{}", gone.path);
        }
        let other = Item { content: pack(&layer("other"), Compression::Gzip), ..gone.clone() };
        if gone.path.starts_with("blobs") {
            items.push(other);
            check_items(&items, "is another than its name says");
        }
    }
}

#[test]
fn a_configuration_and_its_layers_go_together() {
    let items = docker_24();
    let saved = items.iter().find(|item| item.path == "manifest.json").unwrap();
    let saved = String::from_utf8(saved.content.clone()).unwrap();
    for (from, to, told) in [
        (r#""bb/layer.tar","cc/layer.tar""#, r#""cc/layer.tar","bb/layer.tar""#, "is another than"),
        (r#""bb/layer.tar",""#, r#"""#, "cannot be put together"),
        (r#""top:1""#, r#""base:1""#, "two images of the archive are called `base:1`"),
        (r#""top:1""#, r#""Top:1""#, "of a strange name"),
    ] {
        let changed = saved.replace(from, to);
        assert_ne!(changed, saved);
        check_items(&with("manifest.json", &file("manifest.json", changed)), told);
    }
}

#[test]
fn the_same_twice_is_fine_and_something_else_is_not() {
    for item in docker_24() {
        assert!(read_items(&also(item)).is_ok());
    }
    let other = tar_of(&[file("x", "y")]);
    check_items(&also(file("aa/layer.tar", &other)), "`aa/layer.tar` twice");
    check_items(&also(file("bb/layer.tar", &other)), "`bb/layer.tar` twice");
    check_items(&also(symlink("cc/layer.tar", "../aa/layer.tar")), "`cc/layer.tar` twice");
    check_items(&also(file("manifest.json", "[]")), "`manifest.json` twice");
    let records = [file("lab/records/a", "1"), file("lab/records/a", "2")];
    check_items(&[docker_24(), records.to_vec()].concat(), "`lab/records/a` twice");
    assert!(read_items(&also(file("aa/VERSION", "2.0"))).is_ok(), "nobody reads that");
}

#[test]
fn strange_entries_are_passed_over_unless_they_matter() {
    let types = [b'3', b'4', b'5', b'6', b'g', b'Z', b'V', b'M'];
    for kind in types.map(tar::EntryType::new) {
        assert!(read_items(&also(Item { kind, ..file("strange", "") })).is_ok());
        let items = with("cc/layer.tar", &Item { kind, ..file("cc/layer.tar", "") });
        check_items(&items, "lacks the layer `cc/layer.tar`");
    }
    let sparse = Item { kind: tar::EntryType::GNUSparse, ..file("aa/layer.tar", "x") };
    check_items(&with("aa/layer.tar", &sparse), "has holes");
    let extension = Item { kind: tar::EntryType::XHeader, ..file("x", "22 GNU.sparse.major=1\n") };
    check_items(&[vec![extension], docker_24()].concat(), "has holes");
}

#[test]
fn long_names_and_extensions_have_bounds() {
    let long = |kind: u8, content: &str| Item { kind: tar::EntryType::new(kind), ..file("long", content) };
    let before = |items: &[Item]| [items, &docker_24()].concat();
    assert!(read_items(&before(&[long(b'L', "renamed\0")])).is_ok());
    assert!(read_items(&before(&[long(b'L', "../out\0")])).is_err());
    assert!(read_items(&before(&[long(b'x', "15 path=../out\n")])).is_err());
    assert!(read_items(&before(&[long(b'x', "14 path=fine/\n"), long(b'K', "x")])).is_ok());
    check_items(&before(&[long(b'x', "11 size=-1\n")]), "broken at byte");
    check_items(&before(&[long(b'x', "99 path=a\n")]), "broken at byte 0");
    let giant = "x".repeat(2 << 20);
    check_items(&[file("first", ""), long(b'L', &giant)], "broken at byte 512");
    check_items(&[file("first", ""), long(b'x', &giant)], "broken at byte 512");
    check_items(&[long(b'L', "no entry\0")], "neither");
    let longer = "d/".repeat(4000) + "x";
    assert!(read_items(&before(&[long(b'L', &longer), file("short", "x")])).is_ok());

    for size in [*b"-0000000007\0", [0xff; 12]] {
        let mut header = header(&file("x", ""));
        header.as_mut_bytes()[124..136].copy_from_slice(&size);
        header.set_cksum();
        let archive = [header.as_bytes().to_vec(), tar_of(&docker_24())].concat();
        check(&archive, |error| matches!(error, Error::Broken { at: 0, .. }));
    }
    let mut header = header(&file("x", ""));
    header.set_size(i64::MAX.cast_unsigned());
    header.set_cksum();
    let archive = [header.as_bytes().to_vec(), tar_of(&docker_24())].concat();
    check(&archive, |error| matches!(error, Error::TooMuch { .. }));
}

#[test]
fn texts_and_records_have_bounds() {
    let large = "[".repeat(9 << 20);
    check_items(&[file("manifest.json", &large)], "`manifest.json` is longer than 8 MiB");
    let mut items = docker_24();
    let config = items.iter().position(|item| item.path.len() > 64).unwrap();
    items[config].content = large.into_bytes();
    check_items(&items, ".json` is longer than 8 MiB");
    check_items(&also(file("lab/records/a", "x".repeat(2 << 20))), "longer than 1 MiB");
    let many: Vec<Item> = (0..20).map(|at| file(format!("lab/records/{at}"), "x".repeat(1 << 20))).collect();
    check_items(&many, "bytes of records");
    let many: Vec<Item> = (0..50_001).map(|at| symlink(&format!("{at}/layer.tar"), "x")).collect();
    check_items(&many, "more than 50000 layers and texts");
}

#[test]
fn a_bomb_of_small_entries_costs_no_memory_and_ends() {
    let entry = tar_of(&[file("junk", "")])[..512].to_vec();
    let archive = io::Cursor::new(entry).chain(Endless(tar_of(&[file("junk", "")])[..512].to_vec()));
    let error = read_archive(&store().1, archive, options()).unwrap_err();
    assert!(matches!(error, Error::TooMuch { what: "entries", .. }), "{error:?}");
}

/// The same bytes over and over.
struct Endless(Vec<u8>);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let whole = buffer.len() - buffer.len() % self.0.len();
        buffer[..whole].chunks_mut(self.0.len()).for_each(|chunk| chunk.copy_from_slice(&self.0));
        Ok(whole)
    }
}

#[test]
fn what_is_cut_off_is_told_as_such_and_can_be_read_again() {
    for archive in [tar_of(&docker_24()), tar_of(&oci_layout(Compression::Gzip))] {
        let (_folder, store) = store();
        // The last block of zeros is only for those who like it.
        for length in (1..archive.len() - 512).step_by(100) {
            let error = read(&store, &archive[..length]).unwrap_err();
            assert!(matches!(error, Error::CutOff { .. }), "{length} of {}: {error:?}", archive.len());
        }
        check_store(&store);
        let images = read(&store, &archive).unwrap();
        check_whole(&store, &images);
    }
    for compression in [Compression::Gzip, Compression::Zstd] {
        let archive = pack(&tar_of(&docker_24()), compression);
        for length in (4..archive.len()).step_by(7) {
            check(&archive[..length], |error| matches!(error, Error::CutOff { .. }));
        }
    }
    check(b"", |error| matches!(error, Error::Empty));
    check(&pack(b"", Compression::Gzip), |error| matches!(error, Error::Empty));
    check(&[0xff; 4000], |error| matches!(error, Error::NotTar { .. }));
    check(b"hello", |error| matches!(error, Error::CutOff { .. }));
    assert!(Error::CutOff { bytes: 1 }.hint().unwrap().contains("again"));
}

#[test]
fn a_layer_that_cannot_be_unpacked_is_named() {
    let mut items = oci_layout(Compression::Gzip);
    let cut = items[0].content[..60].to_vec();
    items[0] = blob(cut);
    check_items(&items, "could not read the layer `blobs/sha256/");
}

#[test]
fn whoever_sends_the_archive_may_fail() {
    let archive = tar_of(&docker_24());
    for length in [0, 700, archive.len() / 2] {
        let broken = archive[..length].chain(Broken);
        let error = read_archive(&store().1, broken, options()).unwrap_err();
        let Error::Read { source } = error else { panic!("{error:?}") };
        assert_eq!(source.to_string(), "the engine died");
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the engine died"))
    }
}
