//! Images from elsewhere: archives, the engine of this host, another machine's cache.

use super::{id_on, reload, write_image};
use crate::kit::TestLab;

#[test]
fn a_whole_cache_moves_to_a_machine_that_has_nothing_else() {
    let lab = TestLab::new("moves");
    write_image(&lab, "web", 200_000);
    lab.ok(["up", "--nodes", "1"]);
    let id = id_on(&lab, "core-01", "web");
    lab.ok(["images", "export", lab.file("all.tar").as_str()]);
    // Another cache, and an engine that does not have the image.
    lab.engine().docker(["rmi", "web"]);
    let elsewhere =
        |args: &[&str]| lab.cmd(args.iter().copied()).env("XDG_CACHE_HOME", lab.file("elsewhere"));
    let run = lab.run_cmd(&elsewhere(&["images", "import", lab.file("all.tar").as_str()]));
    assert!(run.stderr.contains("web:latest"), "{run}");
    lab.sh("core-01", "docker rmi web");
    let run = lab.run_cmd(&elsewhere(&["reload-images"]));
    run.ok();
    assert_eq!(id_on(&lab, "core-01", "web"), id);
    lab.sh("core-01", "docker run --rm web");
}

#[test]
fn an_archive_and_an_image_of_the_engine_become_images_of_the_lab() {
    let lab = TestLab::new("elsewhere");
    write_image(&lab, "web", 200_000);
    lab.ok(["images", "build"]);
    let mine = format!("{}-mine:1", lab.name());
    lab.engine().docker(["tag", "web", &mine]);
    lab.engine().docker(["save", "--output", lab.file("saved.tar").as_str(), &mine]);
    let file = format!(
        "[images.taken]\nengine = \"{mine}\"\n[images.read]\narchive = \"{}\"\nname = \"read:2\"\n",
        lab.file("saved.tar")
    );
    lab.write("lab.toml", file);
    lab.ok(["up", "--nodes", "1"]);
    let ids = ["web", &mine, "read:2"].map(|name| id_on(&lab, "core-01", name));
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    // What was taken once stays, also when the engine forgets it.
    lab.engine().docker(["rmi", &mine]);
    assert!(reload(&lab, &[]).made.is_empty());
}
