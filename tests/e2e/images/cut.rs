//! Loads and builds that are cut off, by whatever.

use super::{id_on, write_image};
use crate::kit::{TestLab, wait_until};

/// Cuts a load in the middle by `cut`, and lets the next reload repair what is left.
#[track_caller]
fn cut_in_the_middle(topic: &str, cut: impl FnOnce(&TestLab)) {
    let lab = TestLab::new(topic);
    lab.ok(["up", "--nodes", "2"]);
    write_image(&lab, "web", 150_000_000);
    lab.ok(["images", "build"]);
    let reload = lab.start(["reload-images", "--progress", "json"]);
    wait_until("a node is half-way through its load", || {
        let log = lab.try_sh("core-01", "sudo find /var/lib/docker/tmp -name 'docker-import-*' | head -1");
        (!log.stdout.trim().is_empty()).then_some(())
    });
    cut(&lab);
    reload.finish();
    lab.ok(["up"]);
    lab.healthy(2);
    for node in ["core-01", "core-02"] {
        lab.sh(node, "docker run --rm web");
        assert_eq!(
            lab.sh(node, "sudo find /var/lib/docker/tmp -name 'docker-import-*'").trim(),
            "",
            "{node}"
        );
    }
    assert_eq!(id_on(&lab, "core-01", "web"), id_on(&lab, "core-02", "web"));
}

#[test]
fn a_node_that_dies_while_it_loads_has_everything_after_up() {
    cut_in_the_middle("node-dies", |lab| drop(lab.engine().docker(["kill", &lab.machine("core-01")])));
}

#[test]
fn an_engine_that_dies_while_it_loads_has_everything_after_up() {
    cut_in_the_middle("engine-dies", |lab| drop(lab.sh("core-01", "sudo kill -KILL $(pidof dockerd)")));
}

#[test]
fn two_who_build_the_same_image_at_once_both_have_it() {
    let lab = TestLab::new("both");
    write_image(&lab, "web", 5_000_000);
    let builds: Vec<_> = (0..2).map(|_| lab.start(["images", "build"])).collect();
    for build in builds {
        build.finish().ok();
    }
    assert!(lab.run(["images", "verify"]).stderr.contains("everything is as it should be"));
    assert!(lab.run(["images", "build"]).stderr.contains("nothing changed"));
}
