//! What upstream's server does not have: texts, moves, and a look at the registry.

use serde_json::json;

use super::kit::{Server, global, hello};
use crate::fleet::records::{MachineId, Phase};
use crate::fleet::registry::{Key, put};
use crate::fleet::unit::UnitName;

const TEXT: &str = "# about\n[Service]\nExecStart = /bin/echo a\n";

#[tokio::test]
async fn a_text_is_kept_byte_for_byte_and_shown_once() {
    let server = Server::start().await;
    server.put("units/a.service", &json!({ "text": TEXT })).await.is(201);
    let shown = server.get("units/a.service").await.found();
    assert_eq!((&shown["text"], &shown["options"]), (&json!(TEXT), &hello("a")));
    assert_eq!(server.get("units").await.found()["units"][0].get("text"), None);
    // With other comments it is the same unit.
    let again = json!({ "text": format!("{TEXT}# more\n"), "options": hello("a"), "desiredState": "loaded" });
    server.put("units/a.service", &again).await.is(204);
    assert_eq!(server.record("a.service").text, TEXT);
    let other = "[Service]\nExecStart=/bin/echo b\n";
    server.put("units/a.service", &json!({ "text": other })).await.is(201);
    let shown = server.get("units/a.service").await.found();
    assert_eq!((shown.get("text"), &shown["options"]), (None, &hello("b")));
}

#[tokio::test]
async fn a_unit_is_asked_to_move() {
    let server = Server::start().await;
    server.join("m2", "").await;
    server.create("a.service", "launched").await;
    let moved = async |name: &str, id: &str| {
        server.put(&format!("units/{name}/machine"), &json!({ "machineID": id })).await
    };
    moved("a.service", "m2").await.refused(409, "the unit is on no machine");
    server.settle().await;
    moved("a.service", "m2").await.is(204);
    let shown = server.get("units/a.service").await.found();
    assert_eq!((&shown["machineID"], &shown["wishedMachineID"]), (&json!("m1"), &json!("m2")));
    assert_eq!(server.get("units").await.found()["units"][0]["wishedMachineID"], "m2");
    server.is_sound();
    moved("a.service", "m1").await.is(204);
    assert_eq!(server.get("units/a.service").await.found().get("wishedMachineID"), None);

    moved("b.service", "m2").await.refused(404, "unit does not exist");
    moved("nonsense", "m2").await.refused(404, "unit does not exist");
    for id in ["m9", "", "m/9"] {
        moved("a.service", id).await.refused(404, "machine does not exist");
    }
    server.put("units/g.service", &json!({ "options": global() })).await.is(201);
    let everywhere = "a global unit runs on every machine that fits: it cannot be moved";
    moved("g.service", "m1").await.refused(409, everywhere);
    assert_eq!(server.put("units/a.service/machine", &json!({})).await.status, 400);
}

#[tokio::test]
async fn a_unit_becomes_global_and_ceases_to_be() {
    let server = Server::start().await;
    server.create("a.service", "launched").await;
    server.settle().await;
    let body = json!({ "options": global(), "desiredState": "launched" });
    server.put("units/a.service", &body).await.is(201);
    let record = server.record("a.service");
    assert_eq!((record.machine, record.stops, record.desired), (None, 0, Phase::Launched));
    server.is_sound();
    server.put("units/a.service", &json!({ "desiredState": "loaded" })).await.is(204);
    server.is_sound();
    server.put("units/a.service", &json!({ "options": hello("a") })).await.is(201);
    server.is_sound();
    let keys: Vec<String> = server.registry.dump().entries.into_iter().map(|entry| entry.key).collect();
    let unit = UnitName::parse("a.service").unwrap();
    let state = Key::State(unit.clone(), MachineId::new("m1"));
    let want = [Key::Machine(MachineId::new("m1")), state, Key::Unit(unit)];
    assert_eq!(keys, want.map(|key| key.to_string()));
}

#[tokio::test]
async fn what_is_wrong_in_the_registry_is_told() {
    let server = Server::start().await;
    assert_eq!(server.get("fsck").await.found(), json!({ "findings": [] }));
    let ghost = Key::Target(MachineId::new("m1"), UnitName::parse("a.service").unwrap());
    server.write(vec![put(&ghost, &json!({ "text": "", "desired": "loaded" }), None)]).await;
    let finding = json!({ "key": ghost.to_string(), "what": "there is no such unit" });
    assert_eq!(server.get("fsck").await.found(), json!({ "findings": [finding] }));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_spoils_nothing_else() {
    let server = Server::start().await;
    server.create("a.service", "inactive").await;
    let broken = Key::Unit(UnitName::parse("b.service").unwrap());
    server.write(vec![put(&broken, &7, None)]).await;
    assert_eq!(server.get("units").await.found()["units"].as_array().unwrap().len(), 1);
    let message = format!("what stands at `{broken}` in the registry could not be read");
    server.put("units/b.service", &json!({ "options": hello("a") })).await.refused(500, &message);
}

#[tokio::test]
async fn what_the_engine_counts_is_served() {
    let server = Server::start().await;
    server.metrics.reconciled();
    let reply = server.send("GET", "/metrics", "", b"").await;
    assert!(reply.body.contains("\nfleet_engine_reconcile_count_total 1\n"), "{reply:?}");
    assert!(reply.header("content-type").unwrap().starts_with("text/plain"));
}
