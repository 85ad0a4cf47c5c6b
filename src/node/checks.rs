//! The part of `labd` that asks what runs on the node whether it serves, and which ports are taken.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;

use super::ports;
use super::serve::{Node, refusal};
use crate::checks;
use crate::model::{CheckEnd, CheckReply, CheckRequest, NodeConfig, TakenPort};

/// Asks all at once, each at the node's own address.
pub(super) async fn answer_checks(State(node): State<Arc<Node>>, body: Bytes) -> Response {
    match serde_json::from_slice(&body) {
        Ok(request) => Json(ask(&node.config(), &request).await).into_response(),
        Err(error) => refusal(StatusCode::BAD_REQUEST, &error),
    }
}

async fn ask(config: &NodeConfig, request: &CheckRequest) -> CheckReply {
    let variables = config.variables().into_iter().collect();
    let asked = request.checks.iter().map(|check| checks::ask(check, config.address, &variables));
    CheckReply { outcomes: join_all(asked).await.into_iter().map(CheckEnd::from).collect() }
}

pub(super) async fn answer_ports() -> Json<Vec<TakenPort>> {
    Json(tokio::task::spawn_blocking(ports::taken).await.expect("reading /proc does not panic"))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::model::{Ask, Check};
    use crate::node::samples;

    #[tokio::test]
    async fn all_is_asked_at_once_and_answered_in_order() {
        let config = NodeConfig { address: Ipv4Addr::LOCALHOST, ..samples::config() };
        // The first ends only after the second has begun.
        let dir = tempfile::tempdir().unwrap();
        let flag = dir.path().join("flag");
        let wait = format!("until [ -e '{0}' ]; do sleep 0.01; done; echo $LAB_NODE", flag.display());
        let set = format!("echo > '{}'; echo no >&2; exit 1", flag.display());
        let run = |command| Check { ask: Ask::Run { command }, answer: None };
        let reply = ask(&config, &CheckRequest { checks: vec![run(wait), run(set)] }).await;
        let want = [
            CheckEnd { ok: true, text: "core-01".to_owned() },
            CheckEnd { ok: false, text: "ended with code 1: no".to_owned() },
        ];
        assert_eq!(reply.outcomes, want);
    }
}
