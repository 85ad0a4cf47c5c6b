//! Reads labs out of what an engine lists.

use std::collections::BTreeSet;

use super::{
    ADDRESS, ETCD, ID, LAB, MAKER, MEMBER, NODE, PROJECT, SSH_PORT, VOLUMES, is_of, machine_name,
    network_name,
};
use crate::docker::{Container, ContainerState, Labels, Network, Volume};
use crate::model::{LabName, NodeName, Subnet};
use crate::provider::{LabSummary, Limits, Machine, MachineState, Seen};

/// What an engine lists that bears a lab's label.
pub(super) struct Listing {
    pub(super) containers: Vec<Container>,
    pub(super) volumes: Vec<Volume>,
    pub(super) networks: Vec<Network>,
}

/// Returns what exists of one lab. Networks of others, and `routes` of the host, are taken. What another
/// `maker` made of a lab of this name is not looked at.
pub(super) fn seen(
    lab: &LabName,
    found: &Listing,
    routes: Vec<(Subnet, String)>,
    maker: Option<&str>,
) -> Seen {
    let is_own = |labels: &Labels| is_of(labels, lab) && is_by(labels, maker);
    let ours: Vec<&Container> =
        found.containers.iter().filter(|container| is_own(&container.labels)).collect();
    let (own, others): (Vec<&Network>, Vec<&Network>) =
        found.networks.iter().partition(|network| is_own(&network.labels));
    let subnet = own.first().and_then(|network| network.subnets.first().copied());
    let labelled: Vec<&Labels> = ours
        .iter()
        .map(|container| &container.labels)
        .chain(own.iter().map(|network| &network.labels))
        .collect();
    let label = |name: &str| labelled.iter().find_map(|labels| labels.get(name).cloned());
    let mut taken: Vec<(Subnet, String)> = others
        .iter()
        .flat_map(|network| {
            network.subnets.iter().map(|net| (*net, format!("the Docker network `{}`", network.name)))
        })
        .collect();
    // The bridge of the lab itself shows up as a route of the host.
    taken.extend(routes.into_iter().filter(|(route, _)| Some(*route) != subnet));
    Seen {
        lab_id: label(ID),
        project: label(PROJECT),
        machines: ours.iter().filter_map(|container| machine(lab, container)).collect(),
        data: found
            .volumes
            .iter()
            .filter(|volume| is_own(&volume.labels))
            .filter_map(node_with_data)
            .collect(),
        subnet,
        taken,
    }
}

fn is_by(labels: &Labels, maker: Option<&str>) -> bool {
    labels.get(MAKER).map(String::as_str) == maker
}

fn machine(lab: &LabName, container: &Container) -> Option<(NodeName, Machine)> {
    let label = |name: &str| container.labels.get(name).map(String::as_str);
    let name = NodeName::parse(label(NODE)?).ok()?;
    let network = network_name(lab);
    let machine = Machine {
        state: match container.state {
            // Another name than the one that we would look for: not usable by us.
            _ if container.name != machine_name(lab, &name) => MachineState::Broken,
            ContainerState::Created => MachineState::Created,
            ContainerState::Running => MachineState::Running,
            ContainerState::Paused => MachineState::Paused,
            ContainerState::Stopped => MachineState::Stopped,
            ContainerState::Broken => MachineState::Broken,
        },
        address: label(ADDRESS)?.parse().ok()?,
        ssh: container.ports.iter().find(|(port, _)| *port == SSH_PORT).map(|(_, address)| *address),
        is_etcd_member: label(ETCD) == Some(MEMBER),
        limits: Limits::default(),
        is_on_network: container.addresses.iter().any(|(name, _)| *name == network),
    };
    Some((name, machine))
}

/// Only etcd's volume makes a node one with a past: what dockerd keeps can be made again.
fn node_with_data(volume: &Volume) -> Option<NodeName> {
    let (etcd, _) = VOLUMES[1];
    let node = NodeName::parse(volume.labels.get(NODE)?).ok()?;
    volume.name.ends_with(&format!("{node}-{etcd}")).then_some(node)
}

/// Returns all labs, also those of which only a network or a volume is left.
pub(super) fn summaries(found: &Listing) -> Vec<LabSummary> {
    let containers = found.containers.iter().map(|container| &container.labels);
    let networks = found.networks.iter().map(|network| &network.labels);
    let volumes = found.volumes.iter().map(|volume| &volume.labels);
    let all = containers.chain(networks).chain(volumes);
    let names: BTreeSet<(LabName, Option<&str>)> = all
        .filter_map(|labels| {
            let maker = labels.get(MAKER).map(String::as_str);
            Some((LabName::parse(labels.get(LAB)?).ok()?, maker))
        })
        .collect();
    let labs = names.into_iter().map(|(lab, maker)| (seen(&lab, found, Vec::new(), maker), lab, maker));
    labs.map(|(seen, lab, maker)| LabSummary {
        lab,
        provider: maker.unwrap_or("container").to_owned(),
        nodes: seen.machines.len(),
        running: seen.machines.values().filter(|machine| machine.state == MachineState::Running).count(),
        subnet: seen.subnet,
        project: seen.project,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(lab: &str, node: &str) -> Labels {
        [(LAB, lab), (ID, "0011"), (NODE, node), (ADDRESS, "10.77.0.11"), (PROJECT, "/p")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    fn container(lab: &str, node: &str, state: ContainerState) -> Container {
        Container {
            name: format!("lab-{lab}-{node}"),
            labels: labels(lab, node),
            state,
            addresses: vec![(format!("lab-{lab}"), None)],
            ports: vec![(22, "127.0.0.1:4711".parse().unwrap())],
        }
    }

    fn network(name: &str, labels: Labels, subnet: &str) -> Network {
        Network { name: name.to_owned(), labels, subnets: vec![subnet.parse().unwrap()] }
    }

    fn listing() -> Listing {
        let volume = |name: &str, lab: &str, node: &str| Volume {
            name: name.to_owned(),
            labels: labels(lab, node),
            made: String::new(),
        };
        Listing {
            containers: vec![
                container("web", "core-01", ContainerState::Running),
                container("web", "core-02", ContainerState::Stopped),
                container("shop", "core-01", ContainerState::Running),
            ],
            volumes: vec![
                volume("lab-web-core-01-etcd", "web", "core-01"),
                volume("lab-web-core-02-docker", "web", "core-02"),
                volume("lab-old-core-01-etcd", "old", "core-01"),
            ],
            networks: vec![
                network("lab-web", labels("web", "x"), "10.77.0.0/24"),
                network("lab-shop", labels("shop", "x"), "10.77.1.0/24"),
                network("bridge", Labels::new(), "172.17.0.0/16"),
            ],
        }
    }

    fn name(lab: &str) -> LabName {
        LabName::parse(lab).unwrap()
    }

    #[test]
    fn one_lab_is_told_from_another_and_from_what_is_taken() {
        let route = |net: &str, who: &str| (net.parse().unwrap(), who.to_owned());
        let seen = seen(
            &name("web"),
            &listing(),
            vec![route("10.77.0.0/24", "br"), route("10.9.0.0/16", "tun0")],
            None,
        );
        assert_eq!(seen.machines.len(), 2);
        let first = &seen.machines[&NodeName::parse("core-01").unwrap()];
        assert_eq!(first.state, MachineState::Running);
        assert!(first.is_on_network);
        assert_eq!(seen.data.iter().map(NodeName::as_str).collect::<Vec<_>>(), ["core-01"]);
        assert_eq!(seen.subnet.unwrap().to_string(), "10.77.0.0/24");
        let taken: Vec<String> = seen.taken.iter().map(|(net, _)| net.to_string()).collect();
        assert_eq!(taken, ["10.77.1.0/24", "172.17.0.0/16", "10.9.0.0/16"]);
    }

    #[test]
    fn a_lab_that_is_not_there_is_nothing() {
        assert!(seen(&name("none"), &listing(), Vec::new(), None).is_nothing());
    }

    #[test]
    fn a_machine_under_a_foreign_name_is_broken() {
        let mut found = listing();
        found.containers[0].name = "renamed".to_owned();
        let seen = seen(&name("web"), &found, Vec::new(), None);
        assert_eq!(seen.machines[&NodeName::parse("core-01").unwrap()].state, MachineState::Broken);
    }

    #[test]
    fn every_lab_is_listed_also_one_of_which_only_a_volume_is_left() {
        let labs = summaries(&listing());
        let shown: Vec<String> =
            labs.iter().map(|lab| format!("{} {}/{}", lab.lab, lab.running, lab.nodes)).collect();
        assert_eq!(shown, ["old 0/0", "shop 1/1", "web 1/2"]);
    }
}
