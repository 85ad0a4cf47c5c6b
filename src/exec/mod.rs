//! Commands as values, and who runs them on this host.

mod cmd;
mod daemon;
mod local;

pub use cmd::{Cmd, quote};
pub use daemon::Daemon;
pub use local::{Error, Output, replace_this_process, run};
