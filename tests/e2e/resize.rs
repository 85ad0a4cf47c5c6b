//! More nodes and fewer.

use crate::kit::TestLab;

#[test]
fn a_lab_grows_and_shrinks_and_keeps_its_data() {
    let lab = TestLab::with_nodes("resize", 3);
    lab.sh("core-01", "etcdctl put /e2e/resize kept");

    lab.ok(["up", "--nodes", "5"]);
    let status = lab.healthy(5);
    assert_eq!(status.etcd.members, ["core-01", "core-02", "core-03"]);
    for node in ["core-04", "core-05"] {
        assert!(
            status.node(node).health().etcd.up().is_some_and(|etcd| !etcd.is_member),
            "{node} is a gateway"
        );
        assert_eq!(lab.sh(node, "etcdctl get --print-value-only /e2e/resize"), "kept");
    }
    assert_eq!(
        lab.sh("core-01", "getent hosts core-05 | cut -d ' ' -f 1"),
        status.node("core-05").address.to_string()
    );

    let refused = lab.run(["up", "--nodes", "2"]);
    refused.ends_with(8).says("core-05, core-04, core-03 with all data").says("confirm with -y");
    assert_eq!(lab.healthy(5).etcd.members.len(), 3);

    lab.ok(["up", "--nodes", "2", "-y"]);
    let status = lab.healthy(2);
    assert_eq!(status.etcd.members, ["core-01"]);
    assert!(status.node("core-02").health().etcd.up().is_some_and(|etcd| !etcd.is_member));
    for node in ["core-01", "core-02"] {
        assert_eq!(lab.sh(node, "etcdctl get --print-value-only /e2e/resize"), "kept");
        assert_eq!(lab.sh(node, "grep -c core-03 /etc/hosts || true"), "0");
    }
    let left = lab.engine().left_of(lab.name());
    assert!(
        !left
            .iter()
            .any(|name| ["03", "04", "05"].iter().any(|index| name.contains(&format!("core-{index}"))))
    );

    lab.run(["up"]).ends_with(0).says("is up with 2 nodes; nothing to do");
    lab.run(["down"]).ends_with(8).says("confirm with -y");
    lab.healthy(2);
}
