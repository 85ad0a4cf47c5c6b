//! The lab as it should be: which nodes, at which addresses, in which roles.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fleet::{FleetSettings, Metadata};
use super::name::{BadName, LabName, NodeName};
use super::node::{EtcdJoin, EtcdRole, NodeConfig, Peer, hex};
use super::role::{Candidate, Duty, Member, NoRoom, Role, Roles};
use super::subnet::Subnet;

/// More nodes than any laptop boots; a /24 has room for them.
pub const MAX_NODES: u16 = 200;

/// Returns how many etcd members a lab of `nodes` begins with: 1, 3 or 5.
pub fn member_count(nodes: u16) -> u16 {
    match nodes {
        0..=2 => 1,
        3..=4 => 3,
        _ => 5,
    }
}

/// Returns the machine id of a node: the same whenever the node is made again in the same lab.
pub fn machine_id(lab_id: &str, node: &NodeName) -> String {
    hex(&Sha256::digest(format!("{lab_id}/{node}"))[..16])
}

/// Returns the hardware address of a node's interface in the lab's network, in VirtualBox's own range: the only
/// one that it is sure to take.
pub fn node_mac(lab_id: &str, node: &NodeName) -> String {
    format!("080027{}", hex(&Sha256::digest(format!("{lab_id}/{node}/mac"))[..3]))
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub name: NodeName,
    pub index: u16,
    pub address: Ipv4Addr,
    pub etcd: EtcdRole,
}

/// A lab with all its nodes, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    pub lab: LabName,
    pub id: String,
    pub subnet: Subnet,
    pub nodes: Vec<Node>,
    #[serde(default)]
    pub fleet: FleetSettings,
    /// Whether nodes have an interface of their own in the lab's network and have to give it their address.
    #[serde(default)]
    pub has_own_nics: bool,
    /// What the lab's stacks have its nodes do.
    #[serde(default)]
    pub stacks: Roles,
}

impl Topology {
    /// Lays a new lab out: the first nodes keep etcd.
    pub fn fresh(lab: LabName, id: String, subnet: Subnet) -> Self {
        let (nodes, fleet, stacks) = (Vec::new(), FleetSettings::default(), Roles::default());
        Self { lab, id, subnet, nodes, fleet, has_own_nics: false, stacks }
    }

    /// Returns this lab with `count` nodes. Members of an etcd that exists stay members; nodes that
    /// come later are gateways to it. When nodes leave, the number of members goes down to 1, 3 or 5.
    pub fn resized(&self, prefix: &NodeName, count: u16) -> Result<Self, BadName> {
        let mut nodes: Vec<Node> = self.nodes.iter().filter(|node| node.index <= count).cloned().collect();
        let is_new = self.nodes.is_empty();
        for index in 1..=count {
            if nodes.iter().any(|node| node.index == index) {
                continue;
            }
            let etcd = if is_new && index <= member_count(count) {
                EtcdRole::Member { join: EtcdJoin::New }
            } else {
                EtcdRole::Gateway
            };
            let name = NodeName::numbered(prefix, index)?;
            nodes.push(Node { name, index, address: self.subnet.address(index), etcd });
        }
        nodes.sort_by_key(|node| node.index);
        demote_surplus_members(&mut nodes, member_count(count));
        Ok(Self { nodes, ..self.clone() })
    }

    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    pub fn members(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_member())
    }

    /// Returns what `node` has to know.
    pub fn config(&self, node: &Node) -> NodeConfig {
        let peers = self.nodes.iter().map(|node| Peer {
            name: node.name.clone(),
            address: node.address,
            is_etcd_member: node.is_member(),
        });
        let duties = self.duties().unwrap_or_default();
        NodeConfig {
            lab: self.lab.clone(),
            lab_id: self.id.clone(),
            node: node.name.clone(),
            address: node.address,
            machine_id: machine_id(&self.id, &node.name),
            etcd: node.etcd.clone(),
            nodes: peers.collect(),
            fleet: self.fleet.config(&node.name, self.metadata(node, &duties)),
            mac: self.has_own_nics.then(|| node_mac(&self.id, &node.name)),
            variables: self.stacks.variables.clone(),
            duties,
        }
    }

    /// Returns which nodes take part in which role.
    pub fn duties(&self) -> Result<Vec<Duty>, NoRoom> {
        let candidate = |node: &Node| {
            let (name, number, address) = (node.name.clone(), node.index, node.address);
            let metadata = self.fleet.metadata_of(&name, self.metadata(node, &[]));
            Candidate { member: Member { node: name, number, address }, metadata }
        };
        let nodes: Vec<Candidate> = self.nodes.iter().map(candidate).collect();
        let duty = |role: &Role| {
            let (name, checks) = (role.name.clone(), role.checks.clone());
            Ok(Duty { role: name, members: role.members(&nodes)?, port: role.port, checks })
        };
        self.stacks.roles.iter().map(duty).collect()
    }

    /// Returns what a machine is told of itself, as units see it.
    pub fn metadata_of(&self, node: &Node) -> Metadata {
        let duties = self.duties().unwrap_or_default();
        self.fleet.metadata_of(&node.name, self.metadata(node, &duties))
    }

    /// Returns what units can ask of any node without lab.toml's having said so.
    fn metadata(&self, node: &Node, duties: &[Duty]) -> Metadata {
        let etcd = if node.is_member() { "member" } else { "gateway" };
        let own = [("hostname", node.name.as_str()), ("lab", self.lab.as_str()), ("etcd", etcd)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let takes_part = |(_, duty): &(&Role, &Duty)| duty.number_of(&node.name).is_some();
        let of_roles = self.stacks.roles.iter().zip(duties).filter(takes_part);
        of_roles.flat_map(|(role, _)| role.metadata.clone()).chain(own).collect()
    }
}

impl Node {
    pub fn is_member(&self) -> bool {
        matches!(self.etcd, EtcdRole::Member { .. })
    }
}

/// An even number of members is worse than one less: it needs the same number of votes from more nodes.
fn demote_surplus_members(nodes: &mut [Node], most: u16) {
    let members = nodes.iter().filter(|node| node.is_member()).count();
    let keep = match members {
        0..=2 => 1,
        3..=4 => 3,
        _ => 5,
    }
    .min(usize::from(most));
    let mut seen = 0;
    for node in nodes.iter_mut().filter(|node| node.is_member()) {
        seen += 1;
        if seen > keep {
            node.etcd = EtcdRole::Gateway;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix() -> NodeName {
        NodeName::parse("core").unwrap()
    }

    fn fresh() -> Topology {
        let lab = LabName::parse("web").unwrap();
        Topology::fresh(lab, "0011".to_owned(), "10.77.3.0/24".parse().unwrap())
    }

    /// Resizes through all counts and returns the members' numbers after the last.
    fn members_after(counts: &[u16]) -> Vec<u16> {
        let end = counts.iter().fold(fresh(), |lab, count| lab.resized(&prefix(), *count).unwrap());
        assert_eq!(end.nodes.len(), usize::from(*counts.last().unwrap()));
        end.members().map(|node| node.index).collect()
    }

    #[test]
    fn members_follow_the_first_count_and_shrink_to_odd_numbers() {
        for (counts, want) in [
            (&[1][..], &[1][..]),
            (&[2], &[1]),
            (&[3], &[1, 2, 3]),
            (&[4], &[1, 2, 3]),
            (&[9], &[1, 2, 3, 4, 5]),
            (&[3, 5], &[1, 2, 3]),
            (&[3, 5, 2], &[1]),
            (&[5, 4], &[1, 2, 3]),
            (&[5, 3], &[1, 2, 3]),
            (&[3, 2], &[1]),
            (&[3, 2, 3], &[1]),
            (&[1, 3], &[1]),
            (&[3, 3], &[1, 2, 3]),
        ] {
            assert_eq!(members_after(counts), want, "{counts:?}");
        }
    }

    #[test]
    fn names_addresses_and_machine_ids_do_not_depend_on_the_count() {
        let three = fresh().resized(&prefix(), 3).unwrap();
        let five = three.resized(&prefix(), 5).unwrap();
        assert_eq!(three.nodes[..], five.nodes[..3]);
        assert_eq!(five.nodes[4].address.to_string(), "10.77.3.15");
        let ids: std::collections::BTreeSet<String> =
            five.nodes.iter().map(|node| five.config(node).machine_id).collect();
        assert_eq!(ids.len(), 5);
        assert!(ids.iter().all(|id| id.len() == 32));
    }

    #[test]
    fn the_highest_node_has_an_address_in_the_network() {
        let lab = fresh().resized(&prefix(), MAX_NODES).unwrap();
        let last = lab.nodes.last().unwrap();
        assert!(lab.subnet.contains(last.address));
        assert_eq!(last.name.as_str(), "core-200");
    }

    #[test]
    fn a_node_is_told_all_that_units_need() {
        let lab = fresh().resized(&prefix(), 4).unwrap();
        let config = lab.config(&lab.nodes[3]);
        insta::assert_snapshot!(config.env());
        insta::assert_snapshot!(config.hosts());
        insta::assert_snapshot!(config.etcd_args().join("\n"));
        insta::assert_snapshot!(lab.config(&lab.nodes[0]).etcd_args().join("\n"));
    }

    #[test]
    fn a_fingerprint_changes_with_the_configuration_only() {
        let three = fresh().resized(&prefix(), 3).unwrap();
        let four = three.resized(&prefix(), 4).unwrap();
        let print = |lab: &Topology| lab.config(&lab.nodes[0]).fingerprint();
        assert_eq!(print(&three), print(&three.resized(&prefix(), 3).unwrap()));
        assert_ne!(print(&three), print(&four));
    }

    #[test]
    fn only_nodes_with_a_nic_of_their_own_are_told_of_it() {
        let lab = fresh().resized(&prefix(), 2).unwrap();
        let json = |lab: &Topology| serde_json::to_value(lab.config(&lab.nodes[0])).unwrap();
        assert_eq!(json(&lab).get("mac"), None);
        let lab = Topology { has_own_nics: true, ..lab };
        let mac = node_mac(&lab.id, &lab.nodes[0].name);
        assert_eq!(json(&lab)["mac"], mac.as_str());
        assert!(mac.starts_with("080027") && mac.len() == 12, "{mac}");
        assert_ne!(mac, node_mac(&lab.id, &lab.nodes[1].name));
        assert_ne!(mac, node_mac("0012", &lab.nodes[0].name));
    }
}
