//! The image that nodes boot from, made when an input changed and never otherwise.

use camino::{Utf8Path, Utf8PathBuf};

use super::cache::Cache;
use super::{base, export, load, recipe};
use crate::docker::{self, Build, BuildContext, Engine, Labels};
use crate::progress::Progress;
use crate::{exec, fs, oci};

const REPOSITORY: &str = "lab/node";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Docker(#[from] docker::Error),
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error(transparent)]
    Store(#[from] oci::Error),
    #[error(transparent)]
    Export(#[from] export::Error),
    #[error(transparent)]
    Load(#[from] load::Error),
    #[error("could not pull the base image `{name}`")]
    Pull { name: String, source: docker::Error },
    #[error("the registry of the base image `{name}` does not answer")]
    PullHangs { name: String },
    #[error("the base image `{name}` was there and is gone again")]
    Vanished { name: String },
    #[error("could not make a base image from Debian packages")]
    Bootstrap { source: exec::Error },
    #[error("could not lock `{path}`")]
    Workshop { path: Utf8PathBuf, source: std::io::Error },
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Docker(source) => source.hint(),
            Self::File(source) => source.hint(),
            Self::Store(source) => source.hint(),
            Self::Export(source) => source.hint(),
            Self::Pull { .. } | Self::PullHangs { .. } => {
                Some("check the name and the network, or leave `image.base` out of lab.toml".to_owned())
            }
            Self::Bootstrap { source } if source.is_program_missing() => Some(
                "no image registry could be reached; to make the image from packages: `sudo apt-get install mmdebstrap`"
                    .to_owned(),
            ),
            Self::Bootstrap { .. } => {
                Some("neither an image registry nor a Debian package mirror could be used: check the network".to_owned())
            }
            Self::Vanished { .. } => Some("run the command again".to_owned()),
            Self::Load(_) | Self::Workshop { .. } => None,
        }
    }
}

/// What a node's image is made of, besides the folder that is part of this program.
pub struct NodeImage<'a> {
    pub base: Option<&'a str>,
    pub labd: &'a [u8],
    pub cache: &'a Cache,
    /// Where large intermediate files may lie.
    pub workshop: &'a Utf8Path,
}

/// Returns the name of the node's image, which the engine has by then.
pub async fn ensure(engine: &Engine, wanted: &NodeImage<'_>, progress: &Progress) -> Result<String, Error> {
    let base_name = wanted.base.unwrap_or(base::DEFAULT);
    let found = base::find(engine, base_name).await?;
    if let Some(found) = &found {
        let name = image_name(wanted, &found.id);
        if engine.image_id(&name).await?.is_some() {
            return Ok(name);
        }
    }
    let step = progress.begin("image", "making the image that nodes boot from");
    let base = match found {
        Some(base) => base,
        None => base::obtain(engine, base_name, wanted.cache, wanted.workshop, &step).await?,
    };
    let name = image_name(wanted, &base.id);
    step.change(format!("building {name}"));
    let build = Build {
        args: vec![("BASE".to_owned(), base.name.clone())],
        labels: Labels::from([("lab.image".to_owned(), "node".to_owned())]),
        ..Build::new(&name, BuildContext::Memory(recipe::context(wanted.labd)))
    };
    engine.build_image(build, |line| step.output(line)).await?;
    step.done(format!("built {name} on {}", base.name));
    Ok(name)
}

fn image_name(wanted: &NodeImage<'_>, base_id: &str) -> String {
    format!("{REPOSITORY}:{}", recipe::key(wanted.labd, base_id))
}
