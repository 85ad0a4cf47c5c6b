//! `lab status`: what there is of a lab and how it is.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use futures_util::future::join_all;
use serde::Serialize;

use crate::model::{Answer, EtcdHealth, LabName, Node, NodeHealth, NodeName, Subnet};
use crate::provider::{Machine, MachineState, Provider, Seen};
use crate::ssh::Target;

use super::keys::Keys;
use super::link::{Link, USER};
use super::{Error, Lab};

#[derive(Debug, Clone, Serialize)]
pub struct Status {
    pub lab: LabName,
    pub provider: &'static str,
    pub subnet: Option<Subnet>,
    pub nodes: Vec<NodeStatus>,
    pub etcd: EtcdStatus,
}

#[derive(Debug, Clone, Serialize)]
pub struct NodeStatus {
    pub node: NodeName,
    pub state: MachineState,
    pub address: Ipv4Addr,
    pub ssh: Option<SocketAddr>,
    /// What the node says of itself, or why it says nothing.
    pub health: Answer<NodeHealth>,
}

/// The cluster, seen from all nodes together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EtcdStatus {
    pub members: Vec<String>,
    pub leader: Option<NodeName>,
    pub has_quorum: bool,
    /// How many more members may fail.
    pub tolerates: usize,
    /// What to do where there is no quorum.
    pub cure: Option<String>,
}

impl NodeStatus {
    /// Returns what is wrong with the node, if anything is.
    pub fn trouble(&self) -> Option<String> {
        match (&self.state, &self.health) {
            (MachineState::Running, Answer::Up(health)) => health.trouble(),
            (MachineState::Running, Answer::Down(why)) => Some(why.clone()),
            (MachineState::Created, _) => Some("never started".to_owned()),
            (MachineState::Paused, _) => Some("paused".to_owned()),
            (MachineState::Stopped, _) => Some("stopped".to_owned()),
            (MachineState::Broken, _) => Some("broken".to_owned()),
            (MachineState::Missing, _) => Some("missing".to_owned()),
        }
    }
}

impl Status {
    pub fn is_healthy(&self) -> bool {
        self.etcd.has_quorum && self.nodes.iter().all(|node| node.trouble().is_none())
    }
}

/// Asks the provider and every node that runs.
pub async fn status<P: Provider>(lab: &Lab<'_, P>) -> Result<Status, Error> {
    let seen = lab.observe_existing().await?;
    let keys = Keys::load(&lab.files)?;
    let asked = seen.machines.iter().map(async |(node, machine)| NodeStatus {
        node: node.clone(),
        state: machine.state,
        address: machine.address,
        ssh: machine.ssh,
        health: ask(node, machine, keys.as_ref()).await,
    });
    let mut nodes = join_all(asked).await;
    nodes.extend(missing(lab, &seen)?);
    nodes.sort_by(|a, b| a.node.cmp(&b.node));
    let etcd = etcd(&nodes);
    let lab_name = lab.settings.lab.clone();
    Ok(Status { lab: lab_name, provider: lab.provider.name(), subnet: seen.subnet, nodes, etcd })
}

/// Returns the nodes that the lab was last known to have and that are gone.
fn missing<P: Provider>(lab: &Lab<'_, P>, seen: &Seen) -> Result<Vec<NodeStatus>, Error> {
    let known = lab.files.load()?.map(|state| state.topology.nodes).unwrap_or_default();
    let gone = known.into_iter().filter(|node| !seen.machines.contains_key(&node.name));
    let status = |node: Node| NodeStatus {
        node: node.name,
        state: MachineState::Missing,
        address: node.address,
        ssh: None,
        health: Answer::Down("it is gone".to_owned()),
    };
    Ok(gone.map(status).collect())
}

async fn ask(node: &NodeName, machine: &Machine, keys: Option<&Keys>) -> Answer<NodeHealth> {
    if machine.state != MachineState::Running {
        return Answer::Down("it does not run".to_owned());
    }
    let Some(keys) = keys else { return Answer::Down("the lab's keys are gone".to_owned()) };
    let Some(address) = machine.ssh else { return Answer::Down("its ssh port is not published".to_owned()) };
    let target = Target { node: node.clone(), address, user: USER.to_owned() };
    let asking = async { Link::open(&target, &keys.identity()?).await?.health().await };
    asking.await.map_or_else(|error: Error| Answer::Down(error.to_string()), Answer::Up)
}

fn etcd(nodes: &[NodeStatus]) -> EtcdStatus {
    let told = |node: &NodeStatus| Some(node.health.up()?.etcd.up()?.clone());
    let answers: Vec<(NodeName, EtcdHealth)> =
        nodes.iter().filter_map(|node| Some((node.node.clone(), told(node)?))).collect();
    let members: BTreeSet<String> = answers.iter().flat_map(|(_, etcd)| etcd.members.clone()).collect();
    let serving = answers.iter().filter(|(_, etcd)| etcd.is_member).count();
    let quorum = members.len() / 2 + 1;
    let has_quorum = !answers.is_empty() && serving >= quorum;
    EtcdStatus {
        leader: answers.iter().find(|(_, etcd)| etcd.is_leader).map(|(node, _)| node.clone()),
        has_quorum,
        tolerates: if has_quorum { serving - quorum } else { 0 },
        cure: (!has_quorum).then(|| cure(nodes)),
        members: members.into_iter().collect(),
    }
}

fn cure(nodes: &[NodeStatus]) -> String {
    let down: Vec<&str> = nodes
        .iter()
        .filter(|node| node.state != MachineState::Running)
        .map(|node| node.node.as_str())
        .collect();
    if !down.is_empty() {
        return format!("etcd has no quorum: `lab up` starts {}", down.join(", "));
    }
    if nodes.iter().all(|node| node.health.up().is_none()) {
        return "no node can be asked: `lab up` puts right what it can".to_owned();
    }
    "etcd has no quorum although all nodes run: `lab logs NODE -u lab-etcd` tells why".to_owned()
}
