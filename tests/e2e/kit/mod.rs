//! What tests are written with: a lab that cleans up after itself, commands with limits, named waits.

mod engine;
pub mod fleet;
pub mod images;
mod lab;
pub mod net;
mod own_engine;
mod process;
mod stack;
mod status;
mod suite;
pub mod vagrant;
mod wait;
mod watch;

pub use engine::Engine;
pub use lab::TestLab;
pub use own_engine::OwnEngine;
pub use process::{Run, Running};
pub use status::{StackStatus, Status};
pub use suite::{Check, suite};
pub use vagrant::Machines;
pub use wait::wait_until;
pub use watch::Watch;
