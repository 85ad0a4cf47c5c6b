//! Where the images of a lab come from.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::Serialize;

use super::{ImageName, Platform};

/// An image that a lab is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageSpec {
    /// What people call it: its table in lab.toml, or its folder below `images/`.
    pub key: String,
    /// What units call it, and `docker images` on every node.
    pub name: ImageName,
    pub source: ImageSource,
    /// What it is to run on, if not on what the engine here runs on.
    pub platform: Option<Platform>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum ImageSource {
    Build(BuildSource),
    /// A registry, asked without any engine.
    Registry {
        reference: ImageName,
    },
    /// The engine of this host has it.
    Engine {
        reference: ImageName,
    },
    /// A file as `docker save` writes it, or an OCI archive; if it has several images, `reference` says which.
    Archive {
        path: Utf8PathBuf,
        reference: Option<ImageName>,
    },
}

/// A folder with a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildSource {
    pub folder: Utf8PathBuf,
    /// Below the folder, or anywhere if it is absolute.
    pub dockerfile: Utf8PathBuf,
    pub args: BTreeMap<String, String>,
    pub target: Option<String>,
}
