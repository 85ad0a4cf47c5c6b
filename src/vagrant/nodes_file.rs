//! What the Vagrantfile reads of a lab's machines, and `lab` remembers of them.

use std::net::Ipv4Addr;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::config::{BoxRef, VagrantProvider as Kind};
use crate::model::{LabName, NodeName, Subnet};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodesFile {
    pub lab: LabName,
    pub id: String,
    pub provider: Kind,
    pub subnet: Subnet,
    /// How long Vagrant tries to enter a machine that boots, in seconds.
    pub boot_timeout: u32,
    #[serde(rename = "box")]
    pub base: Option<BoxRef>,
    pub libvirt: Option<LibvirtSettings>,
    /// Whether the network between machines and this host was made for this lab alone.
    #[serde(default)]
    pub has_own_network: bool,
    pub nodes: Vec<NodeEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibvirtSettings {
    /// `kvm`, or `qemu` for software emulation.
    pub driver: String,
    /// The private network of the lab.
    pub network: String,
    /// The store of images, if nodes can see it where it lies.
    pub store: Option<Utf8PathBuf>,
    pub store_on_node: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeEntry {
    pub name: NodeName,
    /// What the hypervisor calls it.
    pub machine: String,
    pub address: Ipv4Addr,
    /// Of its card in the lab's network.
    pub mac: String,
    pub is_etcd_member: bool,
    /// Where this host reaches its sshd, if that does not come out by itself.
    pub ssh_port: Option<u16>,
    pub cpus: u32,
    pub memory_mib: u64,
    /// What was asked for, which `cpus` and `memory_mib` follow from.
    pub memory_limit: Option<u64>,
    pub cpu_limit: Option<f64>,
    /// What a container is made of.
    pub image: Option<String>,
    #[serde(default)]
    pub create_args: Vec<String>,
    /// As whom it is entered since it is the lab's; before, the box knows.
    pub login: Option<Login>,
    pub serial_log: Option<Utf8PathBuf>,
    /// What a system that is set up by Ignition is told at its first boot.
    pub ignition: Option<String>,
    pub ignition_file: Option<Utf8PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    pub user: String,
    pub key: Utf8PathBuf,
    /// The id of the machine for which this holds; one that was made anew since is as the box has it. `None` for
    /// any, where machines are born as the lab's.
    pub machine: Option<String>,
}

impl NodesFile {
    pub fn node(&self, name: &NodeName) -> Option<&NodeEntry> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    pub fn node_mut(&mut self, name: &NodeName) -> Option<&mut NodeEntry> {
        self.nodes.iter_mut().find(|node| node.name == *name)
    }

    /// Puts a node in, in the place of one of the same name.
    pub fn put(&mut self, entry: NodeEntry) {
        self.nodes.retain(|node| node.name != entry.name);
        self.nodes.push(entry);
        self.nodes.sort_by(|a, b| a.name.cmp(&b.name));
    }

    pub fn drop_node(&mut self, name: &NodeName) {
        self.nodes.retain(|node| node.name != *name);
    }
}

impl NodeEntry {
    /// Returns whether the machine of this id is known to be a node.
    pub fn is_taken(&self, id: &str) -> bool {
        let login = self.login.as_ref();
        login.is_some_and(|login| login.machine.as_deref().is_none_or(|machine| machine == id))
    }
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;

    pub(in crate::vagrant) fn node(index: u8) -> NodeEntry {
        let name = NodeName::parse(&format!("core-{index:02}")).unwrap();
        NodeEntry {
            machine: format!("lab-web-{name}"),
            name,
            address: Ipv4Addr::new(192, 168, 56, 10 + index),
            mac: format!("0800270000{index:02}"),
            is_etcd_member: true,
            ssh_port: Some(2500 + u16::from(index)),
            cpus: 2,
            memory_mib: 1024,
            memory_limit: None,
            cpu_limit: None,
            image: None,
            create_args: Vec::new(),
            login: None,
            serial_log: None,
            ignition: None,
            ignition_file: None,
        }
    }

    pub(in crate::vagrant) fn virtualbox() -> NodesFile {
        NodesFile {
            lab: LabName::parse("web").unwrap(),
            id: "0011".to_owned(),
            provider: Kind::VirtualBox,
            subnet: "192.168.56.0/24".parse().unwrap(),
            boot_timeout: 300,
            base: Some(BoxRef { name: "some/box".to_owned(), version: Some("1.0.0".to_owned()), url: None }),
            libvirt: None,
            has_own_network: true,
            nodes: vec![node(1), node(2)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vagrantfile_finds_the_names_that_it_looks_for() {
        let text = serde_json::to_string_pretty(&samples::virtualbox()).unwrap();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_machine_that_was_made_anew_is_nobodys() {
        let login = |machine: Option<&str>| Login {
            user: "core".to_owned(),
            key: "/k".into(),
            machine: machine.map(str::to_owned),
        };
        let node = |login| NodeEntry { login, ..samples::node(1) };
        assert!(!node(None).is_taken("a"));
        assert!(node(Some(login(None))).is_taken("a"));
        assert!(node(Some(login(Some("a")))).is_taken("a"));
        assert!(!node(Some(login(Some("b")))).is_taken("a"));
    }

    #[test]
    fn nodes_are_kept_in_order_and_once() {
        let mut file = samples::virtualbox();
        file.put(NodeEntry { cpus: 4, ..samples::node(1) });
        file.put(samples::node(3));
        file.drop_node(&samples::node(2).name);
        let found: Vec<(&str, u32)> = file.nodes.iter().map(|node| (node.name.as_str(), node.cpus)).collect();
        assert_eq!(found, [("core-01", 4), ("core-03", 2)]);
    }
}
