//! From nothing to a cluster, and not again.

use crate::kit::TestLab;

#[test]
fn three_nodes_boot_from_nothing_and_a_second_up_does_nothing() {
    let lab = TestLab::new("boot");
    lab.ok(["up", "--nodes", "3"]);

    let status = lab.healthy(3);
    assert_eq!(status.etcd.members, ["core-01", "core-02", "core-03"]);
    let leaders =
        status.nodes.iter().filter(|node| node.health().etcd.up().is_some_and(|etcd| etcd.is_leader));
    assert_eq!(leaders.count(), 1);
    for node in &status.nodes {
        assert_eq!(node.health().systemd.up().map(|systemd| systemd.state.as_str()), Some("running"));
        assert!(node.health().docker.up().is_some());
    }

    lab.run(["up", "--nodes", "3"]).ends_with(0).says("nothing to do");
    lab.run(["up"]).ends_with(0).says("is up with 3 nodes; nothing to do");
    lab.ok(["down", "-y"]);
    lab.gone();
}

#[test]
fn what_does_not_exist_is_told_and_down_of_it_is_done() {
    let lab = TestLab::new("none");
    lab.run(["status"]).ends_with(4).says("`lab up` makes it");
    lab.run(["exec", "--all", "--", "true"]).ends_with(4);
    lab.run(["halt"]).ends_with(4);
    lab.run(["down"]).ends_with(0).says("nothing to do");
}
