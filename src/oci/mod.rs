//! Images as files: a folder in the form of the OCI's image layout, in which each layer lies once.
//!
//! This room knows files and streams. It does not know registries, engines or labs.

mod adopt;
mod archive;
mod blob;
mod codec;
mod error;
mod layer;
mod load;
mod plan;
#[cfg(test)]
mod samples;
mod store;

pub use adopt::{adopt_layer, recognize_layer};
pub use archive::{
    ArchivedImage, ArchivedImages, Error as ArchiveError, ReadOptions, WantedArchive, read_archive,
    write_archive,
};
pub use blob::{BlobReader, BlobWriter};
pub use codec::{Compression, Decoder};
pub use error::Error;
pub use layer::{StoredLayer, store_layer};
pub use load::{Piece, Source, StoreSource, StreamSource, Texts, pieces, write_pieces};
pub use plan::{EngineImage, EngineImages, EngineKind, LoadPlan, LoadTask, Reason, plan};
pub use store::{Store, StoreLock, digest_of_file};

#[cfg(test)]
mod tests;
