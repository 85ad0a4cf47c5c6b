//! fleet: units that are placed by what machines are like, run by systemd there, and placed anew when a machine
//! dies. Compatible with unit files, API and client of the fleet that CoreOS had; its state is in etcd v3.
//!
//! The engine decides where units go, the agent runs them on its machine. They meet only in the registry and
//! in the rules of placement.

pub mod agent;
pub mod api;
pub mod client;
mod daemon;
pub mod engine;
pub mod heart;
pub mod metrics;
pub mod placement;
pub mod records;
pub mod registry;
pub mod unit;
pub mod v1;
pub mod view;

pub use daemon::{Member, member};
