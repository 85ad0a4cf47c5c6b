//! Commands as values, and who runs them on this host.

mod cmd;
mod local;

pub use cmd::{Cmd, quote};
pub use local::{Error, Output, replace_this_process, run};
