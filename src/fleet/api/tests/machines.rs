//! Machines: what clients see of them, and what is said of them while they run.

use serde_json::{Value, json};

use super::kit::Server;

async fn metadata(server: &Server) -> Value {
    let machines = server.get("machines").await.found();
    machines["machines"].as_array().unwrap().iter().map(|machine| machine["metadata"].clone()).collect()
}

fn step(op: &str, path: &str, value: &str) -> Value {
    json!({ "op": op, "path": path, "value": { "value": value } })
}

#[tokio::test]
async fn machines_that_are_present_are_listed() {
    let server = Server::start().await;
    server.join("m0", "10.0.0.9").await;
    let machine = |id: &str, ip: &str| {
        json!({
            "id": id,
            "primaryIP": ip,
            "metadata": { "zone": "a" },
            "name": format!("node-{id}"),
            "memoryBytes": 1 << 30,
            "fence": true,
        })
    };
    let want = json!({ "machines": [machine("m0", "10.0.0.9"), machine("m1", "10.0.0.1")] });
    assert_eq!(server.get("machines").await.found(), want);
}

#[tokio::test]
async fn metadata_is_added_replaced_and_taken_away() {
    let server = Server::start().await;
    server.join("m2", "").await;
    let steps = json!([
        step("add", "/m1/metadata/foo", "bar"),
        step("replace", "/m2/metadata/zone", "b"),
        { "op": "add", "path": "/m2/metadata/bare", "value": "text" },
    ]);
    let patched = server.patch(&steps).await;
    patched.is(204);
    assert_eq!(patched.header("content-type"), Some("application/json"));
    let want = json!([{ "foo": "bar", "zone": "a" }, { "bare": "text", "zone": "b" }]);
    assert_eq!(metadata(&server).await, want);

    let steps =
        json!([step("remove", "/m1/metadata/zone", ""), { "op": "remove", "path": "/m2/metadata/none" }]);
    server.patch(&steps).await.is(204);
    assert_eq!(metadata(&server).await, json!([{ "foo": "bar" }, { "bare": "text", "zone": "b" }]));
    // What was said lasts, also of a machine that nobody has seen yet.
    server.patch(&json!([step("add", "/m3/metadata/foo", "late")])).await.is(204);
    server.leave("m1").await;
    server.join("m1", "").await;
    server.join("m3", "").await;
    let late = json!({ "foo": "late", "zone": "a" });
    assert_eq!(metadata(&server).await, json!([{ "foo": "bar" }, { "bare": "text", "zone": "b" }, late]));
    server.patch(&json!([])).await.is(204);
}

#[tokio::test]
async fn one_bad_step_leaves_all_undone() {
    let server = Server::start().await;
    let good = step("add", "/m1/metadata/foo", "bar");
    for (bad, message) in [
        (step("noop", "/m1/metadata/foo", "x"), "invalid op: expect add, remove, or replace"),
        (step("add", "/m1/foo", "x"), "machine metadata path invalid"),
        (step("add", "/m1/metadata/foo", ""), "invalid value: add and replace require a value"),
    ] {
        server.patch(&json!([good, bad])).await.refused(400, message);
    }
    assert_eq!(server.send("PATCH", "/fleet/v1/machines", "", b"{").await.status, 400);
    assert_eq!(metadata(&server).await, json!([{ "zone": "a" }]));
}

#[tokio::test]
async fn a_machine_takes_units_or_does_not() {
    let server = Server::start().await;
    let scheduling = async || server.get("machines").await.found()["machines"][0]["scheduling"].clone();
    for word in ["cordoned", "drained"] {
        server.put("machines/m1", &json!({ "Scheduling": word })).await.is(204);
        assert_eq!(scheduling().await, word);
    }
    server.put("machines/m1", &json!({ "scheduling": "open" })).await.is(204);
    assert_eq!(scheduling().await, Value::Null);
    for id in ["m9", "m%2F1", "machine"] {
        let reply = server.put(&format!("machines/{id}"), &json!({ "scheduling": "open" })).await;
        reply.refused(404, "machine does not exist");
    }
    for body in [json!({}), json!({ "scheduling": "closed" }), json!([])] {
        let message = server.put("machines/m1", &body).await.json()["error"]["message"].clone();
        assert!(message.as_str().unwrap().starts_with("unable to decode body: "), "{message}");
    }
    // It lasts while the machine is away, and can be said then.
    server.leave("m1").await;
    server.put("machines/m1", &json!({ "scheduling": "cordoned" })).await.is(204);
    server.join("m1", "").await;
    assert_eq!(scheduling().await, "cordoned");
}

#[tokio::test]
async fn machines_that_are_away_are_known_until_they_are_forgotten() {
    let server = Server::start().await;
    server.put("machines/m1", &json!({ "scheduling": "cordoned" })).await.is(204);
    server.join("m2", "10.0.0.2").await;
    server.create("a.service", "launched").await;
    server.settle().await;
    let present = async || {
        let nodes = server.get("nodes").await.found();
        let nodes = nodes["machines"].as_array().unwrap().clone();
        nodes.iter().map(|node| json!([node["id"], node["present"], node["primaryIP"]])).collect::<Value>()
    };
    assert_eq!(present().await, json!([["m1", true, "10.0.0.1"], ["m2", true, "10.0.0.2"]]));
    server.ask("DELETE", "machines/m1").await.refused(409, "machine is present");
    server.leave("m1").await;
    assert_eq!(present().await, json!([["m1", false, "10.0.0.1"], ["m2", true, "10.0.0.2"]]));
    assert_eq!(server.get("nodes").await.found()["machines"][0]["name"], "node-m1");
    server.ask("DELETE", "machines/m1").await.refused(409, "units are on the machine: a.service");
    server.ask("DELETE", "units/a.service").await.is(204);
    server.ask("DELETE", "machines/m1").await.is(204);
    assert_eq!(present().await, json!([["m2", true, "10.0.0.2"]]));
    for id in ["m1", "m9", "m%2F9"] {
        server.ask("DELETE", &format!("machines/{id}")).await.is(204);
    }
}
