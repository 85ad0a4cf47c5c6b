//! Nodes that Vagrant makes with Docker: the contract, and what people do with plain `vagrant` beside `lab`.

use lab::config::VagrantProvider;
use serde_json::Value;

use crate::contract::contract;
use crate::images::{id_on, reload, write_image};
use crate::kit::fleet::sleeper;
use crate::kit::{Check, Run, TestLab, suite};

const NODES: [&str; 3] = ["core-01", "core-02", "core-03"];

const CHECKS: [Check; 11] = [
    ("images of the lab run on each node", images_run),
    ("a changed image reaches all nodes", a_changed_image_is_sent),
    ("units go where their metadata says", units_are_placed),
    ("plain vagrant knows the nodes and enters them", plain_vagrant_works),
    ("a status starts no Ruby", status_needs_no_vagrant),
    ("the lab is listed, from any folder", the_lab_is_listed),
    ("another provider does not take the lab", the_lab_stays_with_its_provider),
    ("a node that was halted by hand is started", a_node_halted_by_hand_is_started),
    ("a node that was destroyed by hand is made again", a_node_destroyed_by_hand_is_made_again),
    ("a halted lab comes back with its data", a_halted_lab_comes_back),
    ("without its entry in the user's folder the lab is found too", the_lab_is_found_by_its_own_files),
];

#[test]
fn vagrant_makes_nodes_with_docker() {
    let lab = TestLab::vagrant("vg-docker", VagrantProvider::Docker);
    write_image(&lab, "web", 100_000);
    let up = lab.run(["up", "--nodes", "3"]);
    up.ends_with(0);
    contract(&lab);
    lab.healthy(3);
    suite(&lab, &CHECKS);
    lab.healthy(3);
    lab.run(["up"]).ends_with(0).says("nothing to do");

    let elsewhere = lab.file("elsewhere");
    lab::fs::create_dir(&elsewhere).expect("the temporary folder is ours");
    Run::of(&lab.cmd(["down", "-y", "--lab", lab.name()]), elsewhere.as_std_path()).ok();
    lab.gone();
}

fn images_run(lab: &TestLab) {
    for node in NODES {
        assert!(lab.sh(node, "docker run --rm web").starts_with("labd "));
    }
}

fn a_changed_image_is_sent(lab: &TestLab) {
    let before = id_on(lab, "core-02", "web");
    lab.write("images/web/text", "two");
    let sent = reload(lab, &[]);
    assert_eq!((sent.made.len(), sent.nodes.len()), (1, 3), "{sent:?}");
    let after = NODES.map(|node| id_on(lab, node, "web"));
    assert!(after.iter().all(|id| *id == after[0] && *id != before), "{before} {after:?}");
}

fn units_are_placed(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    for node in NODES {
        let unit = format!("on@{node}.service");
        fleet.start(&unit, &sleeper("MachineMetadata=hostname=%i"));
        assert!(fleet.active()[&unit].contains(node), "{unit}");
    }
    fleet.clear();
}

fn plain_vagrant_works(lab: &TestLab) {
    let told = lab.plain_vagrant(["status", "--machine-readable"]).ok();
    for node in NODES {
        assert!(told.contains(&format!(",{node},state,running")), "{told}");
    }
    assert_eq!(lab.plain_vagrant(["ssh", "core-02", "-c", "hostname"]).ok().trim(), "core-02");
}

fn status_needs_no_vagrant(lab: &TestLab) {
    let script = "#!/bin/sh\necho asked >> \"$0.asked\"\nexit 1\n";
    let status = lab.with_other_vagrant(script, &["status"]);
    status.ends_with(0);
    lab.with_other_vagrant(script, &["exec", "--all", "--", "true"]).ends_with(0);
    assert!(!lab.file("other-vagrant/vagrant.asked").exists(), "{status}");
}

fn the_lab_is_listed(lab: &TestLab) {
    let listed = Run::of(&lab.cmd(["ls", "--output=json"]), "/".as_ref()).ok();
    let labs: Vec<Value> = serde_json::from_str(&listed).expect("`lab ls` prints JSON");
    let own: Vec<&Value> = labs.iter().filter(|other| other["lab"] == lab.name()).collect();
    let [own] = own[..] else { panic!("{listed}") };
    assert_eq!((&own["provider"], &own["nodes"], &own["running"]), (&"vagrant".into(), &3.into(), &3.into()));
    assert_eq!(own["project"], lab.project().as_str());
}

fn the_lab_stays_with_its_provider(lab: &TestLab) {
    let other = lab.run(["up", "--provider", "container"]);
    other.ends_with(2).says("is made by `vagrant`, not by `container`").says("lab down --lab");
    let other = lab.run(["up", "--vagrant-provider", "virtualbox"]);
    other.ends_with(2).says("is made by `docker`, not by `virtualbox`");
    lab.healthy(3);
}

#[track_caller]
fn states(lab: &TestLab) -> Vec<String> {
    let run = lab.run(["status", "--output=json"]);
    run.ends_with(3);
    crate::kit::Status::of(&run).nodes.into_iter().map(|node| node.state).collect()
}

fn a_node_halted_by_hand_is_started(lab: &TestLab) {
    lab.sh("core-02", "echo mine > /home/core/note");
    lab.plain_vagrant(["halt", "core-02"]).ok();
    assert_eq!(states(lab), ["running", "stopped", "running"]);
    lab.ok(["up"]);
    lab.healthy(3);
    assert_eq!(lab.sh("core-02", "cat /home/core/note"), "mine");
}

fn a_node_destroyed_by_hand_is_made_again(lab: &TestLab) {
    lab.sh("core-01", "etcdctl put /e2e/destroyed kept");
    let (before, members) = (lab.status().addresses(), lab.status().etcd.members);
    let id = id_on(lab, "core-02", "web");
    lab.plain_vagrant(["destroy", "-f", "core-02"]).ok();
    assert_eq!(states(lab), ["running", "missing", "running"]);
    let plain = lab.plain_vagrant(["status", "core-02", "--machine-readable"]).ok();
    assert!(plain.contains(",core-02,state,not_created"), "{plain}");
    lab.ok(["up"]);
    let status = lab.healthy(3);
    assert_eq!((status.addresses(), &status.etcd.members), (before, &members));
    let own = "etcdctl --endpoints 127.0.0.1:2379 get --print-value-only /e2e/destroyed";
    assert_eq!(lab.sh("core-02", own), "kept");
    assert_eq!(id_on(lab, "core-02", "web"), id);
}

fn a_halted_lab_comes_back(lab: &TestLab) {
    lab.sh("core-01", "etcdctl put /e2e/halted kept");
    let before = lab.status().addresses();
    lab.ok(["halt"]);
    assert_eq!(states(lab), ["stopped"; 3]);
    lab.run(["halt"]).ends_with(0).says("nothing to do");
    lab.ok(["up"]);
    assert_eq!(lab.healthy(3).addresses(), before);
    assert_eq!(lab.sh("core-03", "etcdctl get --print-value-only /e2e/halted"), "kept");
    images_run(lab);
}

fn the_lab_is_found_by_its_own_files(lab: &TestLab) {
    let without = |args: &[&str]| lab.cmd(args.iter().copied()).env("XDG_STATE_HOME", lab.file("state-2"));
    lab.run_cmd(&without(&["status"])).ends_with(0);
    lab.run_cmd(&without(&["exec", "core-02", "--", "true"])).ends_with(0);
}
