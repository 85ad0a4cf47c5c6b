//! `lab status -o json`, read as any other program would.

use std::net::Ipv4Addr;

use lab::model::{Answer, NodeHealth};
use serde::Deserialize;

use super::Run;

#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    pub subnet: Option<String>,
    pub nodes: Vec<NodeStatus>,
    pub etcd: EtcdStatus,
}

#[derive(Debug, Clone, Deserialize)]
pub struct NodeStatus {
    pub node: String,
    pub state: String,
    pub address: Ipv4Addr,
    pub ssh: Option<String>,
    pub health: Answer<NodeHealth>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct EtcdStatus {
    pub members: Vec<String>,
    pub leader: Option<String>,
    pub has_quorum: bool,
    pub cure: Option<String>,
}

impl Status {
    #[track_caller]
    pub fn of(run: &Run) -> Self {
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
    }

    pub fn names(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| node.node.as_str()).collect()
    }

    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        self.nodes.iter().map(|node| node.address).collect()
    }

    #[track_caller]
    pub fn node(&self, name: &str) -> &NodeStatus {
        self.nodes
            .iter()
            .find(|node| node.node == name)
            .unwrap_or_else(|| panic!("there is no {name}: {self:?}"))
    }
}

impl NodeStatus {
    #[track_caller]
    pub fn health(&self) -> &NodeHealth {
        match &self.health {
            Answer::Up(health) => health,
            Answer::Down(why) => panic!("{} is down: {why}", self.node),
        }
    }
}
