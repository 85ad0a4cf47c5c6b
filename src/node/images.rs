//! The part of `labd` that lists and loads images.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use camino::Utf8Path;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::chain;
use super::serve::{Node, refusal};
use crate::docker::Engine;
use crate::images::load::{self, Blobs, Doubts};
use crate::model::image::{LoadEvent, LoadRequest, STORE_ON_NODE};
use crate::oci::Store;

/// On the disk of the engine whose loads it remembers, and gone with it.
const DOUBTS: &str = "/var/lib/docker/lab-loading.json";
/// A request describes images; their layers come behind it.
const LARGEST_REQUEST: u64 = 32 << 20;
const NEWS_UNDER_WAY: usize = 32;

pub(super) async fn answer_list() -> Response {
    let list = async || load::list(&Engine::connect(None).await?).await;
    match list().await {
        Ok(images) => Json(images).into_response(),
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, &error),
    }
}

/// Takes a request as the first line of the body, and tells line by line what becomes of it. Whoever
/// hangs up ends the load.
pub(super) async fn answer_load(State(node): State<Arc<Node>>, body: Body) -> Response {
    let bytes = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let mut body = BufReader::with_capacity(1 << 17, bytes);
    let request = match read_request(&mut body).await {
        Ok(request) => request,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &error),
    };
    let (sender, receiver) = mpsc::channel(NEWS_UNDER_WAY);
    let work = async move {
        let _turn = node.loads.clone().acquire_owned().await;
        run(request, body, sender).await;
    };
    // The load goes on while the answer is asked for its next line, and no longer.
    let news =
        stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|news| (news, receiver)) });
    let work = stream::once(work).filter_map(|()| async { None::<LoadEvent> });
    let lines = stream::select(work, news).map(|event| {
        let line = serde_json::to_string(&event).expect("an event is plain data") + "\n";
        Ok::<_, Infallible>(line)
    });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

async fn read_request(body: &mut (impl AsyncBufRead + Unpin)) -> io::Result<LoadRequest> {
    let mut line = Vec::new();
    body.take(LARGEST_REQUEST).read_until(b'\n', &mut line).await?;
    Ok(serde_json::from_slice(&line)?)
}

async fn run(
    request: LoadRequest,
    body: impl AsyncBufRead + Unpin + Send + 'static,
    tell: mpsc::Sender<LoadEvent>,
) {
    let blobs = match request.blobs {
        Some(digests) => Blobs::Stream { digests, bytes: Box::new(SyncIoBridge::new(body)) },
        None => Blobs::Store(Store::at(Utf8Path::new(STORE_ON_NODE))),
    };
    let loading = async {
        let engine = Engine::connect(None).await?;
        load::load(&engine, request.images, blobs, &Doubts::at(DOUBTS), tell.clone()).await
    };
    if let Err(error) = loading.await {
        // Whoever does not listen any more does not want to know.
        drop(tell.send(LoadEvent::Failed { why: chain(&error) }).await);
    }
}
