//! A machine as VirtualBox would remember it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::random;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Vm {
    pub uuid: String,
    pub name: String,
    pub groups: String,
    /// What was last done to it; what it is now, its container says.
    pub phase: Phase,
    pub nics: BTreeMap<u8, Nic>,
    /// Port forwards of the first adapter, by name.
    pub forwards: BTreeMap<String, Forward>,
    /// Options that only have to be said again.
    pub options: BTreeMap<String, String>,
    pub snapshots: Vec<Snapshot>,
    pub folders: BTreeMap<String, String>,
    pub properties: BTreeMap<String, String>,
    pub extra: BTreeMap<String, String>,
    /// The machine that its disk is linked to.
    pub parent: Option<String>,
    /// The image that its container is made from, if it is not the box's.
    pub image: Option<String>,
    /// Which addresses it had when it was saved.
    pub saved: Vec<String>,
    /// What the engine calls its adapter, if that is another name than it has.
    pub adapter: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    PowerOff,
    Starting,
    Running,
    Paused,
    Saved,
    Stopping,
    Aborted,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Self::PowerOff => "poweroff",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Saved => "saved",
            Self::Stopping => "stopping",
            Self::Aborted => "aborted",
        }
    }

    /// Whether there is a process that runs the machine.
    pub fn is_online(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Paused | Self::Stopping)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// `nat`, `hostonly` and so on.
    pub kind: String,
    pub mac: String,
    pub model: String,
    pub is_connected: bool,
    /// The interface, bridge or network that it is attached to.
    pub attached: String,
}

impl Nic {
    pub fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            mac: random::mac(),
            model: "82540EM".to_owned(),
            is_connected: true,
            attached: String::new(),
        }
    }

    /// Returns the MAC address with colons, as all but VirtualBox write it.
    pub fn mac_with_colons(&self) -> String {
        let pairs: Vec<String> =
            self.mac.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_lowercase()).collect();
        pairs.join(":")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    pub protocol: String,
    pub host_ip: String,
    pub host_port: u16,
    pub guest_ip: String,
    pub guest_port: u16,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    pub name: String,
    pub uuid: String,
    /// What the disk was then; nothing, if the machine had not been started yet.
    pub image: Option<String>,
}

impl Vm {
    pub fn new(name: &str) -> Self {
        Self {
            uuid: random::uuid(),
            name: name.to_owned(),
            groups: "/".to_owned(),
            phase: Phase::PowerOff,
            nics: [(1, Nic::new("nat"))].into(),
            forwards: BTreeMap::new(),
            options: BTreeMap::new(),
            snapshots: Vec::new(),
            folders: BTreeMap::new(),
            properties: BTreeMap::new(),
            extra: BTreeMap::new(),
            parent: None,
            image: None,
            saved: Vec::new(),
            adapter: None,
        }
    }

    /// Returns its first adapter on a host-only interface.
    pub fn host_only(&self) -> Option<&Nic> {
        self.nics.values().find(|nic| nic.kind == "hostonly" && !nic.attached.is_empty())
    }

    pub fn is_called(&self, key: &str) -> bool {
        self.name == key || self.uuid == key.trim_matches(['{', '}'])
    }
}

impl Forward {
    /// Reads `ssh,tcp,127.0.0.1,2222,,22`.
    pub fn parse(rule: &str) -> Option<(String, Self)> {
        let words: Vec<&str> = rule.split(',').collect();
        let [name, protocol, host_ip, host_port, guest_ip, guest_port] = words[..] else { return None };
        if !matches!(protocol, "tcp" | "udp") {
            return None;
        }
        let forward = Self {
            protocol: protocol.to_owned(),
            host_ip: host_ip.to_owned(),
            host_port: host_port.parse().ok()?,
            guest_ip: guest_ip.to_owned(),
            guest_port: guest_port.parse().ok()?,
        };
        let name =
            if name.is_empty() { format!("{protocol}_{host_port}_{guest_port}") } else { name.to_owned() };
        Some((name, forward))
    }

    pub fn rule(&self, name: &str) -> String {
        let Self { protocol, host_ip, host_port, guest_ip, guest_port } = self;
        format!("{name},{protocol},{host_ip},{host_port},{guest_ip},{guest_port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_and_said_again() {
        #[track_caller]
        fn check(rule: &str, want: Option<&str>) {
            let found = Forward::parse(rule).map(|(name, forward)| forward.rule(&name));
            assert_eq!(found.as_deref(), want, "{rule}");
        }
        check("ssh,tcp,127.0.0.1,2222,,22", Some("ssh,tcp,127.0.0.1,2222,,22"));
        check(",tcp,,80,,8080", Some("tcp_80_8080,tcp,,80,,8080"));
        check("ssh,tcp,127.0.0.1,2222,22", None);
        check("ssh,icmp,,2222,,22", None);
        check("ssh,tcp,,70000,,22", None);
    }

    #[test]
    fn a_mac_address_gets_its_colons() {
        let nic = Nic { mac: "0800270A0B0C".to_owned(), ..Nic::new("nat") };
        assert_eq!(nic.mac_with_colons(), "08:00:27:0a:0b:0c");
    }
}
