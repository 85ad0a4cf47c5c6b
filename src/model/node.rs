//! What a node is told about itself and its lab.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fleet::FleetConfig;
use super::name::{LabName, NodeName};
use super::role::Duty;

/// A node's part in the lab's etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum EtcdRole {
    /// Keeps a copy of the data.
    Member { join: EtcdJoin },
    /// Passes connections to 127.0.0.1:2379 on to the members.
    Gateway,
}

/// How a member without data comes to its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EtcdJoin {
    /// All members start together and make the cluster.
    New,
    /// The cluster runs and has been told of this member.
    Existing,
}

/// Another node, as each node knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub name: NodeName,
    pub address: Ipv4Addr,
    pub is_etcd_member: bool,
}

/// All that a node has to know, kept at `/etc/lab/node.json`. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfig {
    pub lab: LabName,
    pub lab_id: String,
    pub node: NodeName,
    pub address: Ipv4Addr,
    pub machine_id: String,
    pub etcd: EtcdRole,
    /// Every node of the lab, this one included, in order.
    pub nodes: Vec<Peer>,
    /// `None` where labd runs no units.
    #[serde(default)]
    pub fleet: Option<FleetConfig>,
    /// Twelve hexadecimal digits: the network interface that the node gives its address to by itself. `None` where
    /// it is born with the address. Absent it must leave no trace, or all fingerprints would change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// What the lab's stacks have nodes do, and which of them do it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duties: Vec<Duty>,
    /// What stacks tell their units beside that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

/// What a node is born with: its configuration and the lab's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    pub config: NodeConfig,
    /// The one line of `authorized_keys`.
    pub authorized_key: String,
    /// The private host key, the same for all nodes of the lab.
    pub host_key: String,
}

impl NodeConfig {
    pub const PATH: &str = "/etc/lab/node.json";

    /// Returns a short name for this exact configuration.
    pub fn fingerprint(&self) -> String {
        let json = serde_json::to_vec(self).expect("a configuration is plain data");
        hex(&Sha256::digest(json)[..8])
    }

    fn members(&self) -> impl Iterator<Item = &Peer> {
        self.nodes.iter().filter(|peer| peer.is_etcd_member)
    }

    /// Returns the lines that let every name resolve, also that of a node that is down.
    pub fn hosts(&self) -> String {
        self.nodes.iter().fold(String::new(), |mut lines, peer| {
            writeln!(lines, "{}\t{}", peer.address, peer.name).expect("a string takes all");
            lines
        })
    }

    /// Returns `/etc/lab/env`, from which units take what must not be written into them.
    pub fn env(&self) -> String {
        self.variables().iter().map(|(name, value)| format!("{name}={value}\n")).collect()
    }

    /// Returns what stands in `/etc/lab/env`, in its order.
    pub fn variables(&self) -> Vec<(String, String)> {
        let list = |peers: &mut dyn Iterator<Item = &Peer>, show: &dyn Fn(&Peer) -> String| {
            peers.map(show).collect::<Vec<_>>().join(",")
        };
        let members: Vec<&Peer> = self.members().collect();
        let lines = [
            ("LAB_NAME", self.lab.to_string()),
            ("LAB_NODE", self.node.to_string()),
            ("LAB_ADDRESS", self.address.to_string()),
            ("LAB_MACHINE_ID", self.machine_id.clone()),
            ("LAB_NODES", list(&mut self.nodes.iter(), &|peer| peer.name.to_string())),
            ("LAB_ADDRESSES", list(&mut self.nodes.iter(), &|peer| peer.address.to_string())),
            (
                "LAB_ETCD_ENDPOINTS",
                list(&mut self.members(), &|peer| format!("http://{}:2379", peer.address)),
            ),
            ("LAB_ETCD_HOSTS", list(&mut self.members(), &|peer| format!("{}:2379", peer.address))),
            ("LAB_ETCD_QUORUM", (members.len() / 2 + 1).to_string()),
            ("ETCDCTL_API", "3".to_owned()),
        ];
        let lines = lines.map(|(name, value)| (name.to_owned(), value));
        let duties = self.duties.iter().flat_map(|duty| duty.variables(&self.node));
        let others = self.variables.iter().map(|(name, value)| (name.clone(), value.clone()));
        lines.into_iter().chain(duties).chain(others).collect()
    }

    /// Returns the arguments with which etcd runs on this node.
    pub fn etcd_args(&self) -> Vec<String> {
        match self.etcd {
            EtcdRole::Member { join } => self.member_args(join),
            EtcdRole::Gateway => {
                let endpoints: Vec<String> =
                    self.members().map(|peer| format!("{}:2379", peer.address)).collect();
                ["gateway", "start", "--listen-addr=127.0.0.1:2379", "--retry-delay=500ms"]
                    .into_iter()
                    .map(str::to_owned)
                    .chain([format!("--endpoints={}", endpoints.join(","))])
                    .collect()
            }
        }
    }

    fn member_args(&self, join: EtcdJoin) -> Vec<String> {
        let address = self.address;
        let cluster: Vec<String> =
            self.members().map(|peer| format!("{}=http://{}:2380", peer.name, peer.address)).collect();
        let state = match join {
            EtcdJoin::New => "new",
            EtcdJoin::Existing => "existing",
        };
        vec![
            format!("--name={}", self.node),
            "--data-dir=/var/lib/etcd/data".to_owned(),
            format!("--listen-peer-urls=http://{address}:2380"),
            format!("--initial-advertise-peer-urls=http://{address}:2380"),
            format!("--listen-client-urls=http://{address}:2379,http://127.0.0.1:2379"),
            format!("--advertise-client-urls=http://{address}:2379"),
            format!("--initial-cluster={}", cluster.join(",")),
            format!("--initial-cluster-state={state}"),
            format!("--initial-cluster-token={}", self.lab_id),
            // Without it a node that returns from a partition unseats the leader.
            "--pre-vote=true".to_owned(),
            "--logger=zap".to_owned(),
            "--log-level=warn".to_owned(),
        ]
    }
}

/// Returns a short name for this very build of a program.
pub fn build_id(program: &[u8]) -> String {
    hex(&Sha256::digest(program)[..6])
}

/// Returns bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
