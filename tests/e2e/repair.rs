//! What breaks behind the back of `lab`, and `up` puts right; or systemd in the node does.

use lab::fs;

use crate::kit::{Check, TestLab, suite, wait_until};

const NODES: [&str; 3] = ["core-01", "core-02", "core-03"];

const CHECKS: [Check; 10] = [
    ("a container that was removed is made again", removed_container),
    ("a node that lost its data joins etcd again", removed_data),
    ("a network that was removed is made again", removed_network),
    ("a node that was cut off is made again", disconnected),
    ("nodes that are paused, stopped and killed run again", paused_stopped_and_killed),
    ("a lab whose state was removed is found again", removed_state),
    ("files for ssh that were removed are written again", removed_client_files),
    ("dockerd is started again by systemd and its containers go on", killed_dockerd),
    ("etcd is started again by systemd", killed_etcd),
    ("labd is started again and disturbs nothing", killed_labd),
];

#[test]
fn what_was_broken_is_repaired() {
    let lab = TestLab::with_nodes("repair", 3);
    lab.sh("core-01", "etcdctl put /e2e/repair kept");
    suite(&lab, &CHECKS);
}

/// Breaks the lab, and checks that `up` brings back the same nodes with the same data.
#[track_caller]
fn repaired_after(lab: &TestLab, breaking: impl FnOnce()) {
    let (before, ids) = (lab.healthy(3), machine_ids(lab));
    breaking();
    lab.ok(["up"]);
    let after = lab.healthy(3);
    assert_eq!((after.addresses(), &after.subnet), (before.addresses(), &before.subnet));
    assert_eq!(after.etcd.members, before.etcd.members);
    assert_eq!(machine_ids(lab), ids);
    for node in NODES {
        assert_eq!(lab.sh(node, "etcdctl get --print-value-only /e2e/repair"), "kept", "on {node}");
    }
    lab.run(["up"]).ends_with(0).says("nothing to do");
}

fn machine_ids(lab: &TestLab) -> [String; 3] {
    NODES.map(|node| lab.sh(node, "cat /etc/machine-id"))
}

fn removed_container(lab: &TestLab) {
    repaired_after(lab, || {
        lab.engine().docker(["rm", "--force", &lab.machine("core-02")]);
    });
}

fn removed_data(lab: &TestLab) {
    repaired_after(lab, || {
        let machine = lab.machine("core-02");
        lab.engine().docker(["rm", "--force", &machine]);
        lab.engine().docker(["volume", "rm", &format!("{machine}-docker"), &format!("{machine}-etcd")]);
    });
}

fn removed_network(lab: &TestLab) {
    repaired_after(lab, || {
        let machines = NODES.map(|node| lab.machine(node));
        lab.engine().docker(["rm".to_owned(), "--force".to_owned()].into_iter().chain(machines));
        lab.engine().docker(["network", "rm", &format!("lab-{}", lab.name())]);
    });
}

fn disconnected(lab: &TestLab) {
    repaired_after(lab, || {
        let network = format!("lab-{}", lab.name());
        for node in NODES {
            lab.engine().docker(["network", "disconnect", "--force", &network, &lab.machine(node)]);
        }
        lab.engine().docker(["network", "rm", &network]);
    });
}

fn paused_stopped_and_killed(lab: &TestLab) {
    repaired_after(lab, || {
        for (verb, node) in ["pause", "stop", "kill"].into_iter().zip(NODES) {
            lab.engine().docker([verb, &lab.machine(node)]);
        }
        let states: Vec<String> = lab.status().nodes.into_iter().map(|node| node.state).collect();
        assert_eq!(states, ["paused", "stopped", "stopped"]);
    });
}

fn removed_state(lab: &TestLab) {
    repaired_after(lab, || fs::remove_file(&lab.files().state()).expect("the file is the lab's own"));
    assert!(lab.files().load().is_ok_and(|state| state.is_some()), "the state is written again");
}

fn removed_client_files(lab: &TestLab) {
    for file in [lab.files().ssh_config(), lab.files().known_hosts()] {
        fs::remove_file(&file).expect("the file is the lab's own");
    }
    assert_eq!(lab.ok(["ssh", "core-03", "--", "hostname"]), "core-03");
}

/// Returns the process of a unit.
fn process_of(lab: &TestLab, node: &str, unit: &str) -> String {
    lab.sh(node, &format!("systemctl show --property=MainPID --value {unit}"))
}

fn kill(lab: &TestLab, node: &str, unit: &str) {
    let killed = process_of(lab, node, unit);
    lab.sh(node, &format!("sudo kill -KILL {killed}"));
    wait_until(&format!("systemd has started {unit} again"), || {
        let now = process_of(lab, node, unit);
        (now != "0" && now != killed).then_some(())
    });
    wait_until("the lab serves again", || (lab.run(["status"]).code == Some(0)).then_some(()));
}

fn killed_dockerd(lab: &TestLab) {
    let image =
        "tar -chP /usr/bin/sleep $(ldd /usr/bin/sleep | grep -o '/[^ ]*') | docker import - e2e/sleep";
    lab.sh("core-01", image);
    lab.sh("core-01", "docker run -d --name lasting e2e/sleep /usr/bin/sleep infinity");
    let before = lab.sh("core-01", "docker inspect --format '{{.State.Pid}}' lasting");
    kill(lab, "core-01", "docker");
    let after = lab.sh("core-01", "docker inspect --format '{{.State.Pid}}' lasting");
    lab.sh("core-01", "docker rm --force lasting");
    assert_eq!(before, after, "a container ended with dockerd");
}

fn killed_etcd(lab: &TestLab) {
    kill(lab, "core-02", "lab-etcd");
    assert_eq!(lab.sh("core-02", "etcdctl get --print-value-only /e2e/repair"), "kept");
}

fn killed_labd(lab: &TestLab) {
    let others =
        || ["docker", "lab-etcd", "lab-sshd", "containerd"].map(|unit| process_of(lab, "core-03", unit));
    let before = others();
    kill(lab, "core-03", "labd");
    assert_eq!(others(), before);
    lab.run(["up"]).ends_with(0).says("nothing to do");
}
