//! What can go wrong between a client and a server of fleet's API.

use std::error::Error as StdError;

use super::Engine;
use crate::fleet::v1::Refusal;
use crate::http::{self, Reply};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("fleet was not reached")]
    Unreachable { source: Box<dyn StdError + Send + Sync> },
    #[error("fleet did not answer")]
    Broken { source: http::Error },
    /// It is there and has lost the cluster.
    #[error("fleet answers and cannot work: {message}")]
    Unavailable { message: String },
    #[error("fleet refused{}", said(*code, message))]
    Refused { code: u16, message: String },
    #[error("this engine, {engine}, cannot {what}")]
    Unsupported { engine: Engine, what: &'static str },
    #[error("the answer to `{path}` could not be read")]
    Unreadable { path: String, source: serde_json::Error },
}

fn said(code: u16, message: &str) -> String {
    if message.is_empty() { format!(" with code {code} and gave no reason") } else { format!(": {message}") }
}

impl Error {
    /// Reads a reply that is no success.
    pub(super) fn of(reply: &Reply) -> Self {
        let message = match serde_json::from_slice::<Refusal>(&reply.body) {
            Ok(refusal) => refusal.error.message,
            Err(_) => reply.text(),
        };
        match reply.status {
            503 => Self::Unavailable { message },
            code => Self::Refused { code, message },
        }
    }

    /// Returns whether the server has nothing at this path, or nothing that is done this way.
    pub(super) fn is_no_such_path(&self) -> bool {
        matches!(self, Self::Refused { code: 404 | 405, .. })
    }

    /// Returns whether asking again, perhaps somebody else, makes sense.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Unavailable { .. } => true,
            Self::Refused { code, .. } => *code >= 500,
            Self::Unsupported { .. } | Self::Unreadable { .. } => false,
        }
    }

    /// Returns what to do about it, where the cause tells.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unsupported { .. } => {
                Some("machines that run labd can; `lab machines` tells who answers".to_owned())
            }
            Self::Unavailable { .. } => Some("`lab status` tells how etcd is".to_owned()),
            _ => None,
        }
    }
}
