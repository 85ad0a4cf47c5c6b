//! The description of the API that clients can be made from.

use axum::http::StatusCode;
use axum::response::Response;

use super::answer::raw_json;

const DOCUMENT: &str = include_str!("discovery.json");

pub(super) fn answer() -> Response {
    raw_json(StatusCode::OK, DOCUMENT)
}
