//! etcd through its JSON gateway (3.4 and later), over any stream that reaches it. The only place that
//! knows etcd's protocol; it does not know what a node is.

mod client;
#[cfg(test)]
pub(crate) mod contract;
mod kv;
mod lease;
mod watch;
mod wire;

pub use client::{Client, Error};
pub use watch::Watch;
pub use wire::{Compare, Entry, Event, Member, Op, Outcome, Page, Status};
