//! The API on a real cluster: machines and their metadata.

use serde_json::{Value, json};

use crate::kit::{Check, TestLab, wait_until};

pub const CHECKS: &[Check] = &[
    ("machines are listed", machines_are_listed),
    ("a page that cannot be is refused", a_bad_page_is_refused),
    ("metadata is added and replaced", metadata_is_added_and_replaced),
    ("metadata is removed", metadata_is_removed),
    ("a change that makes no sense is refused", bad_changes_are_refused),
    ("a new value moves what runs", new_metadata_moves_units),
];

fn machines_are_listed(lab: &TestLab) {
    let fleet = lab.fleet("core-02");
    for root in ["/fleet/v1", "/v1-alpha"] {
        let answer = fleet.ask("GET", &format!("{root}/machines"), None);
        assert!(answer.headers.to_lowercase().contains("content-type: application/json"), "{answer:?}");
        let machines = answer.is(200).json();
        let machines = machines["machines"].as_array().expect("machines are a list");
        let names: Vec<&str> =
            machines.iter().filter_map(|machine| machine["metadata"]["hostname"].as_str()).collect();
        assert_eq!(names.len(), 3, "{machines:?}");
        assert!(machines.iter().all(|machine| machine["id"].as_str().is_some_and(|id| id.len() == 32)));
    }
}

fn a_bad_page_is_refused(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    let answer = fleet.ask("GET", "/fleet/v1/machines?nextPageToken=EwAMAA==", None);
    assert_eq!(answer.is(400).json()["error"]["code"], 400);
}

/// Returns a machine's id.
fn id_of(lab: &TestLab, node: &str) -> String {
    lab.sh(node, "cat /etc/machine-id")
}

fn metadata_of(lab: &TestLab, id: &str) -> Value {
    let machines = lab.fleet("core-01").list("machines");
    machines.into_iter().find(|machine| machine["id"] == id).expect("the machine is there")["metadata"].take()
}

fn patch(lab: &TestLab, changes: &Value) -> u16 {
    lab.fleet("core-01").ask("PATCH", "/fleet/v1/machines", Some(changes)).status
}

fn change(op: &str, id: &str, key: &str, value: &Value) -> Value {
    json!({ "op": op, "path": format!("/{id}/metadata/{key}"), "value": value })
}

fn metadata_is_added_and_replaced(lab: &TestLab) {
    let (one, two) = (id_of(lab, "core-01"), id_of(lab, "core-02"));
    let changes = json!([
        change("add", &one, "foo", &json!({ "value": "bar" })),
        change("replace", &two, "ping", &json!({ "value": "pong" })),
    ]);
    assert_eq!(patch(lab, &changes), 204);
    assert_eq!(metadata_of(lab, &one)["foo"], "bar");
    assert_eq!(metadata_of(lab, &two)["ping"], "pong");
    assert_eq!(patch(lab, &json!([change("replace", &one, "foo", &json!("baz"))])), 204);
    assert_eq!(metadata_of(lab, &one)["foo"], "baz");
}

fn metadata_is_removed(lab: &TestLab) {
    let one = id_of(lab, "core-01");
    assert_eq!(patch(lab, &json!([change("add", &one, "gone", &json!({ "value": "1" }))])), 204);
    assert_eq!(patch(lab, &json!([{ "op": "remove", "path": format!("/{one}/metadata/gone") }])), 204);
    assert_eq!(metadata_of(lab, &one)["gone"], Value::Null);
}

fn bad_changes_are_refused(lab: &TestLab) {
    let one = id_of(lab, "core-01");
    for bad in [
        change("noop", &one, "foo", &json!({ "value": "bar" })),
        json!({ "op": "add", "path": "/foo/bar", "value": { "value": "1" } }),
        change("add", &one, "foo", &json!({ "value": "" })),
    ] {
        assert_eq!(patch(lab, &json!([bad])), 400, "{bad}");
    }
}

fn new_metadata_moves_units(lab: &TestLab) {
    use crate::kit::fleet::sleeper;
    let (fleet, one, two) = (lab.fleet("core-01"), id_of(lab, "core-01"), id_of(lab, "core-02"));
    let place = |id: &str| change("add", id, "place", &json!({ "value": "here" }));
    assert_eq!(patch(lab, &json!([place(&one)])), 204);
    fleet.start("moved.service", &sleeper("MachineMetadata=place=here"));
    assert_eq!(fleet.settled(&["moved.service"])["moved.service"], "core-01");
    let moving = json!([place(&two), { "op": "remove", "path": format!("/{one}/metadata/place") }]);
    assert_eq!(patch(lab, &moving), 204);
    wait_until("the unit has moved", || {
        (fleet.settled(&["moved.service"])["moved.service"] == "core-02").then_some(())
    });
    assert_eq!(fleet.systemd("core-01", "moved.service"), "inactive");
    fleet.clear();
    fleet.is_sound();
}
