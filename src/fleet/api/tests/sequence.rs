//! What upstream's client says, call by call, when it starts a new unit.

use serde_json::{Value, json};

use super::kit::{Reply, Server, hello};

/// Asks as that client does.
async fn ask(server: &Server, method: &str, path: &str, body: Option<Value>) -> Reply {
    let agent = "User-Agent: google-api-go-client/0.5\r\nAccept-Encoding: gzip\r\n";
    let kind = if body.is_some() { "Content-Type: application/json\r\n" } else { "" };
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let path = format!("/fleet/v1/{path}?alt=json");
    server.send(method, &path, &format!("{agent}{kind}"), body.as_bytes()).await
}

#[tokio::test]
async fn a_new_unit_is_started() {
    let server = Server::start().await;
    let unit = "units/new.service";
    ask(&server, "GET", unit, None).await.refused(404, "unit does not exist");
    let made = json!({ "name": "new.service", "options": hello("x") });
    ask(&server, "PUT", unit, Some(made)).await.is(201);
    let shown = ask(&server, "GET", unit, None).await.found();
    assert_eq!(shown["currentState"], "inactive");
    assert_eq!(ask(&server, "GET", unit, None).await.found(), shown);

    let told = json!({ "desiredState": "launched", "name": "new.service" });
    ask(&server, "PUT", unit, Some(told)).await.is(204);
    let shown = ask(&server, "GET", unit, None).await.found();
    assert_eq!((&shown["currentState"], &shown["desiredState"]), (&json!("inactive"), &json!("launched")));
    assert_eq!(ask(&server, "GET", "state/new.service", None).await.found(), json!({}));
    // The engine places it first, then its machine reports it.
    server.assign("new.service", Some("m1")).await;
    let shown = ask(&server, "GET", unit, None).await.found();
    assert_eq!((&shown["currentState"], &shown["machineID"]), (&json!("inactive"), &json!("m1")));
    server.settle().await;
    let shown = ask(&server, "GET", unit, None).await.found();
    assert_eq!((&shown["currentState"], &shown["machineID"]), (&json!("launched"), &json!("m1")));

    let machines = ask(&server, "GET", "machines", None).await.found();
    assert_eq!(
        (&machines["machines"][0]["id"], &machines["machines"][0]["primaryIP"]),
        (&json!("m1"), &json!("10.0.0.1"))
    );
    let state = ask(&server, "GET", "state/new.service", None).await.found();
    let want = json!({
        "name": "new.service",
        "hash": state["hash"],
        "machineID": "m1",
        "systemdLoadState": "loaded",
        "systemdActiveState": "active",
        "systemdSubState": "running",
    });
    assert_eq!(state, want);

    ask(&server, "DELETE", unit, None).await.is(204);
    ask(&server, "GET", unit, None).await.refused(404, "unit does not exist");
    assert_eq!(server.get("units").await.body, "{}");
    // Its state lasts until its machine has stopped it.
    assert_eq!(ask(&server, "GET", "state/new.service", None).await.found(), want);
    server.is_sound();
}
