//! What every node offers, whoever made it. A provider's own test gives it a healthy lab of two nodes or more.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use lab::exec::Cmd;
use lab::fs::{self, Access};
use lab::model::NodeHealth;

use crate::kit::{Check, Run, TestLab, suite, wait_until};

const CHECKS: [Check; 13] = [
    ("systemd is the first process and runs", systemd_runs),
    ("a container runs on each node", containers_run),
    ("a published port of a container is reached from another node", published_ports_are_reached),
    ("only the lab's key opens a node, and only for core", only_the_key_opens),
    ("another host key is refused", the_host_key_is_pinned),
    ("a node has its name and its address", names_and_addresses),
    ("every name resolves on every node", names_resolve),
    ("machine ids are unique", machine_ids_are_unique),
    ("/etc/lab/env tells units about the lab", the_environment_is_told),
    ("etcd is one on all nodes", etcd_is_shared),
    ("labd tells how the node is", labd_tells_health),
    ("core may become root and read the journal", core_has_its_rights),
    ("names and machine ids outlast a halt", identity_outlasts_a_halt),
];

/// What holds of nodes that share a kernel with this host.
const OF_CONTAINERS: [Check; 1] = [("the clock cannot be set", the_clock_is_safe)];

/// The contract of nodes that are containers.
pub fn contract(lab: &TestLab) {
    contract_of_machines(lab);
    suite(lab, &OF_CONTAINERS);
}

/// The contract of nodes that may have kernels of their own.
pub fn contract_of_machines(lab: &TestLab) {
    suite(lab, &CHECKS);
}

fn systemd_runs(lab: &TestLab) {
    for node in &lab.nodes() {
        assert_eq!(lab.sh(node, "cat /proc/1/comm"), "systemd");
        assert_eq!(lab.sh(node, "systemctl is-system-running"), "running");
    }
}

/// Makes an image of what is on the node itself, so that no registry is needed.
const IMAGE: &str = "tar -chP /usr/local/bin/labd /usr/bin/etcd $(ldd /usr/bin/etcd | grep -o '/[^ ]*') \
                     | docker import - e2e/tiny";

fn containers_run(lab: &TestLab) {
    for node in &lab.nodes() {
        lab.sh(node, IMAGE);
        let version = lab.sh(node, "docker run --rm e2e/tiny /usr/local/bin/labd version");
        assert!(version.starts_with("labd "), "{version}");
    }
}

fn published_ports_are_reached(lab: &TestLab) {
    lab.sh("core-01", IMAGE);
    lab.sh(
        "core-01",
        "docker run -d --name web -p 8080:2379 e2e/tiny /usr/bin/etcd --data-dir /data \
         --listen-client-urls http://0.0.0.0:2379 --advertise-client-urls http://core-01:8080",
    );
    let ask = "etcdctl --endpoints core-01:8080 --dial-timeout 1s endpoint health";
    wait_until("the container answers", || (lab.try_sh("core-02", ask).code == Some(0)).then_some(()));
    lab.sh("core-01", "docker rm -f web");
}

/// Tries to enter the first node, as a stranger would.
fn ssh(lab: &TestLab, user: &str, key: &str, options: &[&str]) -> Run {
    let address = lab.status().node("core-01").ssh.clone().expect("a node that runs is reached by ssh");
    let (host, port) = address.rsplit_once(':').expect("an address has a port");
    let cmd = Cmd::new("ssh").args(["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]);
    let cmd = cmd.args(["-o", "IdentityAgent=none", "-o", "StrictHostKeyChecking=no"]);
    let cmd =
        cmd.args(["-o", "UserKnownHostsFile=/dev/null", "-i", key, "-p", port]).args(options.iter().copied());
    lab.run_cmd(&lab.in_lab(cmd.args([&format!("{user}@{host}"), "id", "-un"])))
}

fn another_key(lab: &TestLab, name: &str) -> String {
    let file = lab.file(name).to_string();
    lab.run_cmd(&Cmd::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &file])).ok();
    file
}

fn only_the_key_opens(lab: &TestLab) {
    let key = lab.files().private_key().to_string();
    assert_eq!(ssh(lab, "core", &key, &[]).ok(), "core");
    let other = another_key(lab, "other-key");
    ssh(lab, "core", &other, &[]).ends_with(255).says("Permission denied (publickey)");
    ssh(lab, "root", &key, &[]).ends_with(255).says("Permission denied (publickey)");
    let password = ["-o", "PreferredAuthentications=password,keyboard-interactive"];
    ssh(lab, "core", &key, &password).ends_with(255).says("Permission denied (publickey)");
}

fn the_host_key_is_pinned(lab: &TestLab) {
    let file = lab.files().private_host_key();
    let right = fs::read(&file).expect("a lab has a host key");
    let wrong = fs::read(another_key(lab, "other-host-key").as_str().into()).expect("it was just made");
    fs::write(&file, wrong, Access::Private).expect("the key may be written");
    let (by_lab, by_ssh) =
        (lab.run(["exec", "core-01", "--", "true"]), lab.run(["ssh", "core-01", "--", "true"]));
    fs::write(&file, right, Access::Private).expect("the key may be written");
    by_lab.ends_with(255).says("core-01");
    by_ssh.ends_with(255).says("Host key verification failed");
    assert_eq!(lab.ok(["ssh", "core-01", "--", "hostname"]), "core-01");
}

fn names_and_addresses(lab: &TestLab) {
    for node in &lab.healthy(lab.nodes().len()).nodes {
        assert_eq!(lab.sh(&node.node, "hostname"), node.node);
        let shown = lab.sh(&node.node, "ip -4 -oneline address show");
        assert!(shown.contains(&format!(" {}/24 ", node.address)), "{shown}");
    }
}

fn names_resolve(lab: &TestLab) {
    let (nodes, status) = (lab.nodes(), lab.status());
    for (from, to) in nodes.iter().flat_map(|from| status.nodes.iter().map(move |to| (from, to))) {
        let found = lab.sh(from, &format!("getent ahostsv4 {} | head -n 1 | cut -d ' ' -f 1", to.node));
        assert_eq!(found, to.address.to_string(), "{} on {from}", to.node);
    }
}

fn machine_ids(lab: &TestLab) -> Vec<String> {
    lab.nodes().iter().map(|node| lab.sh(node, "cat /etc/machine-id")).collect()
}

fn machine_ids_are_unique(lab: &TestLab) {
    let ids = machine_ids(lab);
    assert!(ids.iter().all(|id| id.len() == 32), "{ids:?}");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

fn the_environment_is_told(lab: &TestLab) {
    let (id, status) = (lab.sh("core-02", "cat /etc/machine-id"), lab.status());
    let (nodes, members) = (lab.nodes(), &status.etcd.members);
    let address = |node: &str| status.node(node).address;
    let join = |nodes: &[String], show: &dyn Fn(&str) -> String| {
        nodes.iter().map(|node| show(node)).collect::<Vec<_>>().join(",")
    };
    let want = [
        format!("LAB_NAME={}", lab.name()),
        "LAB_NODE=core-02".to_owned(),
        format!("LAB_ADDRESS={}", address("core-02")),
        format!("LAB_MACHINE_ID={id}"),
        format!("LAB_NODES={}", nodes.join(",")),
        format!("LAB_ADDRESSES={}", join(&nodes, &|node| address(node).to_string())),
        format!("LAB_ETCD_ENDPOINTS={}", join(members, &|node| format!("http://{}:2379", address(node)))),
        format!("LAB_ETCD_HOSTS={}", join(members, &|node| format!("{}:2379", address(node)))),
        format!("LAB_ETCD_QUORUM={}", members.len() / 2 + 1),
    ];
    let told = lab.sh("core-02", "cat /etc/lab/env");
    for line in want {
        assert!(told.lines().any(|told| told == line), "`{line}` is not told:\n{told}");
    }
}

fn etcd_is_shared(lab: &TestLab) {
    lab.sh("core-01", "etcdctl put /e2e/contract kept");
    for node in &lab.nodes() {
        let get = "etcdctl --endpoints 127.0.0.1:2379 get --print-value-only /e2e/contract";
        assert_eq!(lab.sh(node, get), "kept", "on {node}");
    }
}

fn labd_tells_health(lab: &TestLab) {
    for node in &lab.nodes() {
        let health: NodeHealth =
            serde_json::from_str(&lab.sh(node, "labd health")).expect("labd prints JSON");
        assert_eq!((health.node.as_str(), health.trouble()), (node.as_str(), None));
        lab.sh(node, "test -S /run/lab/labd.sock");
    }
}

fn core_has_its_rights(lab: &TestLab) {
    for node in &lab.nodes() {
        assert_eq!(lab.sh(node, "id -un; sudo -n id -un"), "core\nroot");
        lab.sh(node, "echo from-root | sudo systemd-cat --identifier=e2e");
        let read = || lab.sh(node, "journalctl --no-pager --identifier=e2e --output=cat 2>&1");
        wait_until("core reads what root wrote", || (read() == "from-root").then_some(()));
    }
}

fn the_clock_is_safe(lab: &TestLab) {
    let before = SystemTime::now();
    for node in &lab.nodes() {
        let set = lab.try_sh(node, "sudo date --set='2001-01-01'");
        set.ends_with(1).says("Operation not permitted");
    }
    let passed = SystemTime::now().duration_since(before);
    assert!(passed.is_ok_and(|passed| passed < Duration::from_hours(1)), "the host's clock was set");
}

fn identity_outlasts_a_halt(lab: &TestLab) {
    let (ids, addresses) = (machine_ids(lab), lab.status().addresses());
    lab.ok(["halt", "core-02"]);
    names_of_a_halted_node_resolve(lab);
    lab.ok(["up"]);
    assert_eq!(lab.healthy(addresses.len()).addresses(), addresses);
    assert_eq!(machine_ids(lab), ids);
}

fn names_of_a_halted_node_resolve(lab: &TestLab) {
    let address = lab.status().node("core-02").address;
    for node in lab.nodes().iter().filter(|node| *node != "core-02") {
        assert!(lab.sh(node, "getent hosts core-02").starts_with(&address.to_string()), "on {node}");
    }
}
