//! The stack `mesos-ha`: its true unit files, with images of ours in the place of Mesos' own.

use std::collections::BTreeSet;

use camino::Utf8Path;
use lab::fs;

use super::{NODES, all, bring_back, kill_leader};
use crate::kit::{StackStatus, TestLab, wait_until};

/// What `fleetctl list-units` showed of the seed on three nodes.
const ROWS: [&str; 13] = [
    "marathon.service",
    "mesos-master@1.service",
    "mesos-master@2.service",
    "mesos-master@3.service",
    "mesos-slave.service",
    "mesos-slave.service",
    "mesos-slave.service",
    "zookeeper-sidekick@1.service",
    "zookeeper-sidekick@2.service",
    "zookeeper-sidekick@3.service",
    "zookeeper@1.service",
    "zookeeper@2.service",
    "zookeeper@3.service",
];

/// The stand-ins end when an argument or a variable is not as Mesos needs it, and are elected by the real ZooKeeper.
#[test]
fn mesos_ha_with_stand_ins_for_its_images_serves_when_a_leader_dies() {
    let lab = TestLab::new("mesos");
    replace_images(&lab);
    let up = lab.run(["up", "--nodes", "3", "--stack", "mesos-ha"]);
    up.ends_with(0).says("stack mesos-ha: serves").says("http://");
    lab.healthy(3);
    assert_eq!(rows(&lab), ROWS);
    is_well(lab.status().stack("mesos-ha"), &NODES);
    lab.run(["up", "--stack", "mesos-ha"]).ends_with(0).says("nothing to do");

    let (dead, heir) = kill_leader(&lab, "mesos-ha", "mesos-master@");
    let alive: Vec<&'static str> = NODES.into_iter().filter(|node| *node != dead).collect();
    wait_until("what is left serves", || {
        let status = lab.status();
        let stack = status.find_stack("mesos-ha")?;
        let is_led = stack.answering("mesos") == BTreeSet::from([heir.as_str()]);
        let has_marathon = stack.answering("marathon").iter().any(|node| alive.contains(node));
        (is_led && has_marathon && stack.serving("mesos-slave") == all(&alive)).then_some(())
    });

    bring_back(&lab, "mesos-ha");
    assert_eq!(rows(&lab), ROWS);
    is_well(lab.status().stack("mesos-ha"), &NODES);
}

/// Has the project say what the images are, under the names that they have in the stack.
fn replace_images(lab: &TestLab) {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(&root.join(path)).expect("it comes with these tests");
    let stack: toml::Table = read("services/mesos-ha/stack.toml").parse().expect("it is TOML");
    let mut file = String::new();
    for program in ["mesos-master", "mesos-slave", "marathon"] {
        let name = stack["images"][program]["pull"].as_str().expect("it is pulled");
        file += &format!(
            "[images.{program}]\nbuild = \"stand-in\"\nname = \"{name}\"\nargs = {{ PROGRAM = \"{program}\" }}\n"
        );
    }
    lab.write("lab.toml", file);
    lab.write("stand-in/Dockerfile", read("tests/data/mesos/Dockerfile"));
    let program = lab.project().join("stand-in/stand-in");
    fs::write(&program, read("tests/data/mesos/stand-in"), fs::Access::Program).expect("the project is ours");
}

/// Lists the units that run, each as often as it does.
fn rows(lab: &TestLab) -> Vec<String> {
    let listed = lab.ok(["units", "--output=json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("it is JSON");
    let rows = listed["rows"].as_array().expect("there are rows").iter();
    let active = rows.filter(|row| row["active"] == "active" && row["sub"] == "running");
    let mut names: Vec<String> =
        active.map(|row| row["unit"].as_str().unwrap_or_default().to_owned()).collect();
    names.sort();
    names
}

#[track_caller]
fn is_well(stack: &StackStatus, nodes: &[&'static str]) {
    for unit in ["zookeeper@", "zookeeper-sidekick@", "mesos-master@", "mesos-slave"] {
        assert_eq!(stack.serving(unit), all(nodes), "{unit}: {stack:?}");
    }
    assert_eq!(stack.serving("marathon").len(), 1, "{stack:?}");
    assert_eq!(stack.answering("mesos"), stack.leader("mesos-master@").into_iter().collect(), "{stack:?}");
}
