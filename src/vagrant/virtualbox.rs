//! VirtualBox, asked and told directly: what Vagrant would take a second of Ruby for, and what it leaves behind.

use std::net::Ipv4Addr;

use super::Error;
use crate::exec::{self, Cmd, Output};
use crate::model::Subnet;

const PROGRAM: &str = "VBoxManage";
/// What VirtualBox lets anybody use for host-only networks, since 6.1.28.
const ALLOWED: &str = "192.168.56.0/21";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    Paused,
    /// Off, or asleep on disk: booting it goes on from there.
    Off,
    /// Neither: it is between two states, or its files cannot be read.
    Unusable,
}

/// A network between this host and its virtual machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostOnly {
    pub name: String,
    pub address: Ipv4Addr,
}

/// Returns the networks that a lab may have, of which the first that is free is taken.
pub fn subnets() -> Vec<Subnet> {
    let third = 56..64;
    third.map(|third| Subnet::new(Ipv4Addr::new(192, 168, third, 0), 24).expect("it is a /24")).collect()
}

/// Returns whether VirtualBox will have this network, given what is in `/etc/vbox/networks.conf`.
pub fn allows(subnet: Subnet, networks_conf: &str) -> bool {
    let listed = networks_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix('*'))
        .flat_map(str::split_whitespace)
        .filter_map(|word| word.parse::<Subnet>().ok());
    let all: Subnet = ALLOWED.parse().expect("it is a network");
    listed.chain([all]).any(|allowed| allowed.contains(subnet.gateway()))
}

/// Returns how a machine is; `None` if there is none of this name or id.
pub async fn state(machine: &str) -> Result<Option<State>, Error> {
    match run(&["showvminfo", machine, "--machinereadable"]).await {
        Err(error) if is_not_found(&error) => Ok(None),
        shown => parse_state(&shown?.text()).map(Some),
    }
}

pub async fn power_off(machine: &str) -> Result<(), Error> {
    run(&["controlvm", machine, "poweroff"]).await.map(drop)
}

pub async fn resume(machine: &str) -> Result<(), Error> {
    run(&["controlvm", machine, "resume"]).await.map(drop)
}

/// Removes a machine and its disks.
pub async fn remove(machine: &str) -> Result<(), Error> {
    match run(&["unregistervm", machine, "--delete"]).await {
        Err(error) if is_not_found(&error) => Ok(()),
        removed => removed.map(drop),
    }
}

pub async fn host_only_networks() -> Result<Vec<HostOnly>, Error> {
    Ok(parse_host_only(&run(&["list", "hostonlyifs"]).await?.text()))
}

/// Makes a network whose host has this address. Vagrant, left to itself, makes one for each machine that boots
/// at the same time.
pub async fn make_host_only(address: Ipv4Addr) -> Result<(), Error> {
    let said = run(&["hostonlyif", "create"]).await?.text();
    let name = said.split('\'').nth(1).ok_or(Error::Unreadable { program: PROGRAM, said: said.clone() })?;
    let ip = address.to_string();
    let configured = run(&["hostonlyif", "ipconfig", name, "--ip", &ip, "--netmask", "255.255.255.0"]).await;
    if configured.is_err() {
        // It would be in the way of the next try, under an address that nobody asked for.
        drop(run(&["hostonlyif", "remove", name]).await);
    }
    configured.map(drop)
}

pub async fn remove_host_only(name: &str) -> Result<(), Error> {
    run(&["hostonlyif", "remove", name]).await.map(drop)
}

async fn run(words: &[&str]) -> Result<Output, Error> {
    exec::run(&Cmd::new(PROGRAM).args(words.iter().copied()), b"").await.map_err(Error::program)
}

fn is_not_found(error: &Error) -> bool {
    let Error::Program(exec::Error::Failed { stderr, .. }) = error else { return false };
    stderr.contains("VBOX_E_OBJECT_NOT_FOUND") || stderr.contains("Could not find a registered machine")
}

fn parse_state(text: &str) -> Result<State, Error> {
    let state = text.lines().find_map(|line| line.trim().strip_prefix("VMState=\"")?.strip_suffix('"'));
    let state = state.ok_or_else(|| Error::Unreadable { program: PROGRAM, said: text.to_owned() })?;
    Ok(match state {
        "running" => State::Running,
        "paused" => State::Paused,
        "poweroff" | "saved" | "aborted" | "aborted-saved" => State::Off,
        _ => State::Unusable,
    })
}

fn parse_host_only(text: &str) -> Vec<HostOnly> {
    let mut found = Vec::new();
    let mut name = "";
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        match (key.trim(), value.trim()) {
            ("Name", value) => name = value,
            ("IPAddress", value) => {
                found.extend(value.parse().ok().map(|address| HostOnly { name: name.to_owned(), address }));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_one_of_four() {
        for (state, want) in [
            ("running", State::Running),
            ("paused", State::Paused),
            ("poweroff", State::Off),
            ("saved", State::Off),
            ("aborted", State::Off),
            ("starting", State::Unusable),
            ("gurumeditation", State::Unusable),
            ("inaccessible", State::Unusable),
        ] {
            let text = format!("name=\"x\"\r\nVMState=\"{state}\"\r\nVMStateChangeTime=\"2026\"\r\n");
            assert_eq!(parse_state(&text).unwrap(), want, "{state}");
        }
        assert!(parse_state("").is_err());
    }

    #[test]
    fn networks_are_read_with_the_address_of_the_host() {
        let text = "Name:            vboxnet0\nGUID:            7\nDHCP:            Disabled\n\
                    IPAddress:       192.168.56.1\nNetworkMask:     255.255.255.0\n\n\
                    Name:            VirtualBox Host-Only Ethernet Adapter\nIPAddress:       192.168.57.1\n";
        let want = [("vboxnet0", 56), ("VirtualBox Host-Only Ethernet Adapter", 57)]
            .map(|(name, third)| HostOnly { name: name.to_owned(), address: [192, 168, third, 1].into() });
        assert_eq!(parse_host_only(text), want);
    }

    #[test]
    fn only_some_networks_are_allowed_unless_listed() {
        let net = |text: &str| text.parse::<Subnet>().unwrap();
        for subnet in subnets() {
            assert!(allows(subnet, ""), "{subnet}");
        }
        assert!(!allows(net("192.168.64.0/24"), ""));
        assert!(!allows(net("10.77.0.0/24"), "# * 10.0.0.0/8\n"));
        assert!(allows(net("10.77.0.0/24"), "* 10.0.0.0/8 192.168.0.0/16\n* 2001::/64\n"));
    }
}
