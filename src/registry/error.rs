//! What can go wrong with a registry, and what to do about it.

use std::time::Duration;

use camino::Utf8PathBuf;

use super::BadSchema1;
use super::choose::shown;
use crate::model::image::{BadImage, Digest, Platform};
use crate::{exec, fs};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the registry `{registry}` cannot be reached")]
    Unreachable { registry: String, source: reqwest::Error },
    #[error("the registry `{registry}` broke off while it was asked for {what}")]
    Broken { registry: String, what: String, source: reqwest::Error },
    #[error("the registry `{registry}` sent {got} bytes of {what} and no more")]
    Short { registry: String, what: String, got: u64 },
    #[error("the registry `{registry}` gives {what} only to who is logged in{}", said(message))]
    Login { registry: String, what: String, message: String, source: Option<exec::Error> },
    #[error(
        "the registry `{registry}` does not know the password or token that `docker login` left{}",
        said(message)
    )]
    WrongPassword { registry: String, message: String },
    #[error("the registry `{registry}` does not let this user have {what}{}", said(message))]
    Denied { registry: String, what: String, message: String },
    #[error("the registry `{registry}` has no {what}{}", said(message))]
    NotFound { registry: String, what: String, message: String },
    #[error("the registry `{registry}` answers {status} when asked for {what}{}", said(message))]
    Refused {
        registry: String,
        what: String,
        status: u16,
        message: String,
        retry_after: Option<Duration>,
        may_pass: bool,
    },
    #[error("the registry `{registry}` wants a login of a kind that lab does not know: `{challenge}`")]
    Challenge { registry: String, challenge: String },
    #[error("the token server `{realm}` of the registry `{registry}` gave no token")]
    NoToken { registry: String, realm: String },
    #[error("the registry `{registry}` sent something else as {digest}; it was thrown away")]
    WrongDigest { registry: String, digest: Digest },
    #[error(
        "the registry `{registry}` sent {got} bytes as {digest}, which has {wanted}; they were thrown away"
    )]
    WrongLength { registry: String, digest: Digest, wanted: u64, got: u64 },
    #[error("the registry `{registry}` sent more than {limit} bytes as {what}, which no image has")]
    TooLong { registry: String, what: String, limit: u64 },
    #[error("`{name}` is not there for {}; there is {offered}", shown(wanted))]
    NoPlatform { name: String, wanted: Box<Platform>, offered: String },
    #[error("`{name}` is not an image of a container: it is of type `{media_type}`")]
    NotAnImage { name: String, media_type: String },
    #[error("the manifest of `{name}` cannot be used")]
    Manifest { name: String, source: BadImage },
    #[error("the manifest of `{name}`, of the old schema 1, cannot be used")]
    Schema1 { name: String, source: BadSchema1 },
    #[error("the manifests of `{name}` lead to each other without end")]
    Nested { name: String },
    #[error("Docker's configuration `{path}` cannot be read")]
    Config { path: Utf8PathBuf, source: serde_json::Error },
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error("TLS could not be set up")]
    Tls { source: rustls::Error },
    #[error("the HTTP client could not be set up")]
    Setup { source: reqwest::Error },
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl Error {
    /// Returns whether the same request may well succeed in a moment.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Short { .. } => true,
            Self::Broken { source, .. } => !source.is_redirect() && !source.is_builder(),
            Self::Refused { may_pass, .. } => *may_pass,
            _ => false,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unreachable { source, .. } if whole(source).contains("certificate") => {
                "its certificate is not trusted here: install the certificate of its authority on this host, or name a file of them with SSL_CERT_FILE".to_owned()
            }
            Self::Unreachable { .. } => {
                "images that are in the cache already need no registry; for others, check the network, HTTPS_PROXY and the name".to_owned()
            }
            Self::Broken { .. } | Self::Short { .. } => {
                "run the command again: it goes on where this one ended".to_owned()
            }
            Self::Login { source: Some(_), .. } => {
                "Docker's credential helper did not help: see that it works, or remove it from Docker's configuration and log in again".to_owned()
            }
            Self::Login { registry, .. } => {
                format!("check the spelling of the name; if the image is private, run {}", login(registry))
            }
            Self::WrongPassword { registry, .. } => format!("log in again with {}", login(registry)),
            Self::Denied { registry, .. } => {
                format!("ask its owner for the right to pull it, or log in as somebody else with {}", login(registry))
            }
            Self::NotFound { .. } => "check the spelling of the name and its tag".to_owned(),
            Self::Refused { registry, status: 429, .. } => {
                format!("it limits how much one may pull: wait a while, or log in with {}", login(registry))
            }
            Self::Refused { status: 500.., .. } => "the fault is there and not here: try again later".to_owned(),
            Self::WrongDigest { .. } | Self::WrongLength { .. } => {
                "a proxy between may change or cut what it passes on: try again, or another network".to_owned()
            }
            Self::NoPlatform { .. } => "say with `platform` which of them is to be used".to_owned(),
            Self::Config { path, .. } => format!("repair `{path}`, or remove it and log in again"),
            Self::File(source) => return source.hint(),
            _ => return None,
        };
        Some(hint)
    }
}

fn login(registry: &str) -> String {
    if registry == "docker.io" { "`docker login`".to_owned() } else { format!("`docker login {registry}`") }
}

/// Returns an error with all that it comes from: what matters is often the last.
pub(super) fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
