//! Secure shell: the lab's keys, and connections to nodes that carry commands and sockets.

mod client_files;
mod error;
#[cfg(test)]
mod fixture;
mod keys;
mod process;
mod session;
mod socket;
mod stream;

pub use client_files::{HostEntry, known_hosts, ssh_config};
pub use error::Error;
pub use keys::{Identity, KeyPair};
pub use process::{Event, Process};
pub use session::{Session, Target};
pub use stream::Stream;
