//! Images that `lab` makes: so far, the one that nodes boot from.

mod base;
mod node;
mod recipe;

pub use node::{Error, NodeImage, ensure};
