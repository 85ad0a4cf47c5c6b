//! What is broken is found, named and made again.

use camino::Utf8PathBuf;
use lab::fs;

use super::{id_on, reload, write_image};
use crate::kit::TestLab;

/// Changes one byte in the middle of the largest blob, and returns its digits.
#[track_caller]
fn break_largest(lab: &TestLab) -> String {
    let folder = lab.store().join("blobs/sha256");
    let size = |name: &String| std::fs::metadata(folder.join(name)).unwrap().len();
    let name = fs::list(&folder).unwrap().into_iter().max_by_key(size).unwrap();
    let path = folder.join(&name);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes, fs::Access::Public).unwrap();
    name
}

#[test]
fn a_broken_blob_is_named_thrown_away_and_made_again() {
    let lab = TestLab::new("broken");
    write_image(&lab, "web", 8_000_000);
    lab.ok(["up", "--nodes", "2"]);
    let id = id_on(&lab, "core-01", "web");

    let name = break_largest(&lab);
    lab.sh("core-01", "docker rmi web");
    let run = lab.run(["reload-images"]);
    run.ok();
    assert!(run.stderr.contains(&name) && run.stderr.contains("broken"), "{run}");
    assert_eq!(id_on(&lab, "core-01", "web"), id);
    lab.sh("core-01", "docker run --rm web");

    let name = break_largest(&lab);
    let run = lab.run(["images", "verify"]);
    run.ok();
    assert!(run.stderr.contains(&name) && run.stderr.contains("made again: web"), "{run}");
    assert!(lab.run(["images", "verify"]).stderr.contains("everything is as it should be"));
}

#[test]
fn a_store_that_lost_everything_is_filled_again() {
    let lab = TestLab::new("lost");
    write_image(&lab, "web", 100_000);
    lab.ok(["up", "--nodes", "1"]);
    fs::remove_dir(&lab.store()).unwrap();
    lab.sh("core-01", "docker rmi web");
    let again = reload(&lab, &[]);
    assert_eq!(again.made.keys().collect::<Vec<_>>(), ["web"]);
    lab.sh("core-01", "docker run --rm web");
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let lab = TestLab::new("full");
    write_image(&lab, "web", 30_000_000);
    lab.ok(["up", "--nodes", "1"]);
    lab.write("images/web/text", "two");
    let small = lab.file("small");
    fs::create_dir(&small).unwrap();
    lab.engine().docker(["volume", "ls"]);
    let mount = |args: &[&str]| {
        let cmd = lab::exec::Cmd::new(args[0]).args(args[1..].iter().copied());
        lab.run_cmd(&cmd).ok()
    };
    mount(&["mount", "-t", "tmpfs", "-o", "size=12m", "none", small.as_str()]);
    let run = lab.run_cmd(&lab.cmd(["reload-images"]).env("XDG_CACHE_HOME", small.clone()));
    let left = leftovers(&small.join("lab/store"));
    mount(&["umount", small.as_str()]);
    assert_eq!(run.code, Some(1), "{run}");
    assert!(
        run.stderr.contains("No space left on device") && run.stderr.contains("lab images prune"),
        "{run}"
    );
    assert_eq!(left, [""; 0], "nothing half-written is left");
    lab.ok(["reload-images"]);
    lab.sh("core-01", "docker run --rm web");
}

fn leftovers(store: &Utf8PathBuf) -> Vec<String> {
    fs::list(&store.join("lab/tmp")).unwrap()
}
