//! What `up` has to do: a function from what is wanted and what was seen to a list of tasks.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::model::{EtcdJoin, EtcdRole, Node, NodeHealth, NodeName, Subnet, Topology};
use crate::provider::{Limits, MachineState, Seen};

/// The lab as it is to be.
pub struct Wanted {
    pub topology: Topology,
    /// Who was a member of etcd when the lab was last complete.
    pub members_before: Vec<NodeName>,
    pub limits: Limits,
    /// The same of nodes that are no members of etcd.
    pub gateway_limits: Limits,
    /// The build of `labd` that nodes are to run.
    pub labd_build: String,
}

impl Wanted {
    /// Returns what a node may use; one that is to leave is not limited any more.
    pub(super) fn limits_of(&self, name: &NodeName) -> Limits {
        let is_member = self.topology.node(name).is_none_or(Node::is_member);
        if is_member { self.limits } else { self.gateway_limits }
    }
}

/// One thing to do, with the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Task {
    #[serde(flatten)]
    pub action: Action,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    MakeNetwork {
        subnet: Subnet,
    },
    /// Makes and boots a node.
    Create {
        node: NodeName,
    },
    /// Removes a node's machine, keeps its data, and makes it again.
    Replace {
        node: NodeName,
    },
    Start {
        node: NodeName,
    },
    Thaw {
        node: NodeName,
    },
    /// Changes what a node may use.
    Limit {
        node: NodeName,
    },
    /// Removes a member that lost its data from etcd and adds it again, empty.
    RejoinEtcd {
        node: NodeName,
    },
    LeaveEtcd {
        node: NodeName,
    },
    /// Removes a node and its data.
    Remove {
        node: NodeName,
    },
    /// Tells a running node how the lab looks now.
    Configure {
        node: NodeName,
    },
    UpgradeLabd {
        node: NodeName,
    },
    /// Waits until a running node serves again.
    Await {
        node: NodeName,
    },
    MakeImage {
        image: String,
    },
    /// Brings images to a running node.
    LoadImages {
        node: NodeName,
    },
    /// Has the units of the lab's stacks run, and no units of stacks that it had.
    StartUnits {
        stack: String,
    },
}

impl Action {
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::MakeNetwork { .. } | Self::MakeImage { .. } | Self::StartUnits { .. } => None,
            Self::Create { node }
            | Self::Replace { node }
            | Self::Start { node }
            | Self::Thaw { node }
            | Self::Limit { node }
            | Self::RejoinEtcd { node }
            | Self::LeaveEtcd { node }
            | Self::Remove { node }
            | Self::Configure { node }
            | Self::UpgradeLabd { node }
            | Self::Await { node }
            | Self::LoadImages { node } => Some(node),
        }
    }

    fn verb(&self) -> &'static str {
        match self {
            Self::MakeNetwork { .. } => "make the network",
            Self::Create { .. } => "make",
            Self::Replace { .. } => "make again",
            Self::Start { .. } => "start",
            Self::Thaw { .. } => "thaw",
            Self::Limit { .. } => "limit",
            Self::RejoinEtcd { .. } => "join etcd again",
            Self::LeaveEtcd { .. } => "leave etcd",
            Self::Remove { .. } => "remove",
            Self::Configure { .. } => "configure",
            Self::UpgradeLabd { .. } => "upgrade labd",
            Self::Await { .. } => "wait for",
            Self::MakeImage { .. } => "make the image",
            Self::LoadImages { .. } => "load images on",
            Self::StartUnits { .. } => "start the units of",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::MakeNetwork { subnet } => write!(f, "make the network {subnet}")?,
            Action::MakeImage { image } => write!(f, "make the image {image}")?,
            Action::StartUnits { stack } if stack.is_empty() => {
                f.write_str("stop the units of former stacks")?;
            }
            Action::StartUnits { stack } => {
                let plural = if stack.contains(',') { "s" } else { "" };
                write!(f, "start the units of the stack{plural} {stack}")?;
            }
            action => {
                write!(f, "{:<16}", action.verb())?;
                action.node().map_or(Ok(()), |node| write!(f, " {node}"))?;
            }
        }
        write!(f, "  ({})", self.why)
    }
}

/// What running nodes said of themselves; a node that said nothing has an entry with the reason.
pub type Healths = BTreeMap<NodeName, Result<NodeHealth, String>>;

/// Returns the tasks in the order in which they have to be done.
pub fn plan(wanted: &Wanted, seen: &Seen, healths: &Healths) -> Vec<Task> {
    let leaving = leaving_members(wanted);
    let mut tasks = Vec::new();
    if seen.subnet.is_none() {
        tasks.push(task(Action::MakeNetwork { subnet: wanted.topology.subnet }, "it does not exist"));
    }
    for node in &wanted.topology.nodes {
        tasks.extend(bring_up(wanted, seen, &node.name));
    }
    // A member that leaves has to answer, unless the others are enough to vote it out.
    for (node, _) in leaving.iter().filter(|(node, _)| wanted.topology.node(node).is_none()) {
        tasks.extend(wake(seen, node, "its etcd member has to leave the cluster first"));
    }
    for (node, why) in &leaving {
        tasks.push(task(Action::LeaveEtcd { node: node.clone() }, *why));
    }
    for node in surplus(wanted, seen) {
        let count = wanted.topology.nodes.len();
        let plural = if count == 1 { "" } else { "s" };
        tasks.push(task(Action::Remove { node }, format!("the lab is to have {count} node{plural}")));
    }
    for node in &wanted.topology.nodes {
        tasks.extend(settle(wanted, healths, &node.name));
    }
    tasks
}

/// Returns the topology with every member that lost its data marked as one that joins again.
pub fn with_rejoins(mut topology: Topology, seen: &Seen) -> Topology {
    let kept_data = topology.members().any(|node| seen.data.contains(&node.name));
    for node in &mut topology.nodes {
        if kept_data && lost_its_data(node.is_member(), seen, &node.name) {
            node.etcd = EtcdRole::Member { join: EtcdJoin::Existing };
        }
    }
    topology
}

fn lost_its_data(is_member: bool, seen: &Seen, node: &NodeName) -> bool {
    let is_blank = |state| matches!(state, MachineState::Created | MachineState::Broken);
    let machine = seen.machines.get(node);
    is_member && !seen.data.contains(node) && machine.is_none_or(|machine| is_blank(machine.state))
}

fn task(action: Action, why: impl Into<String>) -> Task {
    Task { action, why: why.into() }
}

fn bring_up(wanted: &Wanted, seen: &Seen, name: &NodeName) -> Vec<Task> {
    let node = || name.clone();
    let mut tasks: Vec<Task> = rejoin(wanted, seen, name).into_iter().collect();
    let Some(machine) = seen.machines.get(name) else {
        let why = if seen.data.contains(name) {
            "its machine is gone, its data is there"
        } else {
            "it does not exist"
        };
        tasks.push(task(Action::Create { node: node() }, why));
        return tasks;
    };
    let broken = match machine.state {
        MachineState::Broken => Some("its machine is broken"),
        _ if seen.subnet.is_none() || !machine.is_on_network => Some("the network that it was on is gone"),
        _ => None,
    };
    if let Some(why) = broken {
        tasks.push(task(Action::Replace { node: node() }, why));
        return tasks;
    }
    if machine.limits != wanted.limits_of(name) {
        tasks.push(task(Action::Limit { node: node() }, "lab.toml or a flag says so"));
    }
    tasks.extend(wake(seen, name, ""));
    tasks
}

/// Returns what lets a member come back that has nothing left of what it knew.
fn rejoin(wanted: &Wanted, seen: &Seen, name: &NodeName) -> Option<Task> {
    let member = wanted.topology.node(name).map(|node| &node.etcd);
    let rejoins = matches!(member, Some(EtcdRole::Member { join: EtcdJoin::Existing }))
        && lost_its_data(true, seen, name);
    rejoins.then(|| task(Action::RejoinEtcd { node: name.clone() }, "its data is gone"))
}

/// Returns what gets an existing machine to run.
fn wake(seen: &Seen, name: &NodeName, because: &str) -> Option<Task> {
    let node = name.clone();
    let (action, state) = match seen.machines.get(name)?.state {
        MachineState::Running | MachineState::Broken | MachineState::Missing => return None,
        MachineState::Created => (Action::Start { node }, "its machine is there and no node yet"),
        MachineState::Stopped => (Action::Start { node }, "it is stopped"),
        MachineState::Paused => (Action::Thaw { node }, "it is paused"),
    };
    Some(task(action, if because.is_empty() { state } else { because }))
}

/// Returns what a node that runs already still lacks.
fn settle(wanted: &Wanted, healths: &Healths, name: &NodeName) -> Vec<Task> {
    let node = || name.clone();
    let health = match healths.get(name) {
        None => return Vec::new(),
        Some(Err(why)) => return vec![task(Action::Await { node: node() }, why.clone())],
        Some(Ok(health)) => health,
    };
    let mut tasks = Vec::new();
    if health.labd_build != wanted.labd_build {
        tasks.push(task(Action::UpgradeLabd { node: node() }, "another build of labd runs there"));
    }
    let config = wanted.topology.node(name).map(|node| wanted.topology.config(node).fingerprint());
    if config.is_some_and(|config| config != health.config) {
        tasks.push(task(Action::Configure { node: node() }, "the lab looks different now"));
    }
    if let Some(trouble) = health.trouble() {
        tasks.push(task(Action::Await { node: node() }, trouble));
    }
    tasks
}

/// Returns the nodes that exist and are not wanted, the last first.
fn surplus(wanted: &Wanted, seen: &Seen) -> Vec<NodeName> {
    let exist = seen.machines.keys().chain(&seen.data);
    let mut nodes: Vec<NodeName> =
        exist.filter(|node| wanted.topology.node(node).is_none()).cloned().collect();
    nodes.sort();
    nodes.dedup();
    nodes.reverse();
    nodes
}

/// Returns the members that are to be none any more, the last first.
fn leaving_members(wanted: &Wanted) -> Vec<(NodeName, &'static str)> {
    let leaves = |name: &NodeName| match wanted.topology.node(name) {
        None => Some((name.clone(), "its node is to be removed")),
        Some(node) if !node.is_member() => Some((name.clone(), "an even number of members is no safer")),
        Some(_) => None,
    };
    wanted.members_before.iter().rev().filter_map(leaves).collect()
}

#[cfg(test)]
mod tests;
