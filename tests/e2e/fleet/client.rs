//! How the client of old reaches a lab: through a tunnel, where it runs a program on the node, and through a
//! socket that is forwarded.

use lab::exec::Cmd;
use serde_json::json;

use crate::kit::fleet::{options, request, sleeper};
use crate::kit::{Check, TestLab};

pub const CHECKS: &[Check] = &[
    ("the node has what a tunnel needs", the_node_forwards),
    ("ten instances are started through a tunnel", a_batch_through_a_tunnel),
    ("both paths of the socket are open to core and to no one else", sockets_are_guarded),
    ("nothing listens on the network", nothing_listens),
];

/// Speaks a request through the program that the client of old runs on the node for each connection.
fn through_tunnel(lab: &TestLab, request: &str) -> String {
    let config = lab.ok(["ssh-config", "--path"]);
    let file = lab.file("request");
    lab::fs::write(&file, request, lab::fs::Access::Private).expect("the folder is ours");
    let script = format!("ssh -F {config} core-02 fleetctl fd-forward /var/run/fleet.sock < {file}");
    lab.run_cmd(&lab.in_lab(Cmd::new("sh").args(["-c", &script]))).ok()
}

fn the_node_forwards(lab: &TestLab) {
    for flag in ["version", "--version", "-v"] {
        assert!(lab.sh("core-01", &format!("fleetctl {flag}")).starts_with("fleetctl version "), "{flag}");
    }
    for help in ["", "help", "--help", "-h"] {
        assert!(lab.sh("core-01", &format!("fleetctl {help}")).contains("fd-forward"), "`{help}`");
    }
    lab.try_sh("core-01", "fleetctl nonsense").ends_with(1);
    lab.try_sh("core-01", "fleetctl fd-forward /no/such.sock </dev/null").ends_with(1).says("/no/such.sock");
    let answer = through_tunnel(lab, &request("GET", "/fleet/v1/machines", None));
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("core-03"), "{answer}");
}

fn a_batch_through_a_tunnel(lab: &TestLab) {
    let units: Vec<String> = (1..=11).map(|unit| format!("batch@{unit}.service")).collect();
    for unit in &units {
        let body = json!({ "name": unit, "desiredState": "launched", "options": options(&sleeper("")) });
        let path = format!("/fleet/v1/units/{}", unit.replace('@', "%40"));
        let answer = through_tunnel(lab, &request("PUT", &path, Some(&body)));
        assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
    }
    let fleet = lab.fleet("core-01");
    let names: Vec<&str> = units.iter().map(String::as_str).collect();
    fleet.settled(&names);
    fleet.clear();
}

fn sockets_are_guarded(lab: &TestLab) {
    for socket in ["/run/fleet.sock", "/var/run/fleet.sock"] {
        assert_eq!(lab.sh("core-01", &format!("stat -L -c '%U %G %a' {socket}")), "root core 660");
    }
    lab.try_sh("core-01", "sudo -u nobody fleetctl fd-forward /run/fleet.sock </dev/null").ends_with(1);
}

fn nothing_listens(lab: &TestLab) {
    let listening = lab.sh("core-01", "sudo ss -Hltnp");
    assert!(!listening.contains("labd"), "{listening}");
}
