//! Nodes that Vagrant's own VirtualBox provider makes, over a stand-in for `VBoxManage` whose machines are containers.

use std::net::TcpListener;

use lab::config::VagrantProvider;
use lab::exec::Cmd;
use lab::fs;
use lab::vagrant::{Folder, NodesFile};
use rustix::process::Signal;
use serde_json::Value;

use crate::contract::contract;
use crate::images::{id_on, reload, write_image};
use crate::kit::vagrant::BOX;
use crate::kit::{Check, Machines, TestLab, suite, wait_until};

const CHECKS: [Check; 9] = [
    ("the Vagrantfile says nothing that VirtualBox does not know", the_vagrantfile_is_valid),
    ("machines are clones of one master on one network", machines_share_master_and_network),
    ("images travel over ssh, and of a changed one what is new", images_travel),
    ("a status starts neither Ruby nor a slow look", status_needs_no_vagrant),
    ("plain vagrant enters a node as the lab does", plain_vagrant_enters),
    ("a node that was halted by hand gets another port if its own is taken", a_taken_port_is_given_up),
    ("machines that plain vagrant made are taken over", plain_machines_are_adopted),
    ("a node that was destroyed by hand joins again", a_destroyed_node_joins_again),
    ("limits of a machine change with a restart", limits_change),
];

#[test]
fn vagrant_makes_nodes_with_virtualbox() {
    let machines = Machines::virtualbox("vb");
    let lab = &*machines;
    write_image(lab, "web", 100_000);
    lab.run(["up", "--nodes", "3"]).ends_with(0).says("by `vagrant` with `virtualbox`");
    contract(lab);
    suite(lab, &CHECKS);
    lab.run(["up"]).ends_with(0).says("nothing to do");
    // Also a lab whose folder is gone is found and removed.
    fs::remove_dir(&lab.project().join(".lab")).expect("the project is ours");
    lab.ok(["down", "-y"]);
    assert_eq!(machines.containers(), [""; 0]);
}

fn known(lab: &TestLab) -> NodesFile {
    let name = lab.name().parse().expect("it is a name");
    Folder::of(&lab.project(), &name).load().expect("the file can be read").expect("the lab is there")
}

fn machines_share_master_and_network(lab: &TestLab) {
    let calls = lab.calls();
    // What `import -n` would do is only looked at.
    let is = |call: &&String, verb: &str| call.contains(verb) && !call.contains(" import -n ");
    let count = |verb: &str| calls.iter().filter(|call| is(call, verb)).count();
    assert_eq!((count(" import "), count(" clonevm ")), (1, 3), "{calls:#?}");
    assert_eq!(count(" hostonlyif create"), 1);
    for node in ["core-01", "core-03"] {
        lab.sh(node, "getent hosts core-02 && ping -c 1 -W 5 core-02");
    }
}

/// What a provider is told is checked only where it is there.
fn the_vagrantfile_is_valid(lab: &TestLab) {
    let said = lab.plain_vagrant(["validate"]).ok();
    assert!(said.contains("validated successfully"), "{said}");
    let listed: Vec<Value> =
        serde_json::from_str(&lab.ok(["ls", "--output=json"])).expect("`lab ls` prints JSON");
    assert!(listed.iter().any(|other| other["lab"] == lab.name() && other["running"] == 3), "{listed:?}");
}

fn images_travel(lab: &TestLab) {
    let before = id_on(lab, "core-02", "web");
    lab.write("images/web/text", "two");
    let sent = reload(lab, &[]);
    assert_eq!((sent.made.len(), sent.nodes.len()), (1, 3), "{sent:?}");
    assert_ne!(id_on(lab, "core-02", "web"), before);
}

fn status_needs_no_vagrant(lab: &TestLab) {
    let script = "#!/bin/sh\necho asked >> \"$0.asked\"\nexit 1\n";
    lab.with_other_vagrant(script, &["status"]).ends_with(0);
    assert!(!lab.file("other-vagrant/vagrant.asked").exists());
}

fn plain_vagrant_enters(lab: &TestLab) {
    let said = lab.plain_vagrant(["ssh", "core-02", "-c", "hostname; id -un"]).ok();
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["core-02", "core"]);
}

fn a_taken_port_is_given_up(lab: &TestLab) {
    let port = |lab: &TestLab| {
        let node = "core-02".parse().expect("it is a name");
        known(lab).node(&node).and_then(|node| node.ssh_port).expect("a machine has a port")
    };
    let before = port(lab);
    lab.plain_vagrant(["halt", "core-02"]).ok();
    let taken = TcpListener::bind(("127.0.0.1", before)).expect("a machine that is off uses no port");
    lab.ok(["up"]);
    drop(taken);
    lab.healthy(3);
    assert_ne!(port(lab), before);
}

/// The first of them had its seed already: who is made anew under a name is nobody yet.
fn plain_machines_are_adopted(lab: &TestLab) {
    lab.sh("core-01", "etcdctl put /e2e/adopt kept");
    lab.plain_vagrant(["destroy", "--force", "core-02"]).ok();
    lab.plain_vagrant(["up", "core-02"]).ok();
    assert_eq!(lab.status().node("core-02").state, "created");
    lab.run(["adopt"]).ends_with(0).says("taken over core-02");
    lab.healthy(3);
    assert_eq!(lab.sh("core-02", "etcdctl get --print-value-only /e2e/adopt"), "kept");
    lab.run(["adopt"]).ends_with(0).says("nothing to do");
}

fn a_destroyed_node_joins_again(lab: &TestLab) {
    lab.plain_vagrant(["destroy", "--force", "core-03"]).ok();
    assert_eq!(lab.status().node("core-03").state, "missing");
    lab.ok(["up"]);
    assert_eq!(lab.healthy(3).etcd.members.len(), 3);
}

fn limits_change(lab: &TestLab) {
    lab.ok(["up", "--memory", "768MiB"]);
    lab.healthy(3);
    assert!(known(lab).nodes.iter().all(|node| node.memory_mib == 768));
    let told = lab.calls();
    let changed = told.iter().filter(|call| call.contains("--memory 768")).count();
    assert!(changed >= 3, "{changed}");
    lab.write("lab.toml", format!("{BOX}[node]\nmemory = \"768MiB\"\n"));
}

/// What may happen to `lab`, and at which of VirtualBox's operations.
const BLOWS: [(&str, Signal, Option<i32>); 4] = [
    ("import", Signal::INT, Some(130)),
    ("clonevm", Signal::KILL, None),
    ("startvm", Signal::INT, Some(130)),
    ("startvm", Signal::KILL, None),
];

#[test]
fn what_was_cut_off_in_virtualbox_goes_on() {
    let machines = Machines::virtualbox("vb-cut").slow("import=2,clonevm=1,startvm=1");
    let lab = &*machines;
    for (at, signal, code) in BLOWS {
        let before = lab.calls().len();
        let mut up = lab.start(["up", "--nodes", "2"]);
        wait_until(&format!("{at} is under way"), || {
            lab.calls().iter().skip(before).any(|call| call.contains(&format!(" {at} "))).then_some(())
        });
        up.signal(signal);
        let ended = up.finish();
        assert_eq!(ended.code, code, "at {at}: {ended}");
        lab.ok(["up"]);
        lab.healthy(2);
        lab.ok(["down", "-y"]);
        lab.gone();
        assert_eq!(machines.containers(), [""; 0], "after {at}");
        assert_eq!(machines.networks(), [""; 0], "the network was made for this lab");
    }
}

#[test]
fn what_virtualbox_refuses_is_told_with_its_cure() {
    let machines = Machines::virtualbox("vb-fail");
    for (fault, code, says, cure) in [
        ("hostonlyif::hostonly-range", 1, "E_ACCESSDENIED", "192.168.56.0/21"),
        ("import::disk-full", 1, "core-01", "make room"),
        ("startvm:core-01:vtx", 1, "core-01", "in the firmware"),
    ] {
        let cmd = machines.cmd(["up", "--nodes", "1"]).env("STANDIN_FAIL", fault);
        let run = machines.run_cmd(&cmd);
        run.ends_with(code).says(says).says(cure);
    }
    machines.ok(["up", "--nodes", "1"]);
    machines.healthy(1);

    let version = machines.cmd(["up", "--nodes", "2"]).env("STANDIN_VERSION", "7.2.0r1");
    machines.run_cmd(&version).ends_with(6).says("update Vagrant");
    let refused = machines.run(["up", "--lab", "e2e-vb-net", "--nodes", "1", "--subnet", "10.99.0.0/24"]);
    refused.ends_with(2).says("networks.conf");
}

impl TestLab {
    /// Returns all that VirtualBox was asked for, one call a line.
    fn calls(&self) -> Vec<String> {
        let log = fs::read_if_present(&self.file("standin/calls.log")).expect("the log can be read");
        log.unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_missing_virtualbox_is_told_with_its_cure() {
    let lab = TestLab::vagrant("vb-none", VagrantProvider::VirtualBox);
    // There is no VirtualBox on any machine that runs these tests.
    let found = lab.run_cmd(&Cmd::new("sh").args(["-c", "command -v VBoxManage"]));
    assert_ne!(found.code, Some(0), "{found}");
    lab.run(["up", "--nodes", "1"])
        .ends_with(6)
        .says("`VBoxManage` is not installed")
        .says("install VirtualBox");
}
