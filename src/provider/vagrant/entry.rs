//! From a node to the machine that Vagrant is to make for it.

use std::net::{Ipv4Addr, TcpListener};

use serde_json::json;

use super::super::{Error, Limits};
use super::USER;
use crate::fs::{self, Access};
use crate::model::{EtcdRole, LabName, NodeName, Seed, node_mac};
use crate::vagrant::{Folder, NodeEntry, NodesFile};

/// What a machine has for which nobody said a number: a node with a few services runs well in it.
const USUAL_MEMORY_MIB: u64 = 1024;
const USUAL_CPUS: u32 = 2;
const MIB: u64 = 1 << 20;
/// Below the ports that systems give to whoever asks for any.
const SSH_PORTS: std::ops::Range<u16> = 2200..3200;

pub(super) fn machine_name(lab: &LabName, node: &NodeName) -> String {
    format!("lab-{lab}-{node}")
}

pub(super) fn new(seed: &Seed, limits: Limits) -> NodeEntry {
    let config = &seed.config;
    let mut entry = NodeEntry {
        name: config.node.clone(),
        machine: machine_name(&config.lab, &config.node),
        address: config.address,
        mac: node_mac(&config.lab_id, &config.node),
        is_etcd_member: matches!(config.etcd, EtcdRole::Member { .. }),
        ssh_port: None,
        cpus: USUAL_CPUS,
        memory_mib: USUAL_MEMORY_MIB,
        memory_limit: None,
        cpu_limit: None,
        image: None,
        create_args: Vec::new(),
        login: None,
        serial_log: None,
        ignition: None,
        ignition_file: None,
    };
    limit(&mut entry, limits);
    entry
}

/// A machine has whole processors and a number for its memory, whatever was asked for.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of CPUs, checked before"
)]
pub(super) fn limit(entry: &mut NodeEntry, limits: Limits) {
    entry.memory_limit = limits.memory_bytes;
    entry.cpu_limit = limits.cpus;
    entry.memory_mib = limits.memory_bytes.map_or(USUAL_MEMORY_MIB, |bytes| bytes / MIB);
    entry.cpus = limits.cpus.map_or(USUAL_CPUS, |cpus| (cpus.ceil() as u32).max(1));
}

/// Puts a node in, with a port for its sshd if it needs one.
pub(super) fn put(nodes: &mut NodesFile, mut entry: NodeEntry, needs_port: bool) {
    nodes.drop_node(&entry.name);
    entry.ssh_port = if needs_port { free_port(nodes, None) } else { None };
    nodes.put(entry);
}

/// Gives a node another port than the one that somebody took.
pub(super) fn choose_another_port(nodes: &mut NodesFile, node: &NodeName) {
    let taken = nodes.node(node).and_then(|entry| entry.ssh_port);
    let port = free_port(nodes, taken);
    if let Some(entry) = nodes.node_mut(node) {
        entry.ssh_port = port;
    }
}

/// Returns a port that no node of this lab has and nobody listens on now.
fn free_port(nodes: &NodesFile, taken: Option<u16>) -> Option<u16> {
    let is_ours = |port: &u16| nodes.nodes.iter().any(|node| node.ssh_port == Some(*port));
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    SSH_PORTS.filter(|port| Some(*port) != taken && !is_ours(port)).find(is_free)
}

/// Tells a system that is set up by Ignition who may enter it, and its name. All else comes over ssh, as VirtualBox
/// passes on no more than 1024 bytes.
pub(super) fn add_ignition(entry: &mut NodeEntry, seed: &Seed, folder: &Folder) -> Result<(), Error> {
    let text = ignition(seed);
    let path = folder.ignition(&entry.name);
    fs::write(&path, &text, Access::Public)?;
    entry.ignition = Some(text);
    entry.ignition_file = Some(path);
    Ok(())
}

fn ignition(seed: &Seed) -> String {
    let name = &seed.config.node;
    json!({
        "ignition": { "version": "3.3.0" },
        "passwd": { "users": [{ "name": USER, "sshAuthorizedKeys": [seed.authorized_key.trim_end()] }] },
        "storage": { "files": [{
            "path": "/etc/hostname",
            "mode": 0o644,
            "overwrite": true,
            "contents": { "source": format!("data:,{name}") },
        }] },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LabName, Topology};

    fn seed() -> Seed {
        let lab = LabName::parse("web").unwrap();
        let fresh = Topology::fresh(lab, "0011".to_owned(), "192.168.56.0/24".parse().unwrap());
        let lab = fresh.resized(&NodeName::parse("core").unwrap(), 4).unwrap();
        Seed {
            config: lab.config(&lab.nodes[3]),
            authorized_key: format!("ssh-ed25519 {} lab-web\n", "A".repeat(68)),
            host_key: "secret".to_owned(),
        }
    }

    #[test]
    fn a_machine_has_whole_processors_and_mebibytes() {
        let entry = |limits| {
            let entry = new(&seed(), limits);
            (entry.cpus, entry.memory_mib)
        };
        assert_eq!(entry(Limits::default()), (2, 1024));
        assert_eq!(entry(Limits { memory_bytes: Some(3 << 29), cpus: Some(1.2) }), (2, 1536));
        assert_eq!(entry(Limits { memory_bytes: None, cpus: Some(0.1) }), (1, 1024));
    }

    #[test]
    fn a_machine_is_named_after_lab_and_node() {
        let entry = new(&seed(), Limits::default());
        assert_eq!((entry.machine.as_str(), entry.is_etcd_member), ("lab-web-core-04", false));
        assert_eq!(entry.address, Ipv4Addr::new(192, 168, 56, 14));
    }

    #[test]
    fn ignition_fits_where_virtualbox_has_it_and_holds_no_secret() {
        let text = ignition(&seed());
        assert!(text.len() < 1024 && !text.contains("secret"), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn no_two_nodes_of_a_lab_have_the_same_port() {
        let seed = seed();
        let mut nodes = NodesFile {
            lab: seed.config.lab.clone(),
            id: String::new(),
            provider: crate::vagrant::Kind::VirtualBox,
            subnet: "192.168.56.0/24".parse().unwrap(),
            boot_timeout: 300,
            base: None,
            libvirt: None,
            has_own_network: false,
            nodes: Vec::new(),
        };
        for index in 1..=3 {
            let name = NodeName::parse(&format!("core-{index:02}")).unwrap();
            put(&mut nodes, NodeEntry { name, ..new(&seed, Limits::default()) }, true);
        }
        let ports =
            |nodes: &NodesFile| nodes.nodes.iter().filter_map(|node| node.ssh_port).collect::<Vec<_>>();
        let before = ports(&nodes);
        assert!(before[0] != before[1] && before[1] != before[2] && before[0] != before[2], "{before:?}");
        choose_another_port(&mut nodes, &NodeName::parse("core-02").unwrap());
        let after = ports(&nodes);
        assert!(!before.contains(&after[1]), "{before:?} {after:?}");
    }
}
