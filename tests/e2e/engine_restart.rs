//! The engine of the host dies. It is one of the test's own: that of the host has other users.

use crate::kit::{Engine, OwnEngine, TestLab};

/// Returns the base on which the image of a lab was built on the host's engine.
fn images() -> Vec<String> {
    let host = Engine::of_host();
    let lab = TestLab::with_nodes("images", 1);
    let node = host.docker(["inspect", "--format={{.Config.Image}}", &lab.machine("core-01")]);
    let layers =
        |image: &str| host.docker(["image", "inspect", "--format={{join .RootFS.Layers \" \"}}", image]);
    let of_node = layers(&node);
    let known = host.docker([
        "image",
        "ls",
        "--filter=reference=lab/base",
        "--filter=reference=debian",
        "--format={{.Repository}}:{{.Tag}}",
    ]);
    let bases = known.lines().filter(|image| of_node.starts_with(&layers(image))).map(str::to_owned);
    bases.chain([node.clone()]).collect()
}

#[test]
fn a_lab_outlives_a_crash_of_the_engine() {
    let images = images();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let mut own = OwnEngine::start();
    own.load(&images);
    let lab = TestLab::on(own.engine(), "engine");
    lab.ok(["up", "--nodes", "3"]);
    lab.sh("core-01", "etcdctl put /e2e/engine kept");
    let before = lab.healthy(3);

    own.kill_daemon();
    lab.run(["status"]).ends_with(6).says("no Docker engine answers").says("hint: start the engine");
    own.start_daemon();
    lab.ok(["up"]);
    assert_eq!(lab.healthy(3).addresses(), before.addresses());
    assert_eq!(lab.sh("core-03", "etcdctl get --print-value-only /e2e/engine"), "kept");

    let mut up = lab.start(["up", "--nodes", "5"]);
    up.wait_until_says("core-05  making");
    own.kill_daemon();
    let lost = up.finish();
    lost.says("the Docker engine").says("hint: start the engine");
    assert_ne!(lost.code, Some(0), "{lost}");
    own.start_daemon();
    lab.ok(["up"]);
    lab.healthy(5);
    assert_eq!(lab.sh("core-05", "etcdctl get --print-value-only /e2e/engine"), "kept");
}
