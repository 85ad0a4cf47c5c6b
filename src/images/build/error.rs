//! What can go wrong before and while an image is built, and what to do about it.

use camino::Utf8PathBuf;

use super::{BadDockerfile, BadPattern};
use crate::model::image::ImageName;
use crate::{docker, fs};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Docker(#[from] docker::Error),
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error("there is no folder `{path}` to build")]
    NoFolder { path: Utf8PathBuf, source: std::io::Error },
    #[error("there is no Dockerfile `{path}`")]
    NoDockerfile { path: Utf8PathBuf },
    #[error("the Dockerfile `{path}` cannot be understood")]
    Dockerfile { path: Utf8PathBuf, source: BadDockerfile },
    #[error("`{path}` cannot be understood")]
    Ignore { path: Utf8PathBuf, source: BadPattern },
    #[error("could not read `{path}`, which is part of a build")]
    Read { path: Utf8PathBuf, source: std::io::Error },
    #[error("`{path}` is a device, which no build can take")]
    Device { path: Utf8PathBuf },
    #[error("the name `{path}`, or what it links to, is not UTF-8")]
    Name { path: Utf8PathBuf },
    #[error("`{path}` changed while it was read")]
    Changed { path: Utf8PathBuf },
    #[error("the engine took only a part of `{path}`")]
    Unsent { path: Utf8PathBuf, source: std::io::Error },
    #[error("the engine does not have `{name}`, which this lab made")]
    BaseGone { name: Box<ImageName> },
    #[error("could not pull `{name}` as lab.lock has it")]
    Pull { name: Box<ImageName>, source: docker::Error },
    #[error("the engine says that it built `{name}`, and has no such image")]
    Vanished { name: Box<ImageName> },
}

const LEAVE_OUT: &str = "if the image does not need it, name it in .dockerignore";

impl Error {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Docker(source) | Self::Pull { source, .. } => source.hint(),
            Self::File(source) => source.hint(),
            Self::NoFolder { .. } => {
                Some("`build` in lab.toml names the folder, relative to lab.toml".to_owned())
            }
            Self::NoDockerfile { .. } => {
                Some("`dockerfile` in lab.toml names it, relative to the folder".to_owned())
            }
            Self::Dockerfile { source: BadDockerfile::Unset { argument, .. }, .. } => {
                Some(format!("give it one in lab.toml: `args = {{ {argument} = \"…\" }}`"))
            }
            Self::Read { .. } | Self::Device { .. } | Self::Name { .. } => Some(LEAVE_OUT.to_owned()),
            Self::Changed { .. } | Self::Vanished { .. } => Some("run the command again".to_owned()),
            Self::BaseGone { .. } => Some("`lab images build` makes it again".to_owned()),
            Self::Dockerfile { .. } | Self::Ignore { .. } | Self::Unsent { .. } => None,
        }
    }
}
