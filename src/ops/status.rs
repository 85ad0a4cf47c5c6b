//! `lab status`: what there is of a lab and how it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::timeout;

use crate::model::{Answer, EtcdHealth, LabName, Node, NodeHealth, NodeName, Subnet};
use crate::provider::{Machine, MachineState, Provider, Seen};
use crate::ssh::Target;

use super::keys::Keys;
use super::link::{Link, USER};
use super::units::{FleetStatus, Sight, StackStatus, glance, serving};
use super::{Error, Lab};

/// A status is looked at again and again, and units are only a part of it.
const FLEET_LIMIT: Duration = Duration::from_secs(2);
/// Each check may take 2 s.
const STACKS_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Serialize)]
pub struct Status {
    pub lab: LabName,
    pub provider: &'static str,
    pub subnet: Option<Subnet>,
    pub nodes: Vec<NodeStatus>,
    pub etcd: EtcdStatus,
    /// What fleet says, asked on the first node that answers, or why it says nothing.
    pub fleet: Answer<FleetStatus>,
    /// The lab's stacks, or why nothing is known of them.
    pub stacks: Answer<Vec<StackStatus>>,
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
            (MachineState::Created, _) => Some("no node yet; `lab up` makes it one".to_owned()),
            (MachineState::Paused, _) => Some("paused".to_owned()),
            (MachineState::Stopped, _) => Some("stopped".to_owned()),
            (MachineState::Broken, _) => Some("broken".to_owned()),
            (MachineState::Missing, _) => Some("missing".to_owned()),
        }
    }
}

impl Status {
    pub fn is_healthy(&self) -> bool {
        let units_are_well = self.fleet.up().is_none_or(|fleet| fleet.units.are_well());
        let stacks_serve = self.stacks.up().is_none_or(|stacks| stacks.iter().all(StackStatus::serves));
        self.etcd.has_quorum
            && units_are_well
            && stacks_serve
            && self.nodes.iter().all(|node| node.trouble().is_none())
    }
}

/// Asks the provider and every node that runs.
pub async fn status<P: Provider>(lab: &Lab<'_, P>) -> Result<Status, Error> {
    let seen = lab.observe_existing().await?;
    let keys = Keys::load(&lab.files)?;
    let asked = seen.machines.iter().map(async |(node, machine)| {
        let (health, link) = match ask(node, machine, keys.as_ref()).await {
            Ok((health, link)) => (Answer::Up(health), Some(link)),
            Err(why) => (Answer::Down(why), None),
        };
        let (node, state) = (node.clone(), machine.state);
        (NodeStatus { node, state, address: machine.address, ssh: machine.ssh, health }, link)
    });
    let (mut nodes, links): (Vec<NodeStatus>, Vec<Option<Link>>) = join_all(asked).await.into_iter().unzip();
    let links = nodes.iter().zip(links).filter_map(|(node, link)| Some((node.node.clone(), link?))).collect();
    let (fleet, sight) = fleet(&seen, &links).await;
    let stacks = match sight {
        Some(sight) => stacks(lab, sight, &links).await,
        None => Answer::Down("fleet does not answer".to_owned()),
    };
    nodes.extend(missing(lab, &seen)?);
    nodes.sort_by(|a, b| a.node.cmp(&b.node));
    let etcd = etcd(&nodes);
    let lab_name = lab.settings.lab.clone();
    Ok(Status {
        lab: lab_name,
        provider: lab.provider.name(),
        subnet: seen.subnet,
        nodes,
        etcd,
        fleet,
        stacks,
    })
}

/// Asks the units of the lab's stacks how they are.
async fn stacks<P: Provider>(
    lab: &Lab<'_, P>,
    mut sight: Sight,
    links: &BTreeMap<NodeName, Link>,
) -> Answer<Vec<StackStatus>> {
    let topology = lab.files.load().map(|state| state.map(|state| state.topology));
    let (stacks, topology) = match (lab.stacks(), topology) {
        (Err(error), _) => return Answer::Down(whole(&error)),
        (_, Err(error)) => return Answer::Down(whole(&error)),
        (_, Ok(None)) => return Answer::Down("lab.json is gone; `lab up` writes it again".to_owned()),
        (Ok(stacks), Ok(Some(topology))) => (stacks, topology),
    };
    match timeout(STACKS_LIMIT, serving(stacks, &topology, &mut sight, links)).await {
        Ok(stacks) => Answer::Up(stacks),
        Err(_) => Answer::Down(format!("no answer within {} s", STACKS_LIMIT.as_secs())),
    }
}

/// Asks fleet on one node after the other until one answers; nodes of earlier days have none.
async fn fleet(seen: &Seen, links: &BTreeMap<NodeName, Link>) -> (Answer<FleetStatus>, Option<Sight>) {
    let mut why = "no node can be asked".to_owned();
    let asking = async {
        for link in links.values() {
            match glance(link.session(), seen).await {
                Ok(fleet) => return Some(fleet),
                Err(error) => why = whole(&error),
            }
        }
        None
    };
    match timeout(FLEET_LIMIT, asking).await {
        Ok(Some((fleet, sight))) => (Answer::Up(fleet), Some(sight)),
        Ok(None) => (Answer::Down(why), None),
        Err(_) => (Answer::Down(format!("no answer within {} s", FLEET_LIMIT.as_secs())), None),
    }
}

/// Returns an error with what it comes from, on one line.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let texts = std::iter::once(error.to_string()).chain(causes.map(ToString::to_string));
    let mut texts: Vec<String> = texts.collect();
    texts.dedup();
    texts.join(": ")
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

async fn ask(node: &NodeName, machine: &Machine, keys: Option<&Keys>) -> Result<(NodeHealth, Link), String> {
    if machine.state != MachineState::Running {
        return Err("it does not run".to_owned());
    }
    let keys = keys.ok_or_else(|| "the lab's keys are gone".to_owned())?;
    let address = machine.ssh.ok_or_else(|| "its ssh port is not published".to_owned())?;
    let target = Target { node: node.clone(), address, user: USER.to_owned() };
    let asking = async {
        let link = Link::open(&target, &keys.identity()?).await?;
        Ok((link.health().await?, link))
    };
    asking.await.map_err(|error: Error| error.to_string())
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
