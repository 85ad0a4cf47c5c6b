//! The lab's keys: one that opens its nodes, one by which its nodes are known.

use crate::config::StateDir;
use crate::fs::{self, Access};
use crate::model::LabName;
use crate::ssh::{HostEntry, Identity, KeyPair, known_hosts, ssh_config};

use super::Error;

pub(super) struct Keys {
    pub(super) user: KeyPair,
    pub(super) host: KeyPair,
}

impl Keys {
    /// Reads the keys of a lab; `None` if they are not all there.
    pub(super) fn load(files: &StateDir) -> Result<Option<Self>, Error> {
        let user = fs::read_if_present(&files.private_key())?;
        let host = fs::read_if_present(&files.private_host_key())?;
        let (Some(user), Some(host)) = (user, host) else { return Ok(None) };
        Ok(Some(Self { user: KeyPair::parse(&user)?, host: KeyPair::parse(&host)? }))
    }

    /// Reads the keys of a lab, or makes them.
    pub(super) fn ensure(files: &StateDir, lab: &LabName) -> Result<Self, Error> {
        if let Some(keys) = Self::load(files)? {
            return Ok(keys);
        }
        files.ensure()?;
        let keys = Self {
            user: KeyPair::generate(&format!("lab-{lab}")),
            host: KeyPair::generate(&format!("nodes-of-lab-{lab}")),
        };
        fs::write(&files.public_key(), format!("{}\n", keys.user.public), Access::Public)?;
        fs::write(&files.public_host_key(), format!("{}\n", keys.host.public), Access::Public)?;
        fs::write(&files.private_host_key(), &keys.host.private, Access::Private)?;
        // The last, as the keys are there only if this one is.
        fs::write(&files.private_key(), &keys.user.private, Access::Private)?;
        Ok(keys)
    }

    pub(super) fn identity(&self) -> Result<Identity, Error> {
        Ok(Identity::parse(&self.user.private, &self.host.public)?)
    }
}

/// Writes what lets `ssh` and `fleetctl` find the nodes; the ports change whenever a node starts.
pub(super) fn write_client_files(files: &StateDir, keys: &Keys, hosts: &[HostEntry]) -> Result<(), Error> {
    let names: Vec<String> = hosts.iter().flat_map(HostEntry::known_names).collect();
    write_if_changed(&files.known_hosts(), &known_hosts(&names, &keys.host.public))?;
    let config = ssh_config(hosts, &files.private_key(), &files.known_hosts());
    write_if_changed(&files.ssh_config(), &config)
}

fn write_if_changed(path: &camino::Utf8Path, text: &str) -> Result<(), Error> {
    if fs::read_if_present(path)?.as_deref() != Some(text) {
        fs::write(path, text, Access::Public)?;
    }
    Ok(())
}
