//! What breaks upstream's clients if a server does not do it.

use serde_json::json;

use super::kit::{Server, global, hello, option};
use crate::fleet::records::Phase;

#[tokio::test]
async fn a_state_that_is_not_there_is_empty_and_no_error() {
    let server = Server::start().await;
    for name in ["a.service", "a%40b.service", "no-name"] {
        assert_eq!(server.get(&format!("state/{name}")).await.found(), json!({}));
    }
    server.create("a.service", "launched").await;
    assert_eq!(server.get("state/a.service").await.found(), json!({}));
}

#[tokio::test]
async fn options_are_whole_everywhere() {
    let server = Server::start().await;
    let options = json!([option("Unit", "A", "b"), option("S", "C", "d \\\n e"), option("Unit", "A", "")]);
    server.put("units/a.service", &json!({ "options": options })).await.is(201);
    let shown = server.get("units/a.service").await.found();
    let listed = server.get("units").await.found();
    // Sections stand together, as in the file that clients print.
    let grouped = json!([options[0], options[2], options[1]]);
    assert_eq!((&shown["options"], &listed["units"][0]["options"]), (&grouped, &grouped));
    assert_eq!(shown.get("text"), None);
}

#[tokio::test]
async fn a_global_unit_has_no_machine_and_says_how_it_is_only_in_lists() {
    let server = Server::start().await;
    let body = json!({ "options": global(), "desiredState": "launched" });
    server.put("units/g.service", &body).await.is(201);
    server.settle().await;
    let shown = server.get("units/g.service").await.found();
    let want = json!({ "name": "g.service", "options": global(), "desiredState": "launched" });
    assert_eq!(shown, want);
    let mut listed = server.get("units").await.found()["units"][0].clone();
    assert_eq!(listed["currentState"].take(), "inactive");
    listed.as_object_mut().unwrap().remove("currentState");
    assert_eq!(listed, want);
    let state = server.get("state/g.service").await.found();
    assert_eq!((&state["machineID"], &state["systemdSubState"]), (&json!("m1"), &json!("running")));
}

#[tokio::test]
async fn a_new_unit_is_inactive_at_once() {
    let server = Server::start().await;
    server.put("units/a.service", &json!({ "options": hello("a") })).await.is(201);
    let want = json!({
        "name": "a.service",
        "options": hello("a"),
        "desiredState": "inactive",
        "currentState": "inactive",
    });
    assert_eq!(server.get("units/a.service").await.found(), want);
    assert_eq!(server.get("units").await.found(), json!({ "units": [want] }));
}

#[tokio::test]
async fn unknown_parameters_and_escapes_are_taken() {
    let server = Server::start().await;
    let body = json!({ "name": "a@1.service", "options": hello("a") });
    server.put("units/a%401.service?alt=json", &body).await.is(201);
    server.put("units/a%5Cx2d.service?alt=json", &json!({ "options": hello("a") })).await.is(201);
    assert_eq!(server.get("units/a%401.service?alt=json&x").await.found()["name"], "a@1.service");
    assert_eq!(server.get("units/a@1.service").await.found()["name"], "a@1.service");
    assert_eq!(server.get("units/a%5cx2d.service").await.found()["name"], "a\\x2d.service");
    assert_eq!(server.get("state?alt=json&unitName=a%401.service").await.found(), json!({}));
}

#[tokio::test]
async fn the_old_root_is_the_same_place() {
    let server = Server::start().await;
    server.create("a.service", "inactive").await;
    for path in ["units", "units/a.service", "state", "state/a.service", "machines", "discovery"] {
        let old = server.send("GET", &format!("/v1-alpha/{path}"), "", b"").await;
        assert_eq!(old.found(), server.get(path).await.found(), "{path}");
    }
}

#[tokio::test]
async fn what_is_empty_is_left_out() {
    let server = Server::start().await;
    server.leave("m1").await;
    for list in ["units", "state", "machines"] {
        assert_eq!(server.get(list).await.body, "{}", "{list}");
    }
}

#[tokio::test]
async fn pages_end_as_those_of_fleet() {
    let server = Server::start().await;
    for index in 0..100 {
        server.create(&format!("u{index:03}.service"), "launched").await;
    }
    server.settle().await;
    for list in ["units", "state"] {
        let first = server.get(list).await.found();
        let key = if list == "units" { "units" } else { "states" };
        assert_eq!(first[key].as_array().unwrap().len(), 100);
        assert_eq!(first["nextPageToken"], "ZAACAA==");
        assert_eq!(server.get(&format!("{list}?nextPageToken=ZAACAA%3D%3D")).await.body, "{}");
    }
    server.create("u100.service", "inactive").await;
    let next = server.get("units?nextPageToken=ZAACAA==&alt=json").await.found();
    assert_eq!(next["units"].as_array().unwrap().len(), 1);
    assert_eq!((&next["units"][0]["name"], next.get("nextPageToken")), (&json!("u100.service"), None));
    assert_eq!(server.get("units?nextPageToken=ZAAJAA==").await.body, "{}");
}

#[tokio::test]
async fn states_have_whole_hashes_and_are_sorted() {
    let server = Server::start().await;
    server.put("units/g.service", &json!({ "options": global(), "desiredState": "launched" })).await.is(201);
    server.create("a.service", "loaded").await;
    for machine in ["m2", "m1"] {
        server.join(machine, "").await;
        server.report("g.service", machine, Phase::Launched).await;
    }
    server.report("a.service", "m2", Phase::Loaded).await;
    let states = server.get("state").await.found()["states"].clone();
    let shown = |state: &serde_json::Value| {
        assert_eq!(state["hash"].as_str().unwrap().len(), 40);
        format!("{} {}", state["name"].as_str().unwrap(), state["machineID"].as_str().unwrap())
    };
    let shown: Vec<String> = states.as_array().unwrap().iter().map(shown).collect();
    assert_eq!(shown, ["a.service m2", "g.service m1", "g.service m2"]);
    for (query, want) in [
        ("unitName=g.service", 2),
        ("machineID=m2", 2),
        ("machineID=m2&unitName=g.service", 1),
        ("machineID=m", 0),
        ("machineID=&unitName=", 3),
        ("machineID=m1&machineID=m2", 1),
    ] {
        let found = server.get(&format!("state?{query}")).await.found();
        assert_eq!(found["states"].as_array().map_or(0, Vec::len), want, "{query}");
    }
}

#[tokio::test]
async fn success_has_no_body_and_refusals_have_a_form() {
    let server = Server::start().await;
    let body = json!({ "options": hello("a") });
    let created = server.put("units/a.service", &body).await;
    created.is(201);
    assert_eq!(created.header("content-type"), None);
    server.put("units/a.service", &json!({ "desiredState": "loaded" })).await.is(204);
    server.ask("DELETE", "units/a.service").await.is(204);
    let refused = server.get("units/a.service").await;
    assert_eq!(refused.body, r#"{"error":{"code":404,"message":"unit does not exist"}}"#);
    for reply in [created, refused] {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(reply.header("server"), Some(format!("fleetd/1.0.0 (lab {version})").as_str()));
    }
}

#[tokio::test]
async fn another_content_replaces_a_unit_and_makes_it_inactive() {
    let server = Server::start().await;
    server.create("a.service", "launched").await;
    server.settle().await;
    let body = json!({ "name": "a.service", "options": hello("b") });
    server.put("units/a.service", &body).await.is(201);
    let shown = server.get("units/a.service").await.found();
    assert_eq!((&shown["options"], &shown["desiredState"]), (&hello("b"), &json!("inactive")));
    // It is still where it was until the engine takes it away, and it was told to stop.
    assert_eq!((&shown["currentState"], &shown["machineID"]), (&json!("launched"), &json!("m1")));
    assert_eq!(server.record("a.service").stops, 1);
    server.is_sound();
    // Unlike with fleet the new options are checked.
    let bad = json!({ "options": [option("X-Fleet", "MachineID", "a"), option("X-Fleet", "Global", "1")] });
    server.put("units/a.service", &bad).await.refused(400, "MachineID cannot be used with Global");
    // With a wish it stays where it is.
    let body = json!({ "options": hello("c"), "desiredState": "launched" });
    server.put("units/a.service", &body).await.is(201);
    let record = server.record("a.service");
    assert_eq!((record.desired, record.stops, record.machine.is_some()), (Phase::Launched, 1, true));
}

#[tokio::test]
async fn a_unit_is_launched_until_its_machine_says_otherwise() {
    let server = Server::start().await;
    server.create("a.service", "launched").await;
    server.settle().await;
    let current = async || server.get("units/a.service").await.found()["currentState"].clone();
    assert_eq!(current().await, "launched");
    server.put("units/a.service", &json!({ "desiredState": "loaded" })).await.is(204);
    assert_eq!(current().await, "launched");
    // Loaded and launched again before its machine has looked is still a stop and a start.
    server.put("units/a.service", &json!({ "desiredState": "launched" })).await.is(204);
    assert_eq!(server.record("a.service").stops, 1);
    server.put("units/a.service", &json!({ "desiredState": "loaded" })).await.is(204);
    server.report("a.service", "m1", Phase::Loaded).await;
    assert_eq!(current().await, "loaded");
    server.is_sound();
}

#[tokio::test]
async fn the_state_shown_is_that_of_the_units_own_machine() {
    let server = Server::start().await;
    server.create("a.service", "launched").await;
    server.join("m0", "").await;
    server.settle().await;
    server.report("a.service", "m0", Phase::Loaded).await;
    assert_eq!(server.get("state/a.service").await.found()["machineID"], "m1");
    server.assign("a.service", None).await;
    assert_eq!(server.get("state/a.service").await.found()["machineID"], "m0");
}
