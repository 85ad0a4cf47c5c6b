//! Only what is missing travels.

use lab::fs;

use super::{id_on, reload, write_image};
use crate::kit::TestLab;

const NODES: [&str; 3] = ["core-01", "core-02", "core-03"];

#[test]
fn a_changed_file_is_all_that_travels_and_new_nodes_have_everything() {
    let lab = TestLab::new("travel");
    write_image(&lab, "web", 5_000_000);
    lab.write("images/notes.txt", "no image");
    lab.ok(["up", "--nodes", "3"]);
    lab.healthy(3);
    for node in NODES {
        assert_eq!(lab.sh(node, "docker run --rm web").trim(), format!("labd {}", env!("CARGO_PKG_VERSION")));
    }

    let nothing = reload(&lab, &[]);
    assert!(
        nothing.made.is_empty() && nothing.nodes.values().all(|node| node.images.is_empty()),
        "{nothing:?}"
    );
    assert!(lab.run(["up", "--dry-run"]).stdout.is_empty());

    // A time that changed is no change, and a mode is one.
    let before = id_on(&lab, "core-01", "web");
    let touched = std::fs::File::options().append(true).open(lab.project().join("images/web/text")).unwrap();
    touched.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert!(reload(&lab, &[]).made.is_empty());

    lab.write("images/web/text", "two");
    assert!(lab.ok(["images", "why", "web"]).contains("text"), "it is told which file changed");
    assert!(lab.ok(["up", "--dry-run"]).contains("load images on"));
    let changed = reload(&lab, &[]);
    assert_eq!(changed.made.keys().collect::<Vec<_>>(), ["web"]);
    for (node, loaded) in &changed.nodes {
        assert_eq!(loaded.images, ["web:latest"], "{node}");
        // The layer is a tar archive with one small file in it.
        assert!((512..8192).contains(&loaded.sent_bytes), "{node}: {loaded:?}");
        assert!(loaded.skipped_bytes > 10_000_000, "{node}: {loaded:?}");
    }
    let after = id_on(&lab, "core-01", "web");
    assert_ne!(before, after);
    // What the name meant before is gone from the nodes.
    assert_eq!(lab.sh("core-02", "docker images --quiet | wc -l").trim(), "1");

    lab.ok(["up", "--nodes", "4"]);
    assert_eq!(id_on(&lab, "core-04", "web"), after);
    lab.sh("core-04", "docker run --rm web");
}

#[test]
fn what_nodes_lost_or_renamed_is_brought_back() {
    let lab = TestLab::new("brought-back");
    write_image(&lab, "web", 1000);
    write_image(&lab, "db", 2000);
    lab.ok(["up", "--nodes", "2"]);
    let (web, db) = (id_on(&lab, "core-01", "web"), id_on(&lab, "core-01", "db"));
    lab.sh("core-01", "docker rmi web");
    lab.sh("core-02", "docker tag db web");
    let plan = lab.ok(["up", "--dry-run"]);
    assert!(
        plan.contains("it has no web:latest") && plan.contains("web:latest is another image there"),
        "{plan}"
    );

    let one = reload(&lab, &["--node", "core-01"]);
    assert_eq!(one.nodes.keys().collect::<Vec<_>>(), ["core-01"]);
    lab.ok(["up"]);
    for node in ["core-01", "core-02"] {
        assert_eq!((id_on(&lab, node, "web"), id_on(&lab, node, "db")), (web.clone(), db.clone()));
    }
    let missing = lab.run(["reload-images", "wbe"]);
    assert_eq!(missing.code, Some(4));
    assert!(missing.stderr.contains("it has db, web"), "{missing}");
}

#[test]
fn a_node_that_does_not_see_the_store_is_sent_the_blobs() {
    let lab = TestLab::new("unseen");
    write_image(&lab, "web", 3_000_000);
    lab.ok(["up", "--nodes", "2"]);
    lab.write("images/web/text", "two");
    // Another cache is not the one that the nodes were made with.
    let other = lab.cmd(["reload-images", "-o", "json"]).env("XDG_CACHE_HOME", lab.file("other"));
    let run = lab.run_cmd(&other);
    let done: super::Reloaded = serde_json::from_str(&run.ok()).unwrap();
    assert!(done.sent().iter().all(|sent| (512..8192).contains(sent)), "{done:?}");
    lab.sh("core-01", "docker rmi web");
    let run = lab.run_cmd(&other);
    let done: super::Reloaded = serde_json::from_str(&run.ok()).unwrap();
    assert!(done.nodes["core-01"].sent_bytes > 3_000_000, "{done:?}");
    lab.sh("core-01", "docker run --rm web");
    assert!(fs::list(&lab.file("other/lab/store/blobs/sha256")).unwrap().len() > 3);
}
