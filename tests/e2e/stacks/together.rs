//! The stacks `consul` and `registry`, side by side on one lab.

use super::{NODES, bring_back, consul, kill_leader, registry};
use crate::kit::TestLab;

const BOTH: &str = "consul,registry";

#[test]
fn consul_and_a_registry_serve_side_by_side() {
    let lab = TestLab::new("together");
    let up = lab.run(["up", "--nodes", "3", "--stack", "consul", "--stack", "registry"]);
    // Each door of the registry finds out by itself which members are well, and they agree within seconds.
    up.ends_with(0).says("stack consul: serves; led by consul@").says("stack registry: serves");
    lab.healthy(3);
    consul::serves(&lab);
    registry::serves(&lab);
    lab.run(["up", "--stack", BOTH]).ends_with(0).says("nothing to do");

    let (dead, _) = kill_leader(&lab, "consul", "consul@");
    survive(&lab, &dead);
    // Who leads now need not be the node that died a moment ago.
    let (dead, _) = kill_leader(&lab, "registry", "registry@");
    survive(&lab, &dead);
}

fn survive(lab: &TestLab, dead: &str) {
    let alive: Vec<&str> = NODES.into_iter().filter(|node| *node != dead).collect();
    consul::survives(lab, &alive);
    registry::survives(lab, &alive);
    bring_back(lab, BOTH);
    consul::is_whole(lab);
    registry::has_all_on(lab, dead);
}
