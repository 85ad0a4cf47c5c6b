//! What `labd` does on a node: prepares it before systemd starts, or while it runs where nobody can before;
//! applies its configuration, and says how it is. It knows one node; of the lab's others only where they are.

mod announce;
mod apply;
mod await_role;
mod cgroup;
mod checks;
mod daemon;
mod fill;
mod fleet;
mod fleetctl;
mod health;
mod hosts;
mod images;
mod init;
mod keys;
mod layers;
mod network;
mod ports;
mod rights;
#[cfg(test)]
mod samples;
mod seed;
mod serve;
mod sshd;
mod usage;

use std::error::Error;

use camino::Utf8Path;

use crate::model::image::{LAYERS_ON_NODE, SharedImage};

pub use await_role::{Error as AwaitError, await_role};
pub use fill::{Error as FillError, fill};
pub use fleetctl::{Error as FleetctlError, fleetctl};
pub use init::{Error as InitError, init};
pub use network::{Error as NetworkError, network};
pub use seed::{Error as SeedError, seed};
pub use serve::{Error as ServeError, SOCKET, health, serve};

const DOCKER_DATA: &str = "/var/lib/docker";

/// Lets Docker find the images of `LAB_LAYERS` already there when it starts for the first time. Returns
/// why it will not, if it should; what is missing is loaded later.
pub fn link_shared_images(images: Option<&str>) -> Option<String> {
    let data = Utf8Path::new(DOCKER_DATA);
    let images = images.filter(|_| !layers::is_used(data))?;
    match serde_json::from_str::<Vec<SharedImage>>(images) {
        Err(error) => Some(format!("LAB_LAYERS could not be read: {error}")),
        Ok(images) => {
            layers::link(&images, Utf8Path::new(LAYERS_ON_NODE), data).err().map(|error| chain(&error))
        }
    }
}

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
