//! Nodes, daemons and members of etcd die, freeze and are cut off, with units of every kind on them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::kit::fleet::{Fleet, options, sleeper};
use crate::kit::{TestLab, wait_until};

const APART: [&str; 3] = ["apart@1.service", "apart@2.service", "apart@3.service"];
const NODES: [&str; 3] = ["core-01", "core-02", "core-03"];

fn lab(topic: &str, nodes: &str, more: &[&str]) -> TestLab {
    let lab = TestLab::new(topic);
    lab.ok(["up", "--nodes", nodes].iter().chain(more).copied());
    lab
}

/// Starts units that conflict, a pair, and a global one.
fn start_all(fleet: &Fleet) {
    for unit in APART {
        fleet.launch(unit, &sleeper("Conflicts=apart@*.service"));
    }
    fleet.launch("leader.service", &sleeper(""));
    fleet.launch("follower.service", &sleeper("MachineOf=leader.service"));
    let body = serde_json::json!({ "desiredState": "launched", "options": options(&sleeper("Global=true")) });
    fleet.put("everywhere.service", &body).is(201);
    whole(fleet, 3);
}

/// Waits until everything is where it can be with this many machines, and nothing is anywhere twice.
fn whole(fleet: &Fleet, machines: usize) {
    wait_until(&format!("all is well on {machines} machines"), || {
        let active = fleet.active();
        let on = |unit: &str| active.get(unit).cloned().unwrap_or_default();
        let apart: Vec<BTreeSet<String>> = APART.iter().map(|unit| on(unit)).collect();
        let places: BTreeSet<&String> = apart.iter().flatten().collect();
        let is_apart = apart.iter().map(BTreeSet::len).sum::<usize>() == machines.min(3)
            && places.len() == machines.min(3)
            && apart.iter().all(|nodes| nodes.len() <= 1);
        let is_pair = on("leader.service").len() == 1 && on("leader.service") == on("follower.service");
        (is_apart && is_pair && on("everywhere.service").len() == machines).then_some(())
    });
    fleet.is_sound();
}

/// Returns the nodes on which systemd runs a unit, whatever the fleet thinks.
fn really_on(lab: &TestLab, nodes: &[&str], unit: &str) -> Vec<String> {
    let is_active = |node: &&&str| {
        matches!(lab.fleet_state(node, unit).as_str(), "active" | "deactivating" | "activating")
    };
    nodes.iter().filter(is_active).map(|node| (*node).to_owned()).collect()
}

impl TestLab {
    fn fleet_state(&self, node: &str, unit: &str) -> String {
        self.try_sh(node, &format!("systemctl is-active {unit}")).stdout.trim().to_owned()
    }

    fn node_of(&self, fleet: &Fleet, unit: &str) -> String {
        let active = fleet.active();
        let nodes = active.get(unit).unwrap_or_else(|| panic!("{unit} runs nowhere: {active:?}"));
        nodes.iter().next().expect("a unit that is active is somewhere").clone()
    }
}

/// Kills nodes, daemons and members one after the other; all is well after each.
#[test]
fn whatever_dies_units_end_where_they_belong() {
    let lab = lab("fleet-kill", "3", &[]);
    start_all(&lab.fleet("core-01"));
    a_node_dies(&lab);
    all_daemons_die(&lab);
    the_leader_of_etcd_dies(&lab);
    two_members_die(&lab);
    a_node_freezes(&lab);
}

fn a_node_dies(lab: &TestLab) {
    let dead = lab.node_of(&lab.fleet("core-01"), "leader.service");
    lab.engine().docker(["kill", &lab.machine(&dead)]);
    let alive = NODES.into_iter().find(|node| *node != dead).expect("there are others");
    whole(&lab.fleet(alive), 2);
    lab.ok(["up"]);
    whole(&lab.fleet("core-01"), 3);
}

fn all_daemons_die(lab: &TestLab) {
    lab.ok(["exec", "--all", "--", "sudo systemctl kill -s KILL labd"]);
    let fleet = lab.fleet("core-01");
    whole(&fleet, 3);
}

fn the_leader_of_etcd_dies(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    let before = fleet.active();
    let leader = lab.status().etcd.leader.expect("etcd has a leader");
    lab.sh(&leader, "sudo systemctl kill -s KILL lab-etcd");
    whole(&fleet, 3);
    fleet.stays(Duration::from_secs(5), || fleet.active());
    assert_eq!(fleet.active(), before, "a change of leaders moves nothing");
}

fn two_members_die(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    let before = fleet.active();
    let show = "for unit in $(ls /run/fleet/units); do systemctl show -p Id -p MainPID --value $unit; done";
    let processes = || NODES.map(|node| lab.sh(node, show));
    let running = processes();
    for node in ["core-02", "core-03"] {
        lab.sh(node, "sudo systemctl kill -s KILL lab-etcd; sudo systemctl stop lab-etcd");
    }
    fleet.stays(Duration::from_secs(9), processes);
    for node in ["core-02", "core-03"] {
        lab.sh(node, "sudo systemctl start lab-etcd");
    }
    whole(&fleet, 3);
    assert_eq!((fleet.active(), processes()), (before, running), "nothing stopped and nothing moved");
}

fn a_node_freezes(lab: &TestLab) {
    let frozen = lab.node_of(&lab.fleet("core-01"), "leader.service");
    lab.engine().docker(["pause", &lab.machine(&frozen)]);
    let alive = NODES.into_iter().find(|node| *node != frozen).expect("there are others");
    whole(&lab.fleet(alive), 2);
    lab.engine().docker(["unpause", &lab.machine(&frozen)]);
    whole(&lab.fleet(alive), 3);
    for unit in APART.into_iter().chain(["leader.service", "follower.service"]) {
        wait_until(&format!("{unit} runs once"), || (really_on(lab, &NODES, unit).len() == 1).then_some(()));
    }
}

/// Cuts a node off from etcd: without fencing its units run twice until it is back, with fencing never.
#[test]
fn a_node_that_is_cut_off_keeps_its_units_or_stops_them_as_told() {
    let lab = lab("fleet-cut", "3", &[]);
    let fleet = lab.fleet("core-01");
    // The first node has the most, so that what follows lands on the others, and on the third first.
    fleet.start("free.service", &sleeper("Conflicts=fenced.service\nMachineMetadata=etcd=member"));
    let cut = lab.node_of(&fleet, "free.service");
    let others: Vec<&str> = NODES.into_iter().filter(|node| *node != cut).collect();
    let fenced = sleeper("MachineMetadata=cut=1") + "[X-Lab]\nFence=true\n";
    let patch = serde_json::json!([{ "op": "add", "path": format!("/{}/metadata/cut", lab.sh(&cut, "cat /etc/machine-id")), "value": { "value": "1" } }]);
    fleet.ask("PATCH", "/fleet/v1/machines", Some(&patch)).is(204);
    fleet.destroy("free.service");
    fleet.clear();
    fleet.start("free.service", &sleeper("MachineMetadata=cut=1"));
    fleet.start("fenced.service", &fenced);
    let everywhere = others.iter().map(|node| {
        let id = lab.sh(node, "cat /etc/machine-id");
        serde_json::json!({ "op": "add", "path": format!("/{id}/metadata/cut"), "value": { "value": "1" } })
    });
    fleet.ask("PATCH", "/fleet/v1/machines", Some(&everywhere.collect())).is(204);

    // Nothing of etcd passes; ssh does, so that the node can be looked at.
    let rule = "-p tcp -m multiport --ports 2379,2380";
    lab.sh(
        &cut,
        &format!(
            "sudo iptables -I INPUT ! -i lo {rule} -j DROP && sudo iptables -I OUTPUT ! -o lo {rule} -j DROP"
        ),
    );
    let other = lab.fleet(others[0]);
    let mut twice = BTreeSet::new();
    wait_until("the others have both units", || {
        for unit in ["free.service", "fenced.service"] {
            if really_on(&lab, &NODES, unit).len() > 1 {
                twice.insert(unit);
            }
        }
        let moved = |unit: &str| !really_on(&lab, &others, unit).is_empty();
        (moved("free.service") && moved("fenced.service")).then_some(())
    });
    assert!(!twice.contains("fenced.service"), "a fenced unit ran twice");
    assert_eq!(really_on(&lab, &NODES, "free.service").len(), 2, "what is not fenced goes on where it was");
    assert_eq!(lab.fleet_state(&cut, "fenced.service"), "inactive");
    drop(other);

    lab.sh(
        &cut,
        &format!(
            "sudo iptables -D INPUT ! -i lo {rule} -j DROP && sudo iptables -D OUTPUT ! -o lo {rule} -j DROP"
        ),
    );
    let fleet = lab.fleet(others[0]);
    wait_until("each runs once", || {
        let once = |unit: &str| really_on(&lab, &NODES, unit).len() == 1;
        (once("free.service") && once("fenced.service")).then_some(())
    });
    fleet.settled(&["fenced.service", "free.service"]);
    fleet.is_sound();
}

/// The whole lab is fenced: a node freezes for longer than its lease, and nothing runs twice when it thaws.
#[test]
fn a_fenced_lab_survives_a_freeze() {
    let lab = lab("fleet-fence", "3", &["--fence"]);
    let fleet = lab.fleet("core-01");
    fleet.start("fenced.service", &sleeper(""));
    let frozen = lab.node_of(&fleet, "fenced.service");
    let others: Vec<&str> = NODES.into_iter().filter(|node| *node != frozen).collect();
    lab.engine().docker(["pause", &lab.machine(&frozen)]);
    wait_until("it runs elsewhere", || {
        (!really_on(&lab, &others, "fenced.service").is_empty()).then_some(())
    });
    lab.engine().docker(["unpause", &lab.machine(&frozen)]);
    // As soon as the node can be asked, its own copy has been stopped.
    assert_ne!(lab.fleet_state(&frozen, "fenced.service"), "active");
    wait_until("it runs once", || (really_on(&lab, &NODES, "fenced.service").len() == 1).then_some(()));

    // Without a quorum nobody can take anything over, and so nothing has to stop.
    let before = lab.fleet("core-01").active();
    let stopped = if before["fenced.service"].contains("core-03") {
        ["core-01", "core-02"]
    } else {
        ["core-02", "core-03"]
    };
    for node in stopped {
        lab.sh(node, "sudo systemctl stop lab-etcd");
    }
    let fleet = lab.fleet_state(before["fenced.service"].first().expect("it runs"), "fenced.service");
    assert_eq!(fleet, "active");
    let look = || really_on(&lab, &NODES, "fenced.service");
    let runs = look();
    let stays = std::time::Instant::now();
    wait_until("a lease and its margin have passed", || {
        assert_eq!(look(), runs, "a fenced unit stopped although etcd as a whole had");
        (stays.elapsed() > Duration::from_secs(9)).then_some(())
    });
    for node in stopped {
        lab.sh(node, "sudo systemctl start lab-etcd");
    }
    lab.fleet("core-01").settled(&["fenced.service"]);
    assert_eq!(look(), runs);
}

/// Three units that conflict on four nodes: the one whose node dies goes to the free one, the others stay.
#[test]
fn only_what_has_to_moves_when_a_node_is_lost() {
    let lab = lab("fleet-four", "4", &[]);
    let fleet = lab.fleet("core-01");
    for unit in APART {
        fleet.start(unit, &sleeper("Conflicts=apart@*.service"));
    }
    let before = fleet.settled(&APART);
    let free = ["core-01", "core-02", "core-03", "core-04"]
        .into_iter()
        .find(|node| before.values().all(|used| used != node));
    let free = free.expect("one node of four is free");
    let lost = before.values().find(|node| *node != "core-01").expect("three nodes are used").clone();
    lab.engine().docker(["kill", &lab.machine(&lost)]);
    wait_until("its unit is on the free node", || {
        let after = fleet.settled(&APART);
        let want = |(unit, node): (&String, &String)| after[unit] == if *node == lost { free } else { node };
        before.iter().all(want).then_some(())
    });
    // The node comes back, and nothing has a reason to move.
    let settled = fleet.settled(&APART);
    lab.ok(["up"]);
    let fleet = lab.fleet("core-01");
    assert_eq!(fleet.settled(&APART), settled);
    fleet.is_sound();
}
