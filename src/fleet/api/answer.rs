//! What the server answers: JSON, or nothing, or a refusal in the form that clients of fleet print.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::fleet::registry::Error;
use crate::fleet::v1;

/// Why a request is not done. Messages are part of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status: status.as_u16(), message: message.into() }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn absent(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }
}

/// What keeps the server from an answer.
#[derive(Debug)]
pub(super) enum Trouble {
    Refused(Refusal),
    NoContact,
    Registry(Error),
    /// Others change the same thing all the time.
    Overtaken,
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Unreachable { .. } => Self::NoContact,
            error => Self::Registry(error),
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let refusal = match self {
            Self::Refused(refusal) => refusal,
            Self::NoContact => return no_contact(),
            Self::Registry(error) => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            Self::Overtaken => {
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "others are changing the same thing; try again")
            }
        };
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let error = v1::Complaint { code: refusal.status, message: refusal.message };
        json(status, &v1::Refusal { error })
    }
}

/// Clients look for exactly this text.
fn no_contact() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "fleet server unable to communicate with etcd").into_response()
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).expect("answers are plain data");
    raw_json(status, text)
}

pub(super) fn raw_json(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn found(value: &impl Serialize) -> Response {
    json(StatusCode::OK, value)
}
