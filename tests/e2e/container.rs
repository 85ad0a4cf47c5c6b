//! Nodes that are containers: the contract, and how little of the host they get.

use serde_json::Value;

use crate::contract::contract;
use crate::kit::{TestLab, suite};

#[test]
fn containers_are_nodes() {
    let lab = TestLab::with_nodes("contract", 3);
    contract(&lab);
    lab.healthy(3);
    suite(
        &lab,
        &[
            ("no node is privileged", nodes_are_not_privileged),
            ("ssh is published to this host only", ports_are_local),
            ("data lies on volumes", data_lies_on_volumes),
        ],
    );
}

fn inspect(lab: &TestLab, node: &str) -> Value {
    let machine = lab.machine(node);
    let shown = lab.engine().docker(["inspect", "--type=container", &machine]);
    let mut all: Value = serde_json::from_str(&shown).expect("docker prints JSON");
    all[0].take()
}

fn nodes_are_not_privileged(lab: &TestLab) {
    for node in ["core-01", "core-02", "core-03"] {
        let host = &inspect(lab, node)["HostConfig"];
        assert_eq!(host["Privileged"], false);
        let added: Vec<&str> =
            host["CapAdd"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let added: Vec<&str> = added.iter().map(|name| name.trim_start_matches("CAP_")).collect();
        assert_eq!(added, ["SYS_ADMIN", "NET_ADMIN"]);
        assert_ne!(host["PidMode"], "host");
        assert_eq!(host["Devices"].as_array().map_or(0, Vec::len), 0);
        let bounding = lab.sh(node, "grep CapBnd /proc/1/status | cut -f 2");
        let bounding = u64::from_str_radix(&bounding, 16).expect("the kernel writes hexadecimal");
        assert_eq!(bounding & (1 << 25), 0, "{node} may set the clock of the host");
    }
}

fn ports_are_local(lab: &TestLab) {
    for node in ["core-01", "core-02", "core-03"] {
        let ports = inspect(lab, node)["NetworkSettings"]["Ports"].take();
        let ports = ports.as_object().expect("a container that runs lists its ports");
        let published: Vec<&Value> =
            ports.values().flat_map(|hosts| hosts.as_array().into_iter().flatten()).collect();
        assert_eq!(ports.keys().collect::<Vec<_>>(), ["22/tcp"]);
        assert!(published.iter().all(|binding| binding["HostIp"] == "127.0.0.1"), "{published:?}");
        assert_eq!(published.len(), 1);
    }
}

fn data_lies_on_volumes(lab: &TestLab) {
    for node in ["core-01", "core-02", "core-03"] {
        let mounts = inspect(lab, node)["Mounts"].take();
        for (place, suffix) in [("/var/lib/docker", "docker"), ("/var/lib/etcd", "etcd")] {
            let mount = mounts.as_array().into_iter().flatten().find(|mount| mount["Destination"] == place);
            let mount = mount.unwrap_or_else(|| panic!("{place} of {node} is no mount: {mounts}"));
            let want = format!("{}-{suffix}", lab.machine(node));
            assert_eq!((&mount["Type"], &mount["Name"]), (&"volume".into(), &Value::from(want)));
        }
    }
}
