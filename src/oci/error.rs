//! What can be wrong with a store, an archive or an image.

use std::io;

use camino::Utf8PathBuf;

use crate::fs;
use crate::model::image::{BadImage, Digest};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error("could not {what} `{path}`")]
    Io { what: &'static str, path: Utf8PathBuf, source: io::Error },
    /// A stream that somebody gave us, or that we write to, broke.
    #[error("could not {what}")]
    Stream { what: &'static str, source: io::Error },
    #[error("the store has no blob {digest}")]
    Missing { digest: Digest },
    #[error("the blob {digest} is broken: its content is another")]
    Broken { digest: Digest },
    #[error("a layer is longer than {} GiB, which no image is made of", limit >> 30)]
    TooLong { limit: u64 },
    #[error(transparent)]
    Image(#[from] BadImage),
    #[error("the image store `{path}` is in use by another lab command")]
    Busy { path: Utf8PathBuf },
}

impl Error {
    /// Returns an error of a stream, or the one that a reader of ours wrapped into it.
    pub fn stream(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.downcast::<Self>() {
            Ok(ours) => ours,
            Err(source) => Self::Stream { what, source },
        }
    }

    /// Wraps an error of ours so that it can pass through code that knows only those of streams.
    pub fn into_io(self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self)
    }

    /// Returns the blob that has to be made again, if one is the cause.
    pub fn bad_blob(&self) -> Option<Digest> {
        match self {
            Self::Missing { digest } | Self::Broken { digest } => Some(*digest),
            _ => None,
        }
    }

    pub fn is_full_disk(&self) -> bool {
        match self {
            Self::File(source) => source.is_full_disk(),
            Self::Io { source, .. } | Self::Stream { source, .. } => fs::is_full_disk(source),
            _ => false,
        }
    }

    pub fn hint(&self) -> Option<String> {
        if self.is_full_disk() {
            return Some("make room: `lab images prune` removes what no lab uses".to_owned());
        }
        match self {
            Self::File(source) => source.hint(),
            Self::Missing { .. } | Self::Broken { .. } => {
                Some("`lab images verify` finds what is broken and makes it again".to_owned())
            }
            Self::Busy { .. } => Some("wait until it has ended, and repeat".to_owned()),
            _ => None,
        }
    }
}
