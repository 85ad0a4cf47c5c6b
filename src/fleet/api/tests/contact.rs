//! What is answered while the registry is out of reach, and while others change the same things.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::kit::{Reply, Server, hello, in_contact};
use crate::fleet::heart::{Contact, Pulse};
use crate::fleet::registry::{Compare, Error, Fault, MemoryRegistry, Op, Outcome, Page, Registry};

#[track_caller]
fn is_cut_off(reply: &Reply) {
    assert_eq!((reply.status, reply.body.as_str()), (503, "fleet server unable to communicate with etcd"));
    assert!(reply.header("content-type").unwrap().starts_with("text/plain"));
    assert!(reply.header("server").is_some());
}

#[tokio::test]
async fn without_contact_every_path_says_so() {
    let server = Server::start().await;
    // As it is before the first contact, and while another machine has the same id.
    server.pulse.send_modify(|pulse| *pulse = Pulse { lease: None, contact: None, ..*pulse });
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/nowhere"),
        ("GET", "/fleet/v1/units"),
        ("GET", "/fleet/v1/discovery"),
        ("PUT", "/fleet/v1/units/a.service"),
        ("DELETE", "/fleet/v1/units/a.service"),
        ("PATCH", "/fleet/v1/machines"),
        ("GET", "/fleet/v1/units/%zz"),
    ] {
        is_cut_off(&server.send(method, path, "", b"").await);
    }
    assert_eq!(server.send("GET", "/metrics", "", b"").await.status, 200);
    server.pulse.send_replace(in_contact());
    server.get("units").await.found();
}

#[tokio::test]
async fn a_registry_without_quorum_is_out_of_reach() {
    let server = Server::start().await;
    server.registry.set_fault(Fault::NoQuorum);
    for path in ["units", "units/a.service", "state", "state/a.service", "machines", "nodes", "fsck"] {
        is_cut_off(&server.get(path).await);
    }
    is_cut_off(&server.put("units/a.service", &json!({ "options": hello("a") })).await);
    is_cut_off(&server.ask("DELETE", "units/a.service").await);
    is_cut_off(&server.patch(&json!([{ "op": "remove", "path": "/m/metadata/k" }])).await);
    server.registry.set_fault(Fault::None);
    server.create("a.service", "inactive").await;
}

#[tokio::test]
async fn after_some_silence_only_reads_are_tried() {
    let server = Server::start().await;
    let last = Instant::now() - Duration::from_secs(4);
    let contact = Some(Contact { since: last, last, is_regained: false });
    server.pulse.send_modify(|pulse| pulse.contact = contact);
    server.get("units").await.found();
    is_cut_off(&server.put("units/a.service", &json!({ "options": hello("a") })).await);
}

/// A registry in which somebody else changes things just before each commit, or whose answers get lost.
#[derive(Debug, Clone)]
struct Contested {
    inner: MemoryRegistry,
    what: Contest,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Contest {
    /// Somebody else is always faster.
    Always,
    /// The commit takes place, its answer is lost, and it is asked for again.
    Twice,
}

impl Registry for Contested {
    type Watch = <MemoryRegistry as Registry>::Watch;

    async fn read(&self, keys: &[String]) -> Result<Page, Error> {
        self.inner.read(keys).await
    }

    async fn commit(&self, compares: Vec<Compare>, ops: Vec<Op>) -> Result<Outcome, Error> {
        if self.what == Contest::Twice {
            self.inner.commit(compares.clone(), ops.clone()).await?;
            return self.inner.commit(compares, ops).await;
        }
        let Outcome { revision, .. } = self.inner.commit(Vec::new(), Vec::new()).await?;
        Ok(Outcome { succeeded: false, revision })
    }

    async fn watch(&self, keys: &[String], from: u64) -> Result<Self::Watch, Error> {
        self.inner.watch(keys, from).await
    }

    async fn grant(&self, ttl: Duration) -> Result<u64, Error> {
        self.inner.grant(ttl).await
    }

    async fn keep_alive(&self, lease: u64) -> Result<Option<Duration>, Error> {
        self.inner.keep_alive(lease).await
    }

    async fn revoke(&self, lease: u64) -> Result<(), Error> {
        self.inner.revoke(lease).await
    }
}

async fn contested(what: Contest) -> Server {
    Server::start_with(|inner| Contested { inner, what }).await
}

#[tokio::test]
async fn a_change_that_took_place_though_its_answer_was_lost_is_done() {
    let server = contested(Contest::Twice).await;
    server.create("a.service", "launched").await;
    server.put("units/a.service", &json!({ "desiredState": "loaded" })).await.is(204);
    assert_eq!(server.record("a.service").stops, 1);
    server.put("machines/m1", &json!({ "scheduling": "drained" })).await.is(204);
    server.ask("DELETE", "units/a.service").await.is(204);
}

#[tokio::test]
async fn whoever_is_always_overtaken_gives_up() {
    let server = contested(Contest::Always).await;
    let message = "others are changing the same thing; try again";
    server.put("units/a.service", &json!({ "options": hello("a") })).await.refused(503, message);
    server.put("machines/m1", &json!({ "scheduling": "drained" })).await.refused(503, message);
    let steps = json!([{ "op": "remove", "path": "/m/metadata/k" }]);
    server.patch(&steps).await.refused(503, message);
}

#[tokio::test]
async fn many_at_once_do_not_undo_each_other() {
    let server = Server::start().await;
    let say = async |index: usize| {
        let steps = json!([{ "op": "add", "path": format!("/m1/metadata/k{index}"), "value": "v" }]);
        server.patch(&steps).await.is(204);
    };
    tokio::join!(say(1), say(2), say(3), say(4), say(5));
    let machine = server.get("machines").await.found()["machines"][0].clone();
    assert_eq!(machine["metadata"].as_object().unwrap().len(), 6);
}
