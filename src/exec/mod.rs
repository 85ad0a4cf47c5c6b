//! Commands as values, and who runs them on this host.

mod brief;
mod cmd;
mod keep;
mod kept;
mod local;

pub use brief::run_briefly;
pub use cmd::{Cmd, quote};
pub use keep::{keep, until_all_ended};
pub use kept::{Keeper, run_kept};
pub use local::{Error, Output, replace_this_process, run};
