//! What `labd` does on a node: prepares it before systemd starts, applies its configuration, and says how
//! it is. It knows one node, never the lab's others.

mod apply;
mod cgroup;
mod health;
mod hosts;
mod init;

mod notify;
mod rights;
#[cfg(test)]
mod samples;
mod serve;
mod usage;

use std::error::Error;

pub use init::{Error as InitError, init};
pub use serve::{Error as ServeError, SOCKET, health, serve};

/// Returns an error with all its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
