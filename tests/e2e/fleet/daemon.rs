//! The daemon stops, dies, is told to begin anew, and loses sight of the registry; units are not touched.

use std::time::Duration;

use crate::kit::fleet::sleeper;
use crate::kit::{Check, TestLab, wait_until};

pub const CHECKS: &[Check] = &[
    ("a daemon that restarts or dies touches no unit", daemons_come_and_go),
    ("the daemon stops cleanly, and its machine leaves", a_stopped_daemon_leaves),
    ("a signal to begin anew does no harm", hangups_do_no_harm),
    ("two machines with one id are told apart", duplicate_ids_are_told),
    ("without the registry nothing stops and nothing moves", outages_change_nothing),
];

const UNITS: [&str; 3] = ["calm-1.service", "calm-2.service", "calm-3.service"];

fn start_three(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    for unit in UNITS {
        fleet.start(unit, &sleeper("Conflicts=calm-*.service"));
    }
}

/// Returns the processes of units on all nodes, which change when anything is stopped or started.
fn processes(lab: &TestLab) -> Vec<String> {
    let show = "for unit in $(ls /run/fleet/units); do systemctl show -p Id -p MainPID --value $unit; done";
    ["core-01", "core-02", "core-03"].map(|node| lab.sh(node, show)).into()
}

fn daemons_come_and_go(lab: &TestLab) {
    start_three(lab);
    let before = processes(lab);
    lab.ok(["exec", "--all", "--", "sudo systemctl restart labd"]);
    lab.fleet("core-01").settled(&UNITS);
    lab.ok(["exec", "--all", "--", "sudo systemctl kill -s KILL labd"]);
    let fleet = lab.fleet("core-01");
    fleet.settled(&UNITS);
    fleet.stays(Duration::from_secs(4), || fleet.settled(&UNITS));
    assert_eq!(processes(lab), before);
    // Orders that came meanwhile are carried out.
    lab.sh("core-02", "sudo systemctl stop labd");
    fleet.destroy("calm-2.service");
    lab.sh("core-02", "sudo systemctl start labd");
    lab.fleet("core-02").settled(&["calm-1.service", "calm-3.service"]);
    fleet.clear();
    fleet.is_sound();
}

fn a_stopped_daemon_leaves(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    fleet.start("pinned.service", &sleeper("MachineMetadata=hostname=core-03"));
    lab.sh("core-03", "sudo systemctl stop labd");
    assert_eq!(
        lab.sh("core-03", "systemctl show -p ActiveState -p Result --value labd"),
        "success\ninactive"
    );
    wait_until("the machine has left", || (fleet.machines().len() == 2).then_some(()));
    assert_eq!(fleet.states(), [serde_json::Value::Null; 0]);
    // As a restart must not touch what runs, stopping does not either.
    assert_eq!(fleet.systemd("core-03", "pinned.service"), "active");
    lab.sh("core-03", "sudo systemctl start labd");
    wait_until("the machine is back", || (fleet.machines().len() == 3).then_some(()));
    fleet.is_active("pinned.service");
    fleet.clear();
}

fn hangups_do_no_harm(lab: &TestLab) {
    let before = lab.sh("core-01", "systemctl show -p MainPID --value labd");
    for _ in 0..3 {
        lab.sh("core-01", "sudo systemctl kill -s HUP labd");
    }
    assert_eq!(lab.fleet("core-01").machines().len(), 3);
    assert_eq!(lab.sh("core-01", "systemctl show -p MainPID --value labd"), before);
}

fn duplicate_ids_are_told(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    let (own, other) = (lab.sh("core-03", "cat /etc/machine-id"), lab.sh("core-02", "cat /etc/machine-id"));
    let swap = |from: &str, to: &str| {
        format!("sudo sed -i 's/{from}/{to}/' /etc/lab/node.json && sudo systemctl restart labd")
    };
    lab.sh("core-03", "sudo systemctl stop labd && sudo rm -f /run/fleet/lease");
    lab.sh("core-03", &swap(&own, &other));
    let ask = "printf 'GET /fleet/v1/machines HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' | fleetctl fd-forward /run/fleet.sock";
    wait_until("the second one says that it cannot serve", || {
        lab.try_sh("core-03", ask).stdout.starts_with("HTTP/1.1 503").then_some(())
    });
    assert_eq!(lab.sh("core-03", "systemctl is-active labd"), "active");
    wait_until("two machines are left", || (fleet.machines().len() == 2).then_some(()));
    lab.sh("core-03", "sudo rm -f /run/fleet/lease");
    lab.sh("core-03", &swap(&other, &own));
    wait_until("all three are there", || (fleet.machines().len() == 3).then_some(()));
}

fn outages_change_nothing(lab: &TestLab) {
    start_three(lab);
    let fleet = lab.fleet("core-01");
    fleet.submit("known.service", &sleeper(""));
    fleet.submit("placed.service", &sleeper(""));
    fleet.set("placed.service", "loaded");
    fleet.reaches("placed.service", "loaded");
    let (places, before) = (fleet.settled(&UNITS), processes(lab));
    lab.ok(["exec", "--all", "--", "sudo systemctl stop lab-etcd"]);
    wait_until("the fleet says that it cannot serve", || {
        fleet.try_ask("GET", "/fleet/v1/units", None).filter(|answer| answer.status == 503)
    });
    // Longer than a lease, and than all that follows from its end.
    fleet.stays(Duration::from_secs(10), || processes(lab));
    lab.ok(["exec", "--all", "--", "sudo systemctl start lab-etcd"]);
    wait_until("the fleet serves again", || {
        fleet.try_ask("GET", "/fleet/v1/units", None).filter(|answer| answer.status == 200)
    });
    fleet.settled(&UNITS);
    fleet.stays(Duration::from_secs(4), || fleet.settled(&UNITS));
    assert_eq!((fleet.settled(&UNITS), processes(lab)), (places, before));
    assert_eq!(fleet.unit("known.service")["currentState"], "inactive");
    assert_eq!(fleet.unit("placed.service")["currentState"], "loaded");
    fleet.clear();
    fleet.is_sound();
}
