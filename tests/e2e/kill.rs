//! `lab` dies at every point at which it leaves something new behind, and the next run repairs that.

use lab::checkpoint::Checkpoint;

use crate::images::write_image;
use crate::kit::TestLab;

/// What `lab` was doing when it died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    Boot,
    Shrink,
    Down,
    Rollout,
}

/// Returns the scenes in which a checkpoint is reached. A new checkpoint has to be given at least one.
fn scenes(at: Checkpoint) -> &'static [Scene] {
    match at {
        Checkpoint::Locked => &[Scene::Boot, Scene::Shrink, Scene::Down],
        Checkpoint::KeysWritten | Checkpoint::StateWritten | Checkpoint::NodeReady => {
            &[Scene::Boot, Scene::Shrink]
        }
        Checkpoint::ImageReady
        | Checkpoint::ImageMade
        | Checkpoint::LayersShared
        | Checkpoint::ImagesLoaded
        | Checkpoint::NetworkMade
        | Checkpoint::NodeCreated
        | Checkpoint::NodeStarted
        | Checkpoint::UnitsSubmitted => &[Scene::Boot],
        Checkpoint::MemberRemoved => &[Scene::Shrink],
        Checkpoint::NodeRemoved => &[Scene::Shrink, Scene::Down],
        Checkpoint::VolumesRemoved | Checkpoint::NetworkRemoved => &[Scene::Down],
        Checkpoint::UnitReplaced => &[Scene::Rollout],
    }
}

fn points(scene: Scene) -> Vec<Checkpoint> {
    Checkpoint::ALL.into_iter().filter(|at| scenes(*at).contains(&scene)).collect()
}

#[test]
fn every_checkpoint_has_a_scene() {
    for at in Checkpoint::ALL {
        assert!(!scenes(at).is_empty(), "{at:?}");
    }
}

/// Kills the first `up` of a lab at each point, and goes on by `up` once and by `down` once.
#[test]
fn a_boot_that_was_killed_is_finished_or_removed() {
    let lab = TestLab::new("kill-boot");
    write_image(&lab, "web", 100_000);
    lab.write_small_stack("one");
    let up = ["up", "--nodes", "2", "--stack", "small"];
    for at in points(Scene::Boot) {
        lab.ok(["images", "prune"]);
        lab.kill_at(at, up);
        lab.ok(["down", "-y"]);
        lab.gone();

        // Each time, images have to be made and unpacked again.
        lab.ok(["images", "prune"]);
        lab.kill_at(at, up);
        let chosen = lab.files().load().expect("what is remembered can be read");
        lab.ok(up);
        let status = lab.healthy(2);
        lab.sh("core-02", "docker run --rm web");
        if let Some(chosen) = chosen {
            assert_eq!(status.subnet, Some(chosen.topology.subnet.to_string()), "after {at:?}");
        }
        lab.runs_small_stack("one");
        lab.ok(["down", "-y"]);
        lab.gone();
    }
}

/// Kills the change from three nodes to two at each point; `up` alone knows how it was to end.
#[test]
fn a_shrink_that_was_killed_is_finished() {
    for at in points(Scene::Shrink) {
        let lab = TestLab::with_nodes("kill-shrink", 3);
        lab.sh("core-01", "etcdctl put /e2e/kill kept");
        let before = lab.healthy(3);
        lab.kill_at(at, ["up", "--nodes", "2", "-y"]);
        if [Checkpoint::Locked, Checkpoint::KeysWritten].contains(&at) {
            // The new number was not written down yet: nothing has begun.
            lab.ok(["up"]);
            lab.healthy(3);
            continue;
        }
        lab.ok(["up", "-y"]);
        let status = lab.healthy(2);
        assert_eq!(status.etcd.members, ["core-01"], "after {at:?}");
        assert_eq!((&status.subnet, status.addresses()), (&before.subnet, before.addresses()[..2].to_vec()));
        assert_eq!(lab.sh("core-02", "etcdctl get --print-value-only /e2e/kill"), "kept", "after {at:?}");
        lab.run(["up"]).ends_with(0).says("nothing to do");
    }
}

/// Kills the change of two units' file, and that of their image, when one of them has it and the other not.
#[test]
fn a_rollout_that_was_killed_is_finished() {
    let lab = TestLab::new("kill-rollout");
    write_image(&lab, "web", 100_000);
    lab.write_small_stack("one");
    lab.ok(["up", "--nodes", "2", "--stack", "small"]);
    for at in points(Scene::Rollout) {
        lab.write_small_stack("two");
        lab.kill_at(at, ["up", "--stack", "small"]);
        lab.ok(["up", "--stack", "small"]);
        lab.runs_small_stack("two");

        lab.write("images/web/text", "two");
        lab.kill_at(at, ["reload-images"]);
        lab.ok(["up", "--stack", "small"]);
        lab.runs_small_stack("two");
    }
}

/// Kills `down` at each point, and goes on by `down` once and by `up` once.
#[test]
fn a_removal_that_was_killed_is_finished_or_undone() {
    let lab = TestLab::new("kill-down");
    for at in points(Scene::Down) {
        lab.ok(["up", "--nodes", "2"]);
        lab.kill_at(at, ["down", "-y"]);
        lab.ok(["down", "-y"]);
        lab.gone();

        lab.ok(["up", "--nodes", "2"]);
        lab.kill_at(at, ["down", "-y"]);
        lab.ok(["up", "--nodes", "2"]);
        lab.healthy(2);
        lab.ok(["down", "-y"]);
        lab.gone();
    }
}
