//! Every refusal, with its status and its words.

use serde_json::{Value, json};

use super::kit::{Server, hello, option};

#[tokio::test]
async fn paths_and_methods() {
    let server = Server::start().await;
    server.create("a.service", "inactive").await;
    let only = |methods: &str| format!("only {methods} supported against this resource");
    for (method, path, status, message) in [
        ("GET", "/", 405, String::new()),
        ("PUT", "/fleet/v1", 405, String::new()),
        ("GET", "/v1-alpha", 405, String::new()),
        ("GET", "/fleet/v1/", 404, String::new()),
        ("GET", "/fleet", 404, String::new()),
        ("GET", "/nothing", 404, String::new()),
        ("GET", "/fleet/v1/units/", 404, String::new()),
        ("GET", "/fleet/v1/units/a.service/more", 404, String::new()),
        ("DELETE", "/fleet/v1/state/a.service/m1", 404, String::new()),
        ("POST", "/fleet/v1/discovery", 400, only("HTTP GET")),
        ("PUT", "/fleet/v1/machines", 405, only("GET and PATCH")),
        ("POST", "/fleet/v1/units", 405, only("GET")),
        ("PATCH", "/fleet/v1/units", 405, only("GET")),
        ("POST", "/fleet/v1/units/a.service", 405, only("GET, PUT and DELETE")),
        ("PUT", "/fleet/v1/state", 405, only("GET")),
        ("DELETE", "/fleet/v1/state/a.service", 405, only("GET")),
        ("GET", "/fleet/v1/units/a.service/machine", 405, only("PUT")),
        ("GET", "/fleet/v1/machines/m1", 405, only("PUT and DELETE")),
        ("PUT", "/fleet/v1/nodes", 405, only("GET")),
        ("DELETE", "/fleet/v1/fsck", 405, only("GET")),
        ("BREW", "/fleet/v1/units", 405, only("GET")),
        ("POST", "/metrics", 405, only("GET")),
        ("GET", "/fleet/v1/units/b.service", 404, "unit does not exist".to_owned()),
        ("GET", "/fleet/v1/units/nonsense", 404, "unit does not exist".to_owned()),
        ("DELETE", "/fleet/v1/units/b.service", 404, "unit does not exist".to_owned()),
        ("DELETE", "/fleet/v1/units/non%2Fsense", 404, "unit does not exist".to_owned()),
        ("GET", "/fleet/v1/units/%zz", 400, "invalid URL escape in \"%zz\"".to_owned()),
    ] {
        server.send(method, path, "", b"").await.refused(status, &message);
    }
    // An answer to HEAD has no body, but all the rest.
    let head = server.send("HEAD", "/fleet/v1/units", "", b"").await;
    head.is(405);
    assert_eq!(head.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn content_types() {
    let server = Server::start().await;
    let body = json!({ "options": hello("a") }).to_string();
    let only = "only acceptable Content-Type is application/json";
    for (headers, message) in [
        ("", "expected 1 Content-Type, got 0"),
        (
            "Content-Type: application/json\r\nContent-Type: application/json\r\n",
            "expected 1 Content-Type, got 2",
        ),
        ("Content-Type: text/plain\r\n", only),
        ("Content-Type: application/jsonx\r\n", only),
        ("Content-Type:\r\n", only),
    ] {
        let reply = server.send("PUT", "/fleet/v1/units/a.service", headers, body.as_bytes()).await;
        reply.refused(415, message);
    }
    let kind = "Content-Type: Application/JSON ; charset=utf-8\r\n";
    server.send("PUT", "/fleet/v1/units/a.service", kind, body.as_bytes()).await.is(201);
}

#[tokio::test]
async fn units_that_are_put() {
    let server = Server::start().await;
    server.create("a.service", "launched").await;
    let with = |option: Value| json!({ "options": [option] });
    let fleet = |name: &str, value: &str| option("X-Fleet", name, value);
    let metadata =
        "line 2: MachineMetadata \"foo\" is not KEY=VALUE; several are written \"KEY=VALUE\" \"KEY=VALUE\"";
    let bad_state = "invalid unit state: \"bogus\"; it is one of inactive, loaded and launched";
    for (name, body, status, message) in [
        (
            "a.service",
            json!({ "name": "b.service" }),
            400,
            "name in URL \"a.service\" differs from unit name in request body \"b.service\"",
        ),
        ("b.service", json!({}), 409, "unit does not exist and options field empty"),
        (
            "b.service",
            json!({ "desiredState": "launched" }),
            409,
            "unit does not exist and options field empty",
        ),
        ("a.service", json!({}), 409, "must provide DesiredState to update existing unit"),
        (
            "a.service",
            json!({ "options": hello("a") }),
            409,
            "must provide DesiredState to update existing unit",
        ),
        ("a.service", json!({ "desiredState": "bogus" }), 400, bad_state),
        (
            "a.service",
            json!({ "options": hello("b"), "desiredState": "Launched" }),
            400,
            &bad_state.replace("bogus", "Launched"),
        ),
        ("b.service", json!({ "options": hello("a"), "desiredState": "bogus" }), 400, bad_state),
        ("b.service", with(fleet("MachineMetadata", "foo")), 400, metadata),
        ("a.service", with(fleet("MachineMetadata", "foo")), 400, metadata),
        (
            "b.service",
            json!({ "text": "[Unit]\n\nAfter\n" }),
            400,
            "line 3: unexpected newline encountered while parsing option name",
        ),
        (
            "b.service",
            json!({ "text": "[Unit]\nA=b\n", "options": hello("a") }),
            400,
            "the text says something else than the options",
        ),
        (
            "b.service",
            with(option("a]b", "c", "")),
            400,
            "line 1: found garbage after section name a: \"b]\"",
        ),
        // Names.
        ("hello", json!({}), 400, "unit name must contain \".\""),
        ("hello.", json!({}), 400, "unit name cannot end in \".\""),
        ("hello.conf", json!({}), 400, "invalid unit type: \"conf\""),
        ("a@b.mount", json!({}), 400, "invalid unit type for template: \"mount\""),
        ("a%20b.service", json!({}), 400, "invalid character ' ' in unit name"),
        ("a%2Fb.service", json!({}), 400, "invalid character '/' in unit name"),
        ("%40a.service", json!({}), 400, "unit name cannot start in \"@\""),
    ] {
        let before = server.registry.dump();
        server.put(&format!("units/{name}"), &body).await.refused(status, message);
        assert_eq!(server.registry.dump(), before, "{name} {body}");
    }
    let long = "x".repeat(257);
    server
        .put(&format!("units/{long}"), &json!({}))
        .await
        .refused(400, "unit name exceeds maximum length (256)");
    let undecodable = server.put_text("units/a.service", "{").await.json()["error"]["message"].clone();
    assert!(undecodable.as_str().unwrap().starts_with("unable to decode body: "), "{undecodable}");
    server.put_text("units/a.service", "").await.refused(400, "unable to decode body: EOF");
}

#[tokio::test]
async fn demands_that_exclude_each_other() {
    let server = Server::start().await;
    let pairs = |options: &[(&str, &str)]| {
        options.iter().map(|(name, value)| option("X-Fleet", name, value)).collect::<Value>()
    };
    let (id, of, conflicts) = (("MachineID", "a"), ("MachineOf", "p.service"), ("Conflicts", "c*"));
    let (global, replaces) = (("Global", "yes"), ("Replaces", "r*"));
    for (options, message) in [
        (pairs(&[id, of]), "MachineID cannot be used with Peers"),
        (pairs(&[id, conflicts]), "MachineID cannot be used with Conflicts"),
        (pairs(&[id, global]), "MachineID cannot be used with Global"),
        (pairs(&[id, replaces]), "MachineID cannot be used with Replaces"),
        (pairs(&[global, of]), "Global cannot be used with Peers"),
        (pairs(&[global, replaces]), "Global cannot be used with Replaces"),
        (pairs(&[conflicts, replaces]), "Conflicts cannot be used with Replaces"),
        (
            pairs(&[of, ("Conflicts", "p*")]),
            "unresolvable requirements: peer \"p.service\" matches conflict \"p*\"",
        ),
        (
            pairs(&[of, ("Replaces", "p*")]),
            "unresolvable requirements: peer \"p.service\" matches replace \"p*\"",
        ),
    ] {
        server.put("units/a.service", &json!({ "options": options })).await.refused(400, message);
    }
}

#[tokio::test]
async fn templates_are_stored_and_never_activated() {
    let server = Server::start().await;
    let options = json!([option("X-Fleet", "MachineMetadata", "hostname=%i")]);
    let refused = "cannot activate template \"t@.service\"";
    for desired in ["loaded", "launched"] {
        let body = json!({ "options": options, "desiredState": desired });
        server.put("units/t%40.service", &body).await.refused(400, refused);
    }
    server.put("units/t%40.service", &json!({ "options": options })).await.is(201);
    server.put("units/t%40.service", &json!({ "desiredState": "launched" })).await.refused(400, refused);
    server.put("units/t%40.service", &json!({ "desiredState": "inactive" })).await.is(204);
    let body = json!({ "options": hello("a"), "desiredState": "loaded" });
    server.put("units/t%40.service", &body).await.refused(400, refused);
    let body = json!({ "options": options, "desiredState": "launched" });
    server.put("units/t%401.service", &body).await.is(201);
    server.is_sound();
}

#[tokio::test]
async fn page_tokens() {
    let server = Server::start().await;
    for list in ["units", "state", "machines", "nodes"] {
        for (query, message) in [
            ("nextPageToken=a&nextPageToken=b", "too many values for page token"),
            ("nextPageToken=*", "illegal base64 data at input byte 0"),
            ("nextPageToken=ZQACAA==", "token limit must be 100"),
            ("nextPageToken=ZAAAAA==", "token page must be greater than zero"),
        ] {
            server.get(&format!("{list}?{query}")).await.refused(400, message);
        }
        server.get(&format!("{list}?nextPageToken=")).await.found();
    }
}

#[tokio::test]
async fn a_body_has_a_longest_length() {
    let server = Server::start().await;
    let body = |length: usize| format!("{{\"name\":\"{}\"}}", "x".repeat(length - 11));
    let message = "request body exceeds maximum length (1048576)";
    server.put_text("units/a.service", &body((1 << 20) + 1)).await.refused(413, message);
    server.put_text("units/a.service", &body(8 << 20)).await.refused(413, message);
    assert_eq!(server.put_text("units/a.service", &body(1 << 20)).await.status, 400);
    // So many options make too long a file, though the body is short enough.
    let body = json!({ "options": hello(&"x".repeat(300 << 10)) });
    assert_eq!(server.put("units/a.service", &body).await.status, 400);
}

#[tokio::test]
async fn discovery_is_a_description() {
    let server = Server::start().await;
    let found = server.get("discovery").await.found();
    for (key, want) in [
        ("kind", "discovery#restDescription"),
        ("id", "fleet:v1"),
        ("rootUrl", "$ENDPOINT/"),
        ("servicePath", "fleet/v1/"),
    ] {
        assert_eq!(found[key], want);
    }
}
