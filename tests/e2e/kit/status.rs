//! `lab status -o json`, read as any other program would.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use lab::model::{Answer, NodeHealth};
use serde::Deserialize;

use super::Run;

#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    pub subnet: Option<String>,
    pub nodes: Vec<NodeStatus>,
    pub etcd: EtcdStatus,
    stacks: Answer<Vec<StackStatus>>,
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

#[derive(Debug, Clone, Deserialize)]
pub struct StackStatus {
    stack: String,
    pub units: Vec<UnitStatus>,
    pub endpoints: Vec<EndpointStatus>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct UnitStatus {
    pub unit: String,
    pub node: Option<String>,
    pub serves: bool,
    pub leads: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct EndpointStatus {
    pub endpoint: String,
    pub node: String,
    pub answers: bool,
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

impl Status {
    /// Returns how a stack is, of which something has to be known.
    #[track_caller]
    pub fn stack(&self, name: &str) -> &StackStatus {
        self.find_stack(name).unwrap_or_else(|| panic!("nothing is known of {name}: {:?}", self.stacks))
    }

    pub fn find_stack(&self, name: &str) -> Option<&StackStatus> {
        self.stacks.up()?.iter().find(|stack| stack.stack == name)
    }
}

impl StackStatus {
    /// Names the nodes on which a unit, or an instance of a template, serves.
    pub fn serving(&self, unit: &str) -> BTreeSet<&str> {
        self.of(unit).filter(|one| one.serves).filter_map(|one| one.node.as_deref()).collect()
    }

    /// Names the node of the instance that leads.
    pub fn leader(&self, unit: &str) -> Option<&str> {
        self.of(unit).find(|one| one.leads)?.node.as_deref()
    }

    /// Names the nodes on which an address answers.
    pub fn answering(&self, endpoint: &str) -> BTreeSet<&str> {
        let own = self.endpoints.iter().filter(|one| one.endpoint == endpoint && one.answers);
        own.map(|one| one.node.as_str()).collect()
    }

    fn of(&self, unit: &str) -> impl Iterator<Item = &UnitStatus> {
        self.units.iter().filter(move |one| one.unit.starts_with(unit))
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
