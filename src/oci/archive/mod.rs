//! Images as one file: read whatever `docker save` and its relatives write, in one pass, and write a whole
//! store so that another machine can read it.
//!
//! No path of an archive is ever written to: what is worth keeping goes into the store by its digest.

mod assemble;
mod contents;
mod entries;
mod error;
mod header;
mod index;
mod path;
mod write;

use std::collections::BTreeMap;
use std::io::{self, Read};

pub use error::Error;
pub use write::{WantedArchive, write_archive};

use super::codec::{Decoder, buffered};
use super::{Error as StoreError, Store};
use crate::model::image::{Descriptor, Digest, ImageName, Platform};
use contents::Contents;
use entries::Entries;

/// How much of a stream is needed to tell how it is packed.
const BEGINNING: usize = 4;

/// How to read an archive.
pub struct ReadOptions {
    /// Which one is taken of an image that is there for several.
    pub platform: Platform,
    /// Is told how many bytes of the archive have been read so far.
    pub on_bytes: Box<dyn FnMut(u64) + Send>,
}

/// What an archive had in it. All of it is in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArchivedImages {
    pub images: Vec<ArchivedImage>,
    /// The files in `lab/records/`, by name.
    pub records: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedImage {
    /// None if it was saved by its id.
    pub names: Vec<ImageName>,
    pub manifest: Descriptor,
    pub config: Digest,
    /// What the image says that it runs on, which is not always what was asked for.
    pub platform: Platform,
}

/// Reads an archive into the store: plain, gzip or zstd; as `docker save` or an OCI tool writes it.
///
/// The caller shares the store's lock. After an error, what was read before stays in the store, where it
/// is right but of no use until it is read again.
pub fn read_archive(
    store: &Store,
    archive: impl Read,
    options: ReadOptions,
) -> Result<ArchivedImages, Error> {
    let counted = buffered(Counted { from: archive, bytes: 0, on_bytes: options.on_bytes });
    let decoder = Decoder::new(counted).map_err(Error::read)?;
    let contents = Contents::read(store, Entries::new(buffered(decoder)))?;
    let images = assemble::images(store, &contents, &options.platform)?;
    Ok(ArchivedImages { images, records: contents.records })
}

struct Counted<R> {
    from: R,
    bytes: u64,
    on_bytes: Box<dyn FnMut(u64) + Send>,
}

impl<R: Read> Read for Counted<R> {
    /// Begins with a few bytes at once, by which it is told how the archive is packed.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let least = if self.bytes == 0 { buffer.len().min(BEGINNING) } else { 1 };
        let mut filled = 0;
        while filled < least {
            match self.from.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes += filled as u64;
        (self.on_bytes)(self.bytes);
        Ok(filled)
    }
}

#[cfg(test)]
mod tests;
