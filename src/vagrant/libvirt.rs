//! libvirt, asked and told directly by `virsh`.

use std::net::Ipv4Addr;

use super::Error;
use crate::exec::{self, Cmd, Output};

const PROGRAM: &str = "virsh";
/// What Vagrant's plugin uses, also for users who are not root.
pub const USUAL: &str = "qemu:///system";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    Paused,
    Off,
    Unusable,
}

/// One libvirt, by its address.
#[derive(Debug, Clone)]
pub struct Libvirt {
    uri: String,
}

impl Libvirt {
    pub fn at(uri: Option<String>) -> Self {
        Self { uri: uri.unwrap_or_else(|| USUAL.to_owned()) }
    }

    /// Returns how a machine is; `None` if there is none of this name.
    pub async fn state(&self, machine: &str) -> Result<Option<State>, Error> {
        match self.run(&["domstate", machine]).await {
            Err(error) if is_not_found(&error) => Ok(None),
            said => Ok(Some(parse_state(&said?.text()))),
        }
    }

    /// Returns the address that a machine was given by DHCP, once it has one.
    pub async fn address(&self, machine: &str) -> Result<Option<Ipv4Addr>, Error> {
        match self.run(&["domifaddr", machine, "--source", "lease"]).await {
            Err(error) if is_not_found(&error) => Ok(None),
            said => Ok(parse_address(&said?.text())),
        }
    }

    pub async fn resume(&self, machine: &str) -> Result<(), Error> {
        self.run(&["resume", machine]).await.map(drop)
    }

    /// Switches a machine off.
    pub async fn power_off(&self, machine: &str) -> Result<(), Error> {
        self.run(&["destroy", machine]).await.map(drop)
    }

    /// Removes a machine and its disks, whether it runs or not.
    pub async fn remove(&self, machine: &str) -> Result<(), Error> {
        // One that is off cannot be ended, and need not be.
        drop(self.power_off(machine).await);
        match self.run(&["undefine", machine, "--nvram", "--remove-all-storage"]).await {
            Err(error) if is_not_found(&error) => Ok(()),
            removed => removed.map(drop),
        }
    }

    pub async fn networks(&self) -> Result<Vec<String>, Error> {
        Ok(parse_names(&self.run(&["net-list", "--all", "--name"]).await?.text()))
    }

    pub async fn remove_network(&self, name: &str) -> Result<(), Error> {
        if self.networks().await?.iter().any(|network| network == name) {
            // One that is not active cannot be ended, and need not be.
            drop(self.run(&["net-destroy", name]).await);
            self.run(&["net-undefine", name]).await?;
        }
        Ok(())
    }

    async fn run(&self, words: &[&str]) -> Result<Output, Error> {
        let cmd = Cmd::new(PROGRAM).env("LC_ALL", "C").args(["--quiet", "--connect", &self.uri]);
        exec::run(&cmd.args(words.iter().copied()), b"").await.map_err(Error::program)
    }
}

fn is_not_found(error: &Error) -> bool {
    let Error::Program(exec::Error::Failed { stderr, .. }) = error else { return false };
    stderr.contains("failed to get domain") || stderr.contains("Domain not found")
}

fn parse_state(text: &str) -> State {
    match text.trim() {
        "running" | "idle" => State::Running,
        "paused" | "pmsuspended" => State::Paused,
        "shut off" | "crashed" => State::Off,
        _ => State::Unusable,
    }
}

/// Reads `vnet0  52:54:…  ipv4  192.168.121.7/24`.
fn parse_address(text: &str) -> Option<Ipv4Addr> {
    let mut words = text.split_whitespace();
    words.find_map(|word| word.split_once('/')?.0.parse().ok())
}

fn parse_names(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_virsh_prints_is_read() {
        assert_eq!(parse_state("running\n"), State::Running);
        assert_eq!(parse_state("shut off"), State::Off);
        assert_eq!(parse_state("paused"), State::Paused);
        assert_eq!(parse_state("in shutdown"), State::Unusable);
        let lease = " vnet0      52:54:00:9d:1e:37    ipv4         192.168.121.7/24\n";
        assert_eq!(parse_address(lease), Some([192, 168, 121, 7].into()));
        assert_eq!(parse_address("\n"), None);
        assert_eq!(parse_names("a\n\n  b \n"), ["a", "b"]);
    }
}
