//! Images of a lab, from the folder that they are built from to the nodes.

#![expect(clippy::unwrap_used, reason = "what cannot be looked at has failed the test")]

mod broken;
mod containerd;
mod cut;
mod moves;
mod shared;
mod travel;

pub use crate::kit::images::{Reloaded, id_on, noise, reload, write_image};
