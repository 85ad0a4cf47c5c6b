//! How other programs reach the nodes: ssh, Docker, fleetctl and etcdctl.

use std::net::Ipv4Addr;

use crate::model::{LabName, Node, NodeName};
use crate::provider::{Machine, MachineState, Provider, Seen};
use crate::ssh::HostEntry;

use super::keys::{Keys, write_client_files};
use super::link::USER;
use super::{Error, Lab};

/// One lab's ways in, as of now.
pub struct Access {
    pub hosts: Vec<HostEntry>,
    /// Where etcd is reached from this host, if nodes' addresses are.
    pub etcd_endpoints: Vec<String>,
    pub nodes: Vec<(NodeName, Ipv4Addr)>,
}

/// Finds how to reach the nodes that run, and brings the files for `ssh` up to date.
pub async fn access<P: Provider>(lab: &Lab<'_, P>) -> Result<Access, Error> {
    let seen = lab.observe_existing().await?;
    let keys = Keys::load(&lab.files)?.ok_or_else(|| Error::KeysGone { lab: lab.settings.lab.clone() })?;
    let hosts = hosts(&lab.settings.lab, &seen);
    write_client_files(&lab.files, &keys, &hosts)?;
    let remembered = lab.files.load()?.map(|state| state.topology);
    let is_member = |(name, machine): &(&NodeName, &Machine)| match &remembered {
        Some(topology) => topology.node(name).is_some_and(Node::is_member),
        None => machine.is_etcd_member,
    };
    let members = seen.machines.iter().filter(is_member);
    Ok(Access {
        hosts,
        etcd_endpoints: members.map(|(_, machine)| format!("http://{}:2379", machine.address)).collect(),
        nodes: seen.machines.iter().map(|(name, machine)| (name.clone(), machine.address)).collect(),
    })
}

/// Returns the ssh entries of all nodes that run.
pub(super) fn hosts(lab: &LabName, seen: &Seen) -> Vec<HostEntry> {
    let running = seen.machines.iter().filter(|(_, machine)| machine.state == MachineState::Running);
    let entry = |(name, machine): (&NodeName, &Machine)| {
        Some(HostEntry {
            aliases: vec![name.to_string(), format!("{name}.{lab}")],
            address: machine.ssh?,
            user: USER.to_owned(),
        })
    };
    running.filter_map(entry).collect()
}
