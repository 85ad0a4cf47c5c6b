//! What becomes of a unit from its submission to its end, by the hands of `lab`.

use std::time::Duration;

use crate::kit::fleet::sleeper;
use crate::kit::{Check, TestLab, wait_until};

pub const CHECKS: &[Check] = &[
    ("units are submitted, loaded and started, undone, and done again", steps_are_done_and_undone),
    ("other content replaces what is there", content_is_replaced),
    ("a restart leaves units active", restarts_leave_units_active),
    ("a unit that a unit pulls in is enabled", installed_units_follow),
    ("what a unit does at its end is done before its file goes", the_end_of_a_unit_is_whole),
    ("units start after those that they need, all of them loaded", units_start_in_order),
    ("a file is shown as it was written", files_are_shown),
    ("status and journal come from where the unit is", status_and_journal),
    ("unit files are listed by name", files_are_listed_by_name),
    ("a unit that fails is told with its journal", failures_are_told),
    ("a unit that fits nowhere is told machine by machine", misfits_are_told),
    ("drain, cordon, plan and rebalance", nodes_are_drained),
];

fn write(lab: &TestLab, name: &str, lines: &str) {
    lab.write(&format!("units/{name}"), sleeper(lines));
}

/// Returns the states that the cluster knows, as `lab unit ls` lists them.
fn states(lab: &TestLab) -> Vec<(String, String)> {
    let fleet = lab.fleet("core-03");
    let units = fleet.list("units").into_iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    units.map(|unit| (text(&unit["name"]), text(&unit["currentState"]))).collect()
}

fn all(count: usize, state: &str) -> Vec<(String, String)> {
    (1..=count).map(|unit| (format!("step@{unit}.service"), state.to_owned())).collect()
}

fn steps_are_done_and_undone(lab: &TestLab) {
    write(lab, "step@.service", "");
    let names = |count: usize| -> Vec<String> {
        (1..=count).map(|unit| format!("units/step@{unit}.service")).collect()
    };
    for (verb, undo, count, reached, undone) in [
        ("submit", "destroy", 9, "inactive", None),
        ("load", "unload", 6, "loaded", Some("inactive")),
        ("start", "stop", 3, "launched", Some("loaded")),
    ] {
        let run = |verb: &str| lab.ok(["unit".to_owned(), verb.to_owned()].into_iter().chain(names(count)));
        for _ in 0..2 {
            run(verb);
            assert_eq!(states(lab), all(count, reached), "after {verb}");
            run(undo);
            let want = undone.map_or_else(Vec::new, |state| all(count, state));
            wait_until(&format!("{undo} is seen"), || (states(lab) == want).then_some(()));
        }
        lab.fleet("core-01").clear();
    }
}

fn content_is_replaced(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    for (verb, state) in [("submit", "inactive"), ("load", "loaded"), ("start", "launched")] {
        write(lab, "swap@.service", "");
        lab.ok(["unit", verb, "units/swap@1.service", "units/swap@2.service"]);
        write(lab, "swap@.service", "Conflicts=nobody.service");
        lab.run(["unit", verb, "units/swap@1.service"]).says("another file");
        assert!(!lab.ok(["unit", "cat", "swap@1"]).contains("nobody"));
        lab.ok(["unit", verb, "--replace", "units/swap@1.service", "units/swap@2.service"]);
        for unit in ["swap@1", "swap@2"] {
            assert!(lab.ok(["unit", "cat", unit]).contains("Conflicts=nobody.service"), "{verb} {unit}");
            fleet.reaches(&format!("{unit}.service"), state);
        }
        fleet.clear();
    }
}

fn pid(lab: &TestLab, node: &str, unit: &str) -> String {
    lab.sh(node, &format!("systemctl show -p MainPID --value {unit}"))
}

fn restarts_leave_units_active(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    write(lab, "again@.service", "");
    lab.ok(["unit", "start", "units/again@1.service", "units/again@2.service", "units/again@3.service"]);
    let units = ["again@1.service", "again@2.service", "again@3.service"];
    let places = fleet.settled(&units);
    let before: Vec<String> = units.iter().map(|unit| pid(lab, &places[*unit], unit)).collect();
    lab.ok(["unit", "restart", "again@1", "again@2", "again@3"]);
    assert_eq!(fleet.settled(&units), places, "a restart moves nothing");
    let after: Vec<String> = units.iter().map(|unit| pid(lab, &places[*unit], unit)).collect();
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{before:?} {after:?}");
    // The client of old asks in two steps, and gives the server no time between them.
    let old = pid(lab, &places["again@1.service"], "again@1.service");
    fleet.set("again@1.service", "loaded");
    fleet.set("again@1.service", "launched");
    wait_until("it runs anew", || {
        let now = pid(lab, &places["again@1.service"], "again@1.service");
        (now != "0" && now != old).then_some(())
    });
    fleet.clear();
}

fn installed_units_follow(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    fleet.submit("main.service", &sleeper(""));
    let side = "[Unit]\nBindsTo=main.service\nAfter=main.service\n[Service]\nExecStart=/bin/sleep infinity\n\
                [Install]\nWantedBy=main.service\n[X-Fleet]\nMachineOf=main.service\n";
    fleet.submit("side.service", side);
    fleet.set("main.service", "loaded");
    fleet.set("side.service", "loaded");
    fleet.reaches("side.service", "loaded");
    assert_eq!(fleet.active().len(), 0);
    fleet.set("main.service", "launched");
    let places = fleet.settled(&["main.service", "side.service"]);
    assert_eq!(places["main.service"], places["side.service"]);
    fleet.set("main.service", "loaded");
    wait_until("both have stopped", || fleet.active().is_empty().then_some(()));
    fleet.clear();
}

fn the_end_of_a_unit_is_whole(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    lab.ok(["exec", "--all", "--", "rm -f /tmp/e2e-end-*"]);
    let text = "[Service]\nExecStart=/bin/sleep infinity\n\
                ExecStop=/bin/sh -c 'sleep 1; test -e /run/fleet/units/end.service && touch /tmp/e2e-end-stop'\n\
                ExecStopPost=/bin/touch /tmp/e2e-end-post\n";
    fleet.start("end.service", text);
    let node = fleet.settled(&["end.service"])["end.service"].clone();
    fleet.destroy("end.service");
    wait_until("it is gone", || {
        (lab.try_sh(&node, "test ! -e /run/fleet/units/end.service").code == Some(0)).then_some(())
    });
    lab.sh(&node, "test -e /tmp/e2e-end-stop && test -e /tmp/e2e-end-post");
    fleet.clear();
}

fn units_start_in_order(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    let here = "[X-Fleet]\nMachineMetadata=hostname=core-02\n";
    let step = |after: &str, name: &str| {
        format!(
            "[Unit]\n{after}[Service]\nType=oneshot\nRemainAfterExit=yes\n\
             ExecStart=/bin/sh -c 'sleep 0.3; echo {name} >> /tmp/e2e-order'\n{here}"
        )
    };
    lab.sh("core-02", "rm -f /tmp/e2e-order");
    for (unit, after) in [
        ("a-last", "Requires=b-middle.service\nAfter=b-middle.service\n"),
        ("b-middle", "Wants=c-first.service\nAfter=c-first.service\n"),
        ("c-first", ""),
    ] {
        lab.write(&format!("units/{unit}.service"), step(after, unit));
    }
    lab.ok(["unit", "start", "units/a-last.service", "units/b-middle.service", "units/c-first.service"]);
    assert_eq!(lab.sh("core-02", "cat /tmp/e2e-order"), "c-first\nb-middle\na-last");
    fleet.clear();
}

fn files_are_shown(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    let text = "# A comment that systemd does not mind.\n[Unit]\nDescription = spaced\n\n[Service]\n\
                ExecStart=/bin/sh -c \\\n  'sleep infinity'\n";
    lab.write("units/shown.service", text);
    lab.ok(["unit", "start", "units/shown.service"]);
    let canonical = "[Unit]\nDescription=spaced\n\n[Service]\nExecStart=/bin/sh -c \\\n  'sleep infinity'";
    assert_eq!(lab.ok(["unit", "cat", "shown"]), text.trim_end());
    let options = fleet.unit("shown.service")["options"].clone();
    assert_eq!(options.as_array().map_or(0, Vec::len), 2, "{options}");
    let node = fleet.settled(&["shown.service"])["shown.service"].clone();
    assert_eq!(lab.sh(&node, "cat /run/fleet/units/shown.service"), text.trim_end());
    let hash = lab.sh(&node, &format!("sha1sum <<'END' | cut -d ' ' -f 1\n{canonical}\nEND"));
    assert_eq!(fleet.states()[0]["hash"], hash.as_str());
    fleet.clear();
}

fn status_and_journal(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    let text = "[Service]\nExecStart=/bin/sh -c 'echo from-the-payload; sleep infinity'\n";
    lab.write("units/talks.service", text);
    lab.ok(["unit", "start", "units/talks.service"]);
    assert!(lab.ok(["unit", "status", "talks"]).contains("Active: active"));
    wait_until("the journal has it", || {
        lab.ok(["unit", "journal", "talks"]).contains("from-the-payload").then_some(())
    });
    lab.ok(["unit", "stop", "talks"]);
    let status = lab.run(["unit", "status", "talks"]).ends_with(3).stdout.clone();
    assert!(status.contains("Loaded: loaded"), "{status}");
    fleet.clear();
}

fn files_are_listed_by_name(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    for unit in (1..=20).rev() {
        fleet.submit(&format!("order-{unit:02}.service"), &sleeper(""));
    }
    let want: Vec<String> = (1..=20).map(|unit| format!("order-{unit:02}.service")).collect();
    assert_eq!(fleet.names(), want);
    let listed = lab.ok(["unit", "ls"]);
    let listed: Vec<&str> = listed.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(listed, want);
    fleet.clear();
}

fn failures_are_told(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    lab.write("units/fails.service", "[Service]\nExecStart=/bin/sh -c 'echo why-it-fails >&2; exit 7'\n");
    let run = lab.run(["unit", "start", "units/fails.service"]);
    run.ends_with(1).says("why-it-fails");
    lab.write("units/once.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n");
    lab.ok(["unit", "start", "units/once.service"]);
    lab.write("units/nonsense.service", "[X-Fleet]\nMachineMetadata=a b\n");
    lab.run(["unit", "start", "units/nonsense.service"]).ends_with(2).says("line 2");
    fleet.clear();
}

fn misfits_are_told(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    write(lab, "nowhere.service", "MachineMetadata=disk=tape");
    let run = lab.run(["unit", "start", "--wait", "2", "units/nowhere.service"]);
    run.ends_with(7).says("core-02").says("disk=tape");
    let why = lab.run(["why", "nowhere"]);
    for node in ["core-01", "core-02", "core-03"] {
        assert!(why.stdout.contains(node), "{why}");
    }
    assert!(lab.ok(["units"]).contains("nowhere.service"));
    fleet.clear();
}

fn nodes_are_drained(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    for unit in ["d-1.service", "d-2.service", "d-3.service"] {
        fleet.start(unit, &sleeper(""));
    }
    let before = fleet.settled(&["d-1.service", "d-2.service", "d-3.service"]);
    let on_two = before.iter().find(|(_, node)| *node == "core-02").expect("each node has one").0.clone();
    let plan = lab.ok(["plan", "--without", "core-02"]);
    assert!(plan.lines().any(|line| line.contains(&on_two)), "{plan}");
    assert_eq!(fleet.settled(&["d-1.service", "d-2.service", "d-3.service"]), before, "a plan moves nothing");
    lab.ok(["drain", "core-02"]);
    let after = fleet.settled(&["d-1.service", "d-2.service", "d-3.service"]);
    assert!(after.values().all(|node| node != "core-02"), "{after:?}");
    lab.ok(["uncordon", "core-02"]);
    fleet.stays(Duration::from_secs(1), || fleet.active());
    lab.ok(["rebalance"]);
    wait_until("the empty node has one again", || {
        fleet
            .settled(&["d-1.service", "d-2.service", "d-3.service"])
            .values()
            .any(|node| node == "core-02")
            .then_some(())
    });
    lab.ok(["cordon", "core-03"]);
    fleet.start("d-4.service", &sleeper(""));
    assert!(!fleet.active()["d-4.service"].contains("core-03"));
    lab.ok(["uncordon", "core-03"]);
    fleet.clear();
    fleet.is_sound();
}
