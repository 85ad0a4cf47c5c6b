//! Images as files: a folder in the form of the OCI's image layout, in which each layer lies once.
//!
//! This room knows files and streams. It does not know registries, engines or labs.

mod adopt;
mod archive;
mod blob;
mod codec;
mod error;
mod file;
mod layer;
mod load;
mod plan;
#[cfg(test)]
mod samples;
mod store;

use std::io::{self, Read, Write};

pub use adopt::{adopt_layer, recognize_layer};
pub use archive::{
    ArchivedImage, ArchivedImages, Error as ArchiveError, ReadOptions, WantedArchive, read_archive,
    write_archive,
};
pub use blob::{BlobReader, BlobWriter};
pub use codec::{Compression, Decoder};
pub use error::Error;
pub use file::read_file;
pub use layer::{StoredLayer, store_layer};
pub use load::{Piece, Source, StoreSource, StreamSource, Texts, pieces, write_pieces};
pub use plan::{EngineImage, EngineImages, EngineKind, LoadPlan, LoadTask, Reason, plan};
pub use store::{Store, StoreLock, digest_of_file};

/// Writes one entry of a tar archive.
fn append(
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, content)
}

#[cfg(test)]
mod tests;
