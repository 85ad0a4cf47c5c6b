//! Reads labs out of what is known of their machines and how these were found.

use std::net::{Ipv4Addr, SocketAddr};

use camino::Utf8Path;
use futures_util::future::join_all;

use super::super::{Error, LabSummary, Limits, Machine, MachineState, Seen};
use super::hypervisor::Hypervisor;
use super::{Index, NAME};
use crate::model::{LabName, NodeName, Subnet};
use crate::vagrant::libvirt::Libvirt;
use crate::vagrant::{Folder, Kind, NodeEntry, NodesFile};

/// A machine that is to be, and how it was found.
pub(super) struct Found<'a> {
    pub(super) entry: &'a NodeEntry,
    /// By what Vagrant knows it.
    pub(super) id: Option<String>,
    pub(super) state: Option<MachineState>,
    pub(super) ssh: Option<SocketAddr>,
}

pub(super) fn nothing(taken: Vec<(Subnet, String)>) -> Seen {
    Seen { taken, ..Seen::default() }
}

/// Returns machines of which nothing is known but that they are there.
pub(super) fn leftovers(project: &Utf8Path, nodes: Vec<NodeName>, taken: Vec<(Subnet, String)>) -> Seen {
    let machine = Machine {
        state: MachineState::Broken,
        address: Ipv4Addr::UNSPECIFIED,
        ssh: None,
        is_etcd_member: false,
        limits: Limits::default(),
        is_on_network: false,
    };
    let machines = nodes.into_iter().map(|node| (node, machine.clone())).collect();
    Seen { project: Some(project.to_string()), machines, taken, ..Seen::default() }
}

/// Returns what exists of one lab of virtual machines.
pub(super) fn seen(
    known: &NodesFile,
    project: &Utf8Path,
    found: Vec<Found<'_>>,
    taken: Vec<(Subnet, String)>,
) -> Seen {
    let mut seen = Seen {
        lab_id: Some(known.id.clone()),
        project: Some(project.to_string()),
        subnet: Some(known.subnet),
        taken: taken.into_iter().filter(|(subnet, _)| *subnet != known.subnet).collect(),
        ..Seen::default()
    };
    for found in found {
        let Some(state) = state(&found) else { continue };
        // All that a node kept is on the disk of its machine.
        if !matches!(state, MachineState::Created | MachineState::Broken) {
            seen.data.insert(found.entry.name.clone());
        }
        seen.machines.insert(found.entry.name.clone(), machine(&found, state));
    }
    seen
}

fn state(found: &Found<'_>) -> Option<MachineState> {
    let state = found.state?;
    Some(match &found.id {
        // Its making was cut off before Vagrant knew it.
        None => MachineState::Broken,
        // It boots its box, or has booted it, and was never given a seed.
        Some(id) if !found.entry.is_taken(id) && state != MachineState::Broken => MachineState::Created,
        Some(_) => state,
    })
}

fn machine(found: &Found<'_>, state: MachineState) -> Machine {
    let entry = found.entry;
    Machine {
        state,
        address: entry.address,
        ssh: found.ssh,
        is_etcd_member: entry.is_etcd_member,
        limits: Limits { memory_bytes: entry.memory_limit, cpus: entry.cpu_limit },
        is_on_network: true,
    }
}

/// Lists the labs of virtual machines that are written down. One whose hypervisor does not answer is listed as if
/// nothing of it ran.
pub async fn labs(index: &Index, libvirt_uri: Option<&String>) -> Result<Vec<LabSummary>, Error> {
    let labs = index.labs()?.into_iter().filter_map(|(lab, entry)| {
        let known = Folder::of(&entry.project, &lab).load().ok()??;
        (known.provider != Kind::Docker).then(|| (lab, entry.project.to_string(), known))
    });
    let summaries = labs.map(async |(lab, project, known): (LabName, String, NodesFile)| {
        let hypervisor = match known.provider {
            Kind::Libvirt => Hypervisor::Libvirt(Libvirt::at(libvirt_uri.cloned())),
            Kind::VirtualBox | Kind::Docker => Hypervisor::VirtualBox,
        };
        let states = join_all(known.nodes.iter().map(|node| hypervisor.state(&node.machine))).await;
        let running = states.iter().filter(|state| matches!(state, Ok(Some(MachineState::Running))));
        let (running, nodes) = (running.count(), known.nodes.len());
        LabSummary {
            lab,
            provider: NAME.to_owned(),
            nodes,
            running,
            subnet: Some(known.subnet),
            project: Some(project),
        }
    });
    Ok(join_all(summaries).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vagrant::Login;

    fn entry(taken_as: Option<&str>) -> NodeEntry {
        let name = NodeName::parse("core-01").unwrap();
        NodeEntry {
            machine: "lab-web-core-01".to_owned(),
            name,
            address: [192, 168, 56, 11].into(),
            mac: "080027000001".to_owned(),
            is_etcd_member: true,
            ssh_port: Some(2201),
            cpus: 2,
            memory_mib: 1024,
            memory_limit: Some(1 << 30),
            cpu_limit: None,
            image: None,
            create_args: Vec::new(),
            login: taken_as.map(|id| Login {
                user: "core".to_owned(),
                key: "/k".into(),
                machine: Some(id.to_owned()),
            }),
            serial_log: None,
            ignition: None,
            ignition_file: None,
        }
    }

    #[test]
    fn a_machine_counts_as_a_node_only_with_its_seed() {
        use MachineState::{Broken, Created, Running, Stopped};
        for (taken_as, id, found, want) in [
            (Some("a"), Some("a"), Some(Running), Some(Running)),
            (Some("a"), Some("a"), Some(Stopped), Some(Stopped)),
            (Some("a"), Some("a"), Some(Broken), Some(Broken)),
            (Some("a"), Some("b"), Some(Running), Some(Created)),
            (None, Some("b"), Some(Running), Some(Created)),
            (None, Some("b"), Some(Broken), Some(Broken)),
            (Some("a"), None, Some(Running), Some(Broken)),
            (Some("a"), Some("a"), None, None),
            (None, None, None, None),
        ] {
            let entry = entry(taken_as);
            let found = Found { entry: &entry, id: id.map(str::to_owned), state: found, ssh: None };
            assert_eq!(state(&found), want, "{taken_as:?} {id:?} {:?}", found.state);
        }
    }

    #[test]
    fn what_is_no_node_has_no_data() {
        let known = NodesFile {
            lab: LabName::parse("web").unwrap(),
            id: "0011".to_owned(),
            provider: Kind::VirtualBox,
            subnet: "192.168.56.0/24".parse().unwrap(),
            boot_timeout: 300,
            base: None,
            libvirt: None,
            has_own_network: true,
            nodes: vec![entry(None)],
        };
        let taken = |third: u8| (format!("192.168.{third}.0/24").parse().unwrap(), String::new());
        let look = |login: &NodeEntry| {
            let found = Found {
                entry: login,
                id: Some("a".to_owned()),
                state: Some(MachineState::Running),
                ssh: None,
            };
            seen(&known, "/p".into(), vec![found], vec![taken(56), taken(57)])
        };
        let (new, node) = (look(&entry(None)), look(&entry(Some("a"))));
        assert_eq!((new.machines.len(), new.data.len()), (1, 0));
        assert_eq!((node.machines.len(), node.data.len()), (1, 1));
        assert_eq!(node.taken.len(), 1, "its own network is not in its way");
        assert_eq!(node.subnet, Some(known.subnet));
    }
}
