//! Whatever comes: an answer in a known form, in time, and never a fault of ours.

use axum::http::Uri;
use proptest::prelude::*;
use serde_json::Value;

use super::kit::{Reply, Server};

#[derive(Debug, Clone)]
struct Asked {
    method: String,
    path: String,
    headers: &'static str,
    body: Vec<u8>,
}

fn paths() -> impl Strategy<Value = String> {
    let root = prop::sample::select(&["/fleet/v1", "/v1-alpha", "", "/", "/fleet"][..]);
    let word = prop_oneof![
        6 => prop::sample::select(
            &["units", "machines", "state", "nodes", "fsck", "discovery", "machine", "a.service", "t@.service", "m1"][..]
        )
        .prop_map(str::to_owned),
        1 => "[!-\"$->@-~]{0,8}",
        1 => "(%[0-9a-fA-F]{2}|%|[a-z.@/]){0,8}",
    ];
    let query = prop_oneof![
        3 => Just(String::new()),
        2 => "\\?nextPageToken=[A-Za-z0-9=_-]{0,9}",
        1 => "\\?(machineID|unitName|alt|nextPageToken|&|=|%|[a-z0-9]){0,6}",
        1 => "\\?[!-~]{0,12}",
    ];
    (root, prop::collection::vec(word, 0..4), query).prop_map(|(root, words, query)| {
        let path: String = words.iter().map(|word| format!("/{word}")).collect();
        format!("{root}{path}{query}").replace('#', "")
    })
}

/// JSON that looks as if it were meant, with every sort of value in every place.
fn json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(
        &[
            "",
            "a.service",
            "launched",
            "inactive",
            "m1",
            "add",
            "remove",
            "/m1/metadata/k",
            "X-Fleet",
            "Global",
            "true",
            "[S]\nA=b\n",
            "x\n][",
        ][..],
    );
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ];
    let key = prop::sample::select(
        &[
            "name",
            "Options",
            "section",
            "value",
            "desiredState",
            "text",
            "op",
            "path",
            "scheduling",
            "machineID",
            "x",
        ][..],
    );
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let method = prop_oneof![
        8 => prop::sample::select(&["GET", "PUT", "PUT", "PATCH", "DELETE", "POST", "OPTIONS"][..]).prop_map(str::to_owned),
        1 => "[A-Z]{1,7}",
    ];
    let headers = prop::sample::select(
        &[
            "Content-Type: application/json\r\n",
            "Content-Type: application/json\r\n",
            "",
            "Content-Type: a\r\n",
        ][..],
    );
    let body = prop_oneof![
        4 => json().prop_map(|value| value.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ];
    (method, paths(), headers, body).prop_map(|(method, path, headers, body)| Asked {
        method,
        path,
        headers,
        body,
    })
}

fn is_well_formed(asked: &Asked, reply: &Reply) {
    let context = || format!("{asked:?} {reply:?}");
    assert!(reply.status != 500 && reply.status != 503, "{}", context());
    let is_ours = reply.header("server").is_some_and(|server| server.starts_with("fleetd/"));
    assert!(is_ours, "{}", context());
    if asked.method == "HEAD"
        || reply.header("content-type").is_some_and(|kind| kind.starts_with("text/plain"))
    {
        return;
    }
    if reply.status >= 400 {
        let complaint = reply.json();
        assert_eq!(complaint["error"]["code"], reply.status, "{}", context());
        assert!(complaint["error"]["message"].is_string(), "{}", context());
    } else if [201, 204].contains(&reply.status) {
        assert_eq!(reply.body, "", "{}", context());
    } else {
        assert!(reply.found().is_object(), "{}", context());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn every_request_has_an_answer_of_a_known_form(requests in prop::collection::vec(asked(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::start().await;
            server.create("a.service", "loaded").await;
            for asked in &requests {
                // What is no URL is refused by the server of HTTP itself.
                if !asked.path.starts_with('/') || asked.path.parse::<Uri>().is_err() {
                    continue;
                }
                let reply = server.send(&asked.method, &asked.path, asked.headers, &asked.body).await;
                is_well_formed(asked, &reply);
                server.is_sound();
            }
        });
    }

    #[test]
    fn bytes_that_are_no_request_harm_nobody(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        start in prop::sample::select(&["", "GET ", "PUT /fleet/v1/units/a.service HTTP/1.1\r\nContent-Length: 9\r\n\r\n"][..]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::start().await;
            server.scream(&[start.as_bytes(), &noise].concat()).await;
            server.get("units").await.found();
        });
    }
}
