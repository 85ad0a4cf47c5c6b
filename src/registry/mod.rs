//! Registries, spoken to over HTTP without any engine: what a name means there, and its blobs.
//!
//! This room knows the protocol and who may ask. It does not know where blobs are kept.

mod auth;
mod blob;
mod challenge;
mod choose;
mod client;
mod credentials;
mod error;
mod patience;
mod place;
mod schema1;
mod v1;
mod wire;

pub use blob::{Chunk, WantedBlob};
pub use choose::host_platform;
pub use client::{Client, Found, Resolved};
pub use error::Error;
pub use patience::Patience;
pub use schema1::{BadSchema1, Schema1};

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
pub(crate) mod rogue;
#[cfg(test)]
mod tests;
