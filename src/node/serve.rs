//! `labd serve`: the node's own API, on a unix socket that only root and `core` may use.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use camino::Utf8Path;
use futures_util::stream;
use rustix::fs::{Mode, chmod, chown};
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::fleet::Fleet;
use super::health::{Probe, Services};
use super::{announce, apply, chain, checks, images, init, keys};
use crate::model::{NodeConfig, NodeHealth};
use crate::{fs, http};

pub const SOCKET: &str = "/run/lab/labd.sock";

/// How often the services are asked while someone waits for them.
const PAUSE: Duration = Duration::from_millis(25);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] init::Error),
    #[error(transparent)]
    Keys(#[from] keys::Error),
    #[error("this is no node of a lab: there is no `{}`", NodeConfig::PATH)]
    NoConfig,
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error("could not listen at `{socket}`")]
    Listen { socket: String, source: io::Error },
    #[error("could not tell systemd that labd is ready")]
    Notify { source: io::Error },
    #[error("could not mind signals")]
    Signal { source: io::Error },
    #[error("labd stopped serving")]
    Serve { source: io::Error },
    #[error("labd does not answer at `{SOCKET}`")]
    Connect { source: io::Error },
    #[error(transparent)]
    Http(#[from] http::Error),
}

pub(super) struct Node {
    config: Mutex<Arc<NodeConfig>>,
    /// One change at a time.
    changes: Semaphore,
    /// One load at a time: a second one begins with what the first has brought.
    pub(super) loads: Arc<Semaphore>,
    probe: Probe,
    fleet: Fleet,
}

impl Node {
    fn new(config: NodeConfig) -> Arc<Self> {
        Arc::new(Self {
            fleet: Fleet::start(&config),
            config: Mutex::new(Arc::new(config)),
            changes: Semaphore::new(1),
            loads: Arc::new(Semaphore::new(1)),
            probe: Probe::new(),
        })
    }

    pub(super) fn config(&self) -> Arc<NodeConfig> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn health(&self) -> NodeHealth {
        let config = self.config();
        self.probe.services(&config).await.into_health(&config)
    }

    async fn change(&self, new: NodeConfig) -> Result<(), apply::Error> {
        let _turn = self.changes.acquire().await.expect("the semaphore is never closed");
        let old = self.config();
        apply::apply(&old, &new).await?;
        if old.fleet != new.fleet || old.nodes != new.nodes {
            self.fleet.restart(&new).await;
        }
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(())
    }
}

/// Serves until the process ends. `notify_socket` is where systemd wants to hear that it does.
pub async fn serve(notify_socket: Option<&str>) -> Result<(), Error> {
    let config = init::load_config()?.ok_or(Error::NoConfig)?;
    let listener = listen(SOCKET)?;
    // A daemon that is told to begin anew has read all there is to read; without this the signal would end it.
    let _hangups = signal(SignalKind::hangup()).map_err(|source| Error::Signal { source })?;
    if let Some(socket) = notify_socket {
        announce::ready(socket).map_err(|source| Error::Notify { source })?;
    }
    axum::serve(listener, routes(Node::new(config))).await.map_err(|source| Error::Serve { source })
}

/// Returns the answer of the `labd` that serves on this node.
pub async fn health() -> Result<String, Error> {
    let stream = UnixStream::connect(SOCKET).await.map_err(|source| Error::Connect { source })?;
    let mut connection = http::Connection::over(stream).await?.with_limit(Duration::from_secs(5));
    Ok(connection.get("/v1/health").await?.text())
}

/// Listens at a path for root and `core`.
pub(super) fn listen(socket: &str) -> Result<UnixListener, Error> {
    let failed = |source| Error::Listen { socket: socket.to_owned(), source };
    let (_, group) = keys::user_ids()?;
    // A process that was killed leaves its socket behind.
    fs::remove_file(Utf8Path::new(socket))?;
    let listener = UnixListener::bind(socket).map_err(failed)?;
    chown(socket, None, Some(group)).map_err(|error| failed(error.into()))?;
    chmod(socket, Mode::from_raw_mode(0o660)).map_err(|error| failed(error.into()))?;
    Ok(listener)
}

fn routes(node: Arc<Node>) -> Router {
    Router::new()
        .route("/v1/health", get(answer_health))
        .route("/v1/ready", get(stream_until_ready))
        .route("/v1/config", put(change_config))
        .route("/v1/checks", post(checks::answer_checks))
        .route("/v1/ports", get(checks::answer_ports))
        .route("/v1/images", get(images::answer_list).post(images::answer_load))
        .with_state(node)
}

async fn answer_health(State(node): State<Arc<Node>>) -> Json<NodeHealth> {
    Json(node.health().await)
}

/// Sends a line whenever something changes, the last one when nothing is in the way any more.
async fn stream_until_ready(State(node): State<Arc<Node>>) -> Response {
    let lines = stream::unfold(Watch { node, last: None, is_done: false }, Watch::next);
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

struct Watch {
    node: Arc<Node>,
    last: Option<Services>,
    is_done: bool,
}

impl Watch {
    async fn next(mut self) -> Option<(Result<String, Infallible>, Self)> {
        if self.is_done {
            return None;
        }
        let (config, services) = loop {
            let config = self.node.config();
            let services = self.node.probe.services(&config).await;
            if self.last.as_ref() != Some(&services) {
                break (config, services);
            }
            sleep(PAUSE).await;
        };
        self.last = Some(services.clone());
        let health = services.into_health(&config);
        self.is_done = health.trouble().is_none();
        let line = serde_json::to_string(&health).expect("health is plain data") + "\n";
        Some((Ok(line), self))
    }
}

async fn change_config(State(node): State<Arc<Node>>, body: Bytes) -> Response {
    let new = match serde_json::from_slice(&body) {
        Ok(new) => new,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &error),
    };
    match node.change(new).await {
        Ok(()) => answer_health(State(node)).await.into_response(),
        Err(error @ apply::Error::AnotherNode { .. }) => refusal(StatusCode::CONFLICT, &error),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

pub(super) fn refusal(status: StatusCode, error: &dyn std::error::Error) -> Response {
    (status, Json(json!({ "error": chain(error) }))).into_response()
}
