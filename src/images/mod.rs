//! The image that nodes boot from, and the images that are loaded on them: where they come from, and the
//! cache that keeps them.

pub mod archive;
mod base;
mod bootstrap;
pub mod box_image;
pub mod build;
mod cache;
mod debian;
pub mod export;
pub mod load;
pub mod lock_file;
mod make_error;
mod node;
pub mod pull;
mod recipe;
mod record;
mod sources;
mod verify;
pub mod vm;

pub use base::keep_base;
pub use cache::{Cache, Entry, Swept};
pub use make_error::Error as MakeError;
pub use node::{Error, NodeImage, ensure};
pub use record::{ArchiveFile, Origin, Record, Uses};
pub use sources::{Look, Sources, State};
pub use verify::{Verified, verify};
