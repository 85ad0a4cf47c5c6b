//! Images that nodes are born with are as good as images that were loaded.

use super::{id_on, reload, write_image};
use crate::kit::{TestLab, wait_until};

/// All that a user may do with an image; what it prints must not depend on how the image came.
const USES: &str = "set -e
docker inspect --format '{{.Id}} {{.RootFS.Layers}}' web
docker run --rm web
mkdir -p /tmp/on-top && cd /tmp/on-top && echo more > more && printf 'FROM web\\nCOPY more /more\\n' > Dockerfile
docker build --quiet --tag on-top . > /dev/null && docker run --rm on-top
docker save web | tar -xO manifest.json | grep -o '\"Layers\".*' | tr ',' '\\n' | wc -l
docker save on-top > /tmp/on-top.tar && docker rmi on-top > /dev/null && docker load --input /tmp/on-top.tar | tail -n 1
docker rmi on-top > /dev/null";

#[test]
fn an_image_that_a_node_is_born_with_is_as_good_as_a_loaded_one() {
    let lab = TestLab::new("shared");
    lab.ok(["up", "--nodes", "1"]);
    write_image(&lab, "web", 2_000_000);
    let loaded = reload(&lab, &[]);
    assert!(loaded.nodes["core-01"].sent_bytes > 2_000_000, "{loaded:?}");
    // core-02 is born with it.
    lab.ok(["up", "--nodes", "2"]);
    let links = "sudo find /var/lib/docker/overlay2 -name diff -type l | wc -l";
    assert_eq!((lab.sh("core-01", links).trim(), lab.sh("core-02", links).trim()), ("0", "3"));
    assert_eq!(id_on(&lab, "core-01", "web"), id_on(&lab, "core-02", "web"));
    let [by_load, by_birth] = ["core-01", "core-02"].map(|node| lab.sh(node, USES));
    assert_eq!(by_load, by_birth);

    // It outlives a restart of the engine, of the node, and the loss of the node's machine.
    lab.sh("core-02", "sudo systemctl restart docker");
    lab.sh("core-02", "docker run --rm web");
    lab.ok(["halt", "core-02"]);
    lab.ok(["up"]);
    lab.sh("core-02", "docker run --rm web");
    lab.engine().docker(["rm", "--force", &lab.machine("core-02")]);
    lab.ok(["up"]);
    lab.sh("core-02", "docker run --rm web");

    // Removing it touches nobody else's.
    for node in ["core-01", "core-02"] {
        lab.sh(node, "docker rmi web");
        assert_eq!(lab.sh(node, "docker images --quiet --all").trim(), "");
        lab.sh(node, "! sudo ls /var/lib/docker/overlay2 | grep -v ^l$");
    }
    lab.ok(["up", "--nodes", "3"]);
    for node in ["core-01", "core-02", "core-03"] {
        lab.sh(node, "docker run --rm web");
    }
}

#[test]
fn volumes_with_layers_stay_as_long_as_a_node_needs_them() {
    let lab = TestLab::new("layers");
    write_image(&lab, "web", 1000);
    lab.ok(["up", "--nodes", "1"]);
    let filter = format!("--filter=label=lab.store={}", lab.store());
    let volumes = || lab.engine().docker(["volume", "ls", "--quiet", &filter]).lines().count();
    assert_eq!(volumes(), 1);
    lab.ok(["images", "prune"]);
    assert_eq!(volumes(), 1);
    lab.ok(["down", "-y"]);
    assert_eq!(volumes(), 1);
    let told = lab.ok(["images", "prune", "--dry-run", "-o", "json"]);
    assert!(told.contains("lab-layers-") && told.contains("web:latest"), "{told}");
    lab.ok(["images", "prune"]);
    assert_eq!(volumes(), 0);
    assert_eq!(lab.ok(["images", "ls", "--all", "-o", "json"]).trim(), "[]");
    // All of it comes back.
    lab.ok(["up", "--nodes", "1"]);
    lab.sh("core-01", "docker run --rm web");
}

#[test]
fn a_node_whose_engine_was_killed_while_it_booted_finds_its_images() {
    let lab = TestLab::new("reborn");
    write_image(&lab, "web", 1000);
    lab.ok(["up", "--nodes", "1"]);
    lab.engine().docker(["kill", &lab.machine("core-01")]);
    lab.engine().docker(["start", &lab.machine("core-01")]);
    wait_until("the node's engine answers", || {
        let version = lab.try_sh("core-01", "docker version");
        (version.code == Some(0)).then_some(())
    });
    lab.sh("core-01", "docker run --rm web");
}
