//! Why an image could not be made.

use super::{build, export, load, lock_file, node, pull};
use crate::{docker, fs, oci};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Docker(#[from] docker::Error),
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error(transparent)]
    Store(#[from] oci::Error),
    #[error(transparent)]
    Build(#[from] build::Error),
    #[error(transparent)]
    Circle(#[from] build::Circle),
    #[error(transparent)]
    Pull(#[from] pull::Error),
    #[error(transparent)]
    Load(#[from] load::Error),
    #[error(transparent)]
    Export(#[from] export::Error),
    #[error(transparent)]
    Base(#[from] node::Error),
    #[error(transparent)]
    Lock(#[from] lock_file::Error),
    #[error("the image `{image}` has to be built, and no Docker engine answers here")]
    NeedsEngine { image: String },
    #[error("the engine has no image `{name}`, and the cache has none of it")]
    NotInEngine { name: String },
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Docker(source) => source.hint(),
            Self::File(source) => source.hint(),
            Self::Store(source) => source.hint(),
            Self::Build(source) => source.hint(),
            Self::Circle(_) | Self::Load(_) => None,
            Self::Pull(source) => source.hint(),
            Self::Export(source) => source.hint(),
            Self::Base(source) => source.hint(),
            Self::Lock(source) => source.hint(),
            Self::NeedsEngine { .. } => {
                Some("start one, or set `pull` or `archive` for it in lab.toml".to_owned())
            }
            Self::NotInEngine { name } => Some(format!("`docker images {name}` shows what it has")),
        }
    }
}
