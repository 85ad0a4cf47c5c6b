//! Nodes that are shut down keep what is in them.

use crate::kit::TestLab;

const IMAGE: &str = "tar -cP /usr/local/bin/labd | docker import - e2e/kept";

#[test]
fn a_halted_lab_comes_back_with_all_that_was_in_it() {
    let lab = TestLab::with_nodes("halt", 3);
    lab.sh("core-01", "etcdctl put /e2e/halt kept");
    lab.sh("core-02", "echo mine > /home/core/note");
    lab.sh("core-02", IMAGE);
    let before = lab.healthy(3);

    lab.ok(["halt"]);
    assert!(lab.status().nodes.iter().all(|node| node.state == "stopped"));
    lab.run(["status"]).ends_with(3);
    lab.run(["halt"]).ends_with(0).says("nothing to do");

    lab.ok(["up"]);
    assert_eq!(lab.healthy(3).addresses(), before.addresses());
    assert_eq!(lab.sh("core-03", "etcdctl get --print-value-only /e2e/halt"), "kept");
    assert_eq!(lab.sh("core-02", "cat /home/core/note"), "mine");
    assert!(lab.sh("core-02", "docker run --rm e2e/kept /usr/local/bin/labd version").starts_with("labd "));
}

#[test]
fn a_lab_bears_the_loss_of_one_node_and_says_what_cures_that_of_two() {
    let lab = TestLab::with_nodes("quorum", 3);

    lab.ok(["halt", "core-02"]);
    let status = lab.status();
    let found: Vec<&str> = status.nodes.iter().map(|node| node.state.as_str()).collect();
    assert_eq!(found, ["running", "stopped", "running"]);
    assert!(status.etcd.has_quorum && status.etcd.cure.is_none());
    lab.run(["status"]).ends_with(3);
    lab.sh("core-01", "etcdctl put /e2e/one-down written");

    lab.ok(["halt", "core-03"]);
    let etcd = lab.status().etcd;
    assert!(!etcd.has_quorum);
    assert_eq!(etcd.cure.as_deref(), Some("etcd has no quorum: `lab up` starts core-02, core-03"));
    let shown = lab.run(["status"]);
    assert!(shown.ends_with(3).stdout.contains("hint: etcd has no quorum"), "{shown}");

    lab.run(["halt", "core-09"]).ends_with(4).says("it has core-01, core-02, core-03");
    lab.ok(["up"]);
    lab.healthy(3);
    assert_eq!(lab.sh("core-02", "etcdctl get --print-value-only /e2e/one-down"), "written");
}
