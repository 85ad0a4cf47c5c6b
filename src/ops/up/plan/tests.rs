//! What is decided, from labs in every state.

use std::net::Ipv4Addr;

use super::*;
use crate::model::{Answer, DockerHealth, EtcdHealth, LabName, SystemdHealth};
use crate::provider::Machine;

const BUILD: &str = "b1";

fn name(node: &str) -> NodeName {
    NodeName::parse(node).unwrap()
}

fn lab(counts: &[u16]) -> Topology {
    let empty =
        Topology::fresh(LabName::parse("web").unwrap(), "id".to_owned(), "10.77.0.0/24".parse().unwrap());
    counts.iter().fold(empty, |lab, count| lab.resized(&name("core"), *count).unwrap())
}

/// A lab that has been resized to each of `before`, and is now to have `count` nodes.
fn wanted(before: &[u16], count: u16) -> Wanted {
    let previous = lab(before);
    Wanted {
        topology: previous.resized(&name("core"), count).unwrap(),
        members_before: previous.members().map(|node| node.name.clone()).collect(),
        limits: Limits::default(),
        gateway_limits: Limits::default(),
        labd_build: BUILD.to_owned(),
    }
}

fn machine(state: MachineState) -> Machine {
    Machine {
        state,
        address: Ipv4Addr::LOCALHOST,
        ssh: None,
        is_etcd_member: true,
        limits: Limits::default(),
        is_on_network: true,
    }
}

/// All of `count` nodes in one state, as a lab of that size would be seen.
fn seen(count: u16, state: MachineState) -> Seen {
    let names: Vec<NodeName> = lab(&[count]).nodes.into_iter().map(|node| node.name).collect();
    Seen {
        lab_id: Some("id".to_owned()),
        machines: names.iter().map(|name| (name.clone(), machine(state))).collect(),
        data: names.into_iter().collect(),
        subnet: Some("10.77.0.0/24".parse().unwrap()),
        ..Seen::default()
    }
}

/// The answers of all nodes of a lab in which nothing is amiss.
fn healthy(topology: &Topology) -> Healths {
    let health = |node: &Node| NodeHealth {
        node: node.name.clone(),
        config: topology.config(node).fingerprint(),
        labd_version: String::new(),
        labd_build: BUILD.to_owned(),
        systemd: Answer::Up(SystemdHealth { state: "running".to_owned(), failed_units: Vec::new() }),
        docker: Answer::Up(DockerHealth { version: String::new() }),
        etcd: Answer::Up(EtcdHealth {
            version: String::new(),
            is_member: node.is_member(),
            is_leader: false,
            members: topology.members().map(|node| node.name.to_string()).collect(),
            database_bytes: 0,
        }),
        clock_unix_ms: 0,
        uptime_seconds: 0,
        disk: None,
        memory: None,
    };
    topology.nodes.iter().map(|node| (node.name.clone(), Ok(health(node)))).collect()
}

#[track_caller]
fn check(wanted: &Wanted, seen: &Seen, healths: &Healths, want: &[&str]) {
    let tasks: Vec<String> = plan(wanted, seen, healths)
        .iter()
        .map(|task| task.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(tasks, want);
}

#[test]
fn a_lab_from_nothing() {
    check(
        &wanted(&[], 3),
        &Seen::default(),
        &Healths::new(),
        &[
            "make the network 10.77.0.0/24 (it does not exist)",
            "make core-01 (it does not exist)",
            "make core-02 (it does not exist)",
            "make core-03 (it does not exist)",
        ],
    );
}

#[test]
fn a_lab_that_is_as_wanted_needs_nothing() {
    let wanted = wanted(&[3], 3);
    check(&wanted, &seen(3, MachineState::Running), &healthy(&wanted.topology), &[]);
}

#[test]
fn machines_in_every_state_are_brought_to_run() {
    let mut seen = seen(5, MachineState::Running);
    for (node, state) in [
        ("core-01", MachineState::Stopped),
        ("core-02", MachineState::Paused),
        ("core-03", MachineState::Created),
        ("core-04", MachineState::Broken),
    ] {
        seen.machines.insert(name(node), machine(state));
    }
    seen.machines.get_mut(&name("core-05")).unwrap().is_on_network = false;
    check(
        &wanted(&[5], 5),
        &seen,
        &Healths::new(),
        &[
            "start core-01 (it is stopped)",
            "thaw core-02 (it is paused)",
            "start core-03 (its machine is there and no node yet)",
            "make again core-04 (its machine is broken)",
            "make again core-05 (the network that it was on is gone)",
        ],
    );
}

#[test]
fn more_nodes_are_made_and_the_old_ones_told() {
    let wanted = wanted(&[1], 2);
    check(
        &wanted,
        &seen(1, MachineState::Running),
        &healthy(&lab(&[1])),
        &["make core-02 (it does not exist)", "configure core-01 (the lab looks different now)"],
    );
}

#[test]
fn fewer_nodes_leave_etcd_before_they_go() {
    let wanted = wanted(&[3], 2);
    check(
        &wanted,
        &seen(3, MachineState::Running),
        &healthy(&lab(&[3])),
        &[
            "leave etcd core-03 (its node is to be removed)",
            "leave etcd core-02 (an even number of members is no safer)",
            "remove core-03 (the lab is to have 2 nodes)",
            "configure core-01 (the lab looks different now)",
            "configure core-02 (the lab looks different now)",
        ],
    );
}

#[test]
fn gateways_go_without_a_word_to_etcd() {
    let wanted = wanted(&[3, 5], 4);
    let tasks = plan(&wanted, &seen(5, MachineState::Running), &healthy(&lab(&[3, 5])));
    assert!(!tasks.iter().any(|task| matches!(task.action, Action::LeaveEtcd { .. })), "{tasks:?}");
}

#[test]
fn a_stopped_member_wakes_up_to_leave() {
    check(
        &wanted(&[3], 1),
        &seen(3, MachineState::Stopped),
        &Healths::new(),
        &[
            "start core-01 (it is stopped)",
            "start core-03 (its etcd member has to leave the cluster first)",
            "start core-02 (its etcd member has to leave the cluster first)",
            "leave etcd core-03 (its node is to be removed)",
            "leave etcd core-02 (its node is to be removed)",
            "remove core-03 (the lab is to have 1 node)",
            "remove core-02 (the lab is to have 1 node)",
        ],
    );
}

#[test]
fn a_machine_that_is_gone_is_made_again_on_its_data() {
    let wanted = wanted(&[3], 3);
    let mut seen = seen(3, MachineState::Running);
    seen.machines.remove(&name("core-02"));
    let mut healths = healthy(&wanted.topology);
    healths.remove(&name("core-02"));
    check(&wanted, &seen, &healths, &["make core-02 (its machine is gone, its data is there)"]);
}

#[test]
fn a_member_without_data_joins_again() {
    let mut seen = seen(3, MachineState::Running);
    seen.machines.remove(&name("core-02"));
    seen.data.remove(&name("core-02"));
    let mut wanted = wanted(&[3], 3);
    wanted.topology = with_rejoins(wanted.topology, &seen);
    let mut healths = healthy(&wanted.topology);
    healths.remove(&name("core-02"));
    check(
        &wanted,
        &seen,
        &healths,
        &["join etcd again core-02 (its data is gone)", "make core-02 (it does not exist)"],
    );
}

/// As after `vagrant destroy` and `vagrant up`, or a `lab up` that was cut off between the two.
#[test]
fn a_member_whose_machine_is_no_node_joins_again() {
    for (state, want) in [
        (MachineState::Created, "start core-02 (its machine is there and no node yet)"),
        (MachineState::Broken, "make again core-02 (its machine is broken)"),
    ] {
        let mut seen = seen(3, MachineState::Running);
        seen.machines.insert(name("core-02"), machine(state));
        seen.data.remove(&name("core-02"));
        let mut wanted = wanted(&[3], 3);
        wanted.topology = with_rejoins(wanted.topology, &seen);
        let mut healths = healthy(&wanted.topology);
        healths.remove(&name("core-02"));
        check(&wanted, &seen, &healths, &["join etcd again core-02 (its data is gone)", want]);
    }
}

#[test]
fn gateways_have_limits_of_their_own() {
    let mut wanted = wanted(&[4], 4);
    wanted.gateway_limits.cpus = Some(0.5);
    let healths = healthy(&wanted.topology);
    check(
        &wanted,
        &seen(4, MachineState::Running),
        &healths,
        &["limit core-04 (lab.toml or a flag says so)"],
    );
}

#[test]
fn when_all_data_is_gone_a_new_cluster_is_made() {
    let topology = lab(&[3]);
    assert_eq!(with_rejoins(topology.clone(), &Seen::default()), topology);
}

#[test]
fn nodes_that_run_are_upgraded_configured_limited_and_waited_for() {
    let mut wanted = wanted(&[1], 1);
    wanted.limits.cpus = Some(1.5);
    let mut healths = healthy(&wanted.topology);
    if let Some(Ok(health)) = healths.get_mut(&name("core-01")) {
        health.labd_build = "old".to_owned();
        health.config = "old".to_owned();
        health.docker = Answer::Down("no answer".to_owned());
    }
    check(
        &wanted,
        &seen(1, MachineState::Running),
        &healths,
        &[
            "limit core-01 (lab.toml or a flag says so)",
            "upgrade labd core-01 (another build of labd runs there)",
            "configure core-01 (the lab looks different now)",
            "wait for core-01 (docker: no answer)",
        ],
    );
    let silent = [(name("core-01"), Err("ssh is refused".to_owned()))].into();
    check(
        &wanted,
        &seen(1, MachineState::Running),
        &silent,
        &["limit core-01 (lab.toml or a flag says so)", "wait for core-01 (ssh is refused)"],
    );
}

#[test]
fn leftovers_of_a_removal_that_was_cut_short_are_removed() {
    let mut seen = seen(1, MachineState::Running);
    seen.data.insert(name("core-02"));
    check(&wanted(&[1], 1), &seen, &healthy(&lab(&[1])), &["remove core-02 (the lab is to have 1 node)"]);
}
