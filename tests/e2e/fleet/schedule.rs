//! Where units go.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::kit::fleet::sleeper;
use crate::kit::{Check, TestLab, wait_until};

pub const CHECKS: &[Check] = &[
    ("templates fill their instance into metadata", templates_fill_in_metadata),
    ("followers are with their leaders and move with them", followers_are_with_leaders),
    ("of five that conflict three run", conflicting_units_are_apart),
    ("one conflict is enough for two", a_conflict_holds_both_ways),
    ("conflicts are lists of patterns", conflicts_are_lists),
    ("a unit that replaces another takes its machine", a_unit_is_replaced),
    ("two that replace each other come to rest", mutual_replacement_rests),
    ("a unit may name its machine", units_are_pinned),
    ("global units run everywhere", globals_run_everywhere),
    ("of global units that conflict the first runs", globals_conflict),
];

/// Returns how many different nodes there are.
fn spread(places: &std::collections::BTreeMap<String, String>) -> usize {
    places.values().collect::<BTreeSet<_>>().len()
}

fn templates_fill_in_metadata(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    for node in ["core-01", "core-02", "core-03"] {
        let unit = format!("on@{node}.service");
        fleet.start(&unit, &sleeper("MachineMetadata=hostname=%i"));
        assert!(fleet.active()[&unit].contains(node), "{unit}");
    }
    fleet.launch("on@nowhere.service", &sleeper("MachineMetadata=hostname=%i"));
    let state =
        fleet.stays(Duration::from_secs(2), || fleet.unit("on@nowhere.service")["currentState"].clone());
    assert_eq!(state, "inactive");
    fleet.clear();
}

fn followers_are_with_leaders(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    let mut units = Vec::new();
    for pair in ["1", "2", "3"] {
        fleet.launch(&format!("pong-{pair}.service"), &sleeper(&format!("MachineOf=ping-{pair}.service")));
        fleet.launch(&format!("ping-{pair}.service"), &sleeper("Conflicts=ping-*.service"));
        units.extend([format!("ping-{pair}.service"), format!("pong-{pair}.service")]);
    }
    let units: Vec<&str> = units.iter().map(String::as_str).collect();
    let places = fleet.settled(&units);
    for pair in ["1", "2", "3"] {
        assert_eq!(places[&format!("ping-{pair}.service")], places[&format!("pong-{pair}.service")]);
    }
    assert_eq!(spread(&places), 3);
    // The pair moves together when its leader has to.
    let from = places["ping-1.service"].clone();
    fleet.destroy("ping-2.service");
    fleet.destroy("ping-3.service");
    lab.ok(["drain", &from]);
    wait_until("the pair is elsewhere", || {
        let active = fleet.active();
        let (leader, follower) = (active.get("ping-1.service")?, active.get("pong-1.service")?);
        (leader == follower && leader.len() == 1 && !leader.contains(&from)).then_some(())
    });
    lab.ok(["uncordon", &from]);
    fleet.clear();
}

fn conflicting_units_are_apart(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    for unit in 1..=5 {
        fleet.launch(&format!("conflict@{unit}.service"), &sleeper("Conflicts=conflict@*.service"));
    }
    let three = ["conflict@1.service", "conflict@2.service", "conflict@3.service"];
    assert_eq!(spread(&fleet.settled(&three)), 3);
    assert_eq!(fleet.names().len(), 5);
    fleet.stays(Duration::from_secs(2), || fleet.active());
    // The next one by name takes the place that is free.
    fleet.destroy("conflict@1.service");
    fleet.settled(&["conflict@2.service", "conflict@3.service", "conflict@4.service"]);
    fleet.clear();
}

fn a_conflict_holds_both_ways(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    let here = "MachineMetadata=hostname=core-02";
    fleet.start("loner.service", &sleeper(&format!("{here}\nConflicts=other.service")));
    fleet.launch("other.service", &sleeper(here));
    fleet.stays(Duration::from_secs(1), || fleet.unit("other.service")["currentState"].clone());
    assert_eq!(fleet.unit("other.service")["currentState"], "inactive");
    fleet.destroy("loner.service");
    fleet.settled(&["other.service"]);
    fleet.clear();
}

fn conflicts_are_lists(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    let lines = "Conflicts=many-1.service many-2.service\nConflicts=many-3.*";
    for unit in ["many-1.service", "many-2.service", "many-3.service"] {
        fleet.launch(unit, &sleeper(lines));
    }
    assert_eq!(spread(&fleet.settled(&["many-1.service", "many-2.service", "many-3.service"])), 3);
    fleet.clear();
}

fn a_unit_is_replaced(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    fleet.start("old.service", &sleeper(""));
    let place = fleet.settled(&["old.service"])["old.service"].clone();
    fleet.launch("new.service", &sleeper(&format!("Replaces=old.service\nMachineMetadata=hostname={place}")));
    wait_until("the new one has the place of the old one", || {
        let places = fleet.settled(&["new.service", "old.service"]);
        (places["new.service"] == place && places["old.service"] != place).then_some(())
    });
    fleet.clear();
}

fn mutual_replacement_rests(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    let here = "MachineMetadata=hostname=core-03";
    fleet.start("chase-1.service", &sleeper(&format!("{here}\nReplaces=chase-2.service")));
    fleet.start("chase-2.service", &sleeper(&format!("{here}\nReplaces=chase-1.service")));
    fleet.stays(Duration::from_secs(2), || fleet.settled(&["chase-1.service", "chase-2.service"]));
    fleet.clear();
}

fn units_are_pinned(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    for node in ["core-01", "core-02", "core-03"] {
        let id = lab.sh(node, "cat /etc/machine-id");
        for (name, id) in [("full", id.as_str()), ("short", &id[..8])] {
            let unit = format!("{name}-{node}.service");
            fleet.start(&unit, &sleeper(&format!("MachineID={id}")));
            assert!(fleet.active()[&unit].contains(node), "{unit}");
        }
    }
    fleet.clear();
}

fn globals_run_everywhere(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    fleet.start("plain-1.service", &sleeper(""));
    fleet.start("plain-2.service", &sleeper(""));
    fleet.put(
        "everywhere.service",
        &serde_json::json!({ "desiredState": "launched", "options": crate::kit::fleet::options(&sleeper("Global=true")) }),
    )
    .is(201);
    wait_until("it runs on all nodes", || {
        fleet.active().get("everywhere.service").is_some_and(|nodes| nodes.len() == 3).then_some(())
    });
    assert_eq!(fleet.unit("everywhere.service").get("currentState"), None);
    lab.ok(["unit", "status", "everywhere"]);
    lab.ok(["unit", "restart", "everywhere"]);
    assert_eq!(fleet.active()["everywhere.service"].len(), 3);
    fleet.clear();
}

fn globals_conflict(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    for unit in ["glob-0.service", "glob-1.service"] {
        let body = crate::kit::fleet::options(&sleeper("Global=true\nConflicts=glob-*.service"));
        fleet.put(unit, &serde_json::json!({ "desiredState": "launched", "options": body })).is(201);
    }
    wait_until("the first runs everywhere", || {
        fleet.active().get("glob-0.service").is_some_and(|nodes| nodes.len() == 3).then_some(())
    });
    fleet.stays(Duration::from_secs(2), || fleet.active().get("glob-1.service").cloned());
    assert_eq!(fleet.active().get("glob-1.service"), None);
    fleet.clear();
}
