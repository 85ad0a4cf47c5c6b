//! The stacks that come with `lab`, each on real nodes: it serves when `up` ends, it still serves when the node of its
//! leader has died, and `up` brings that back.

mod apart;
mod consul;
mod keeper;
mod mesos;
mod postgres;
mod registry;
mod restarts;
mod together;
mod zookeeper;

use std::collections::BTreeSet;

use crate::kit::{TestLab, wait_until};

const NODES: [&str; 3] = ["core-01", "core-02", "core-03"];

fn all(nodes: &[&'static str]) -> BTreeSet<&'static str> {
    nodes.iter().copied().collect()
}

/// Kills the node of a unit that leads, and waits until status says that another one does. Returns both nodes.
#[track_caller]
fn kill_leader(lab: &TestLab, stack: &str, unit: &str) -> (String, String) {
    let leader = || lab.status().find_stack(stack)?.leader(unit).map(str::to_owned);
    let dead = wait_until(&format!("{unit} has a leader"), leader);
    lab.engine().docker(["kill", &lab.machine(&dead)]);
    let heir = wait_until(&format!("another {unit} leads"), || leader().filter(|leader| *leader != dead));
    lab.run(["status"]).ends_with(3);
    (dead, heir)
}

/// Has `up` bring back what died, after which nothing is to be done.
#[track_caller]
fn bring_back(lab: &TestLab, stacks: &str) {
    lab.ok(["up", "--stack", stacks]);
    lab.healthy(NODES.len());
    lab.run(["up", "--stack", stacks]).ends_with(0).says("nothing to do");
}
