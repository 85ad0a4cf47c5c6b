//! What can be wrong with an archive of images.

use std::io;

use super::StoreError;
use super::header::BadHeader;
use crate::model::image::{BadImage, BadImageName, Digest, Platform};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("could not read the archive")]
    Read { source: io::Error },
    #[error("the archive is empty")]
    Empty,
    #[error("the archive is cut off after {bytes} bytes")]
    CutOff { bytes: u64 },
    #[error("this is not a tar archive, nor one that was packed with gzip or zstd")]
    NotTar { source: BadHeader },
    #[error("the archive is broken at byte {at}")]
    Broken { at: u64, source: BadHeader },
    #[error("the archive has more than {limit} {what}, which no images need")]
    TooMuch { limit: u64, what: &'static str },
    #[error("the archive has an entry `{path}`, which leads out of it")]
    UnsafePath { path: String },
    #[error("the archive's link `{path}` leads nowhere: to `{target}`")]
    BadLink { path: String, target: String },
    #[error("the archive's entry `{path}` has holes, which is not supported")]
    Sparse { path: String },
    #[error("the archive has `{path}` twice, with different content")]
    Duplicate { path: String },
    #[error("the content of the archive's entry `{path}` is another than its name says: {found}")]
    WrongDigest { path: String, found: Digest },
    #[error("the archive's entry `{path}` is longer than {} MiB", limit >> 20)]
    TooLong { path: String, limit: u64 },
    #[error("could not read the layer `{path}`")]
    Layer { path: String, source: StoreError },
    #[error("the archive's entry `{path}` is not what it should be")]
    Json { path: String, source: serde_json::Error },
    #[error("this is the root file system of a container, not an image")]
    RootFileSystem,
    #[error("the images were saved by a Docker before 1.10, in a form that is not supported")]
    Legacy,
    #[error("there are no images in the archive: neither `manifest.json` nor `index.json`")]
    NoImages,
    #[error("the archive has an image of a strange name")]
    Name(#[from] BadImageName),
    #[error("two images of the archive are called `{name}`")]
    SameName { name: String },
    #[error("the image `{image}` is not there for {wanted}")]
    NoPlatform { image: String, wanted: PlatformName },
    #[error("the archive lacks the {what} `{path}` of the image `{image}`")]
    Missing { image: String, what: &'static str, path: String },
    #[error("the layer `{path}` of the image `{image}` is another than its configuration says: {found}")]
    WrongLayer { image: String, path: String, found: Digest },
    #[error("the image `{image}` cannot be put together")]
    Image { image: String, source: BadImage },
}

/// A platform as people write it: `linux/arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformName(pub Platform);

impl std::fmt::Display for PlatformName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0.os, self.0.architecture)?;
        self.0.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl Error {
    /// Returns an error of the stream that the archive comes from.
    pub(super) fn read(source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::CutOff { bytes: 0 },
            _ => Self::Read { source },
        }
    }

    pub fn is_full_disk(&self) -> bool {
        match self {
            Self::Store(source) | Self::Layer { source, .. } => source.is_full_disk(),
            _ => false,
        }
    }

    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Store(source) | Self::Layer { source, .. } => return source.hint(),
            Self::Empty | Self::CutOff { .. } | Self::Broken { .. } | Self::WrongDigest { .. } => {
                "make or copy the archive again"
            }
            Self::RootFileSystem => {
                "`docker export` wrote it: make an image of it with `docker import`, or use `docker save`"
            }
            Self::Legacy => "load it with `docker load`, and save it again",
            Self::NoImages | Self::NotTar { .. } => "archives of `docker save` and of OCI tools are expected",
            Self::NoPlatform { .. } => "save the image again for the platform that is wanted",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
