//! `lab up`: makes the lab what it is to be, from whatever state it is in.

mod apply;
mod members;
mod plan;

use std::collections::BTreeMap;

use futures_util::future::join_all;

use crate::config::State;
use crate::fs;
use crate::images::Look;
use crate::model::{
    Bytes, EtcdJoin, EtcdRole, MAX_NODES, NoFreeSubnet, Node, NodeName, Subnet, Topology, build_id,
};
use crate::provider::{self, Limits, Machine, MachineState, Provider, Seen};
use crate::ssh::Target;

use super::images::Have;
use super::keys::Keys;
use super::link::{Link, USER};
use super::{Error, Lab, units};

pub use apply::apply;
pub use plan::{Action, Task};
use plan::{Healths, Wanted};

/// How many nodes a lab has if nobody says a number.
const USUAL_NODES: u16 = 3;

/// What `up` is going to do, and what it found.
pub struct Plan {
    pub tasks: Vec<Task>,
    wanted: Wanted,
    keys: Option<Keys>,
    links: BTreeMap<NodeName, Link>,
    /// The lab as it was last complete.
    before: Topology,
    images: Vec<Look>,
    newcomers: Vec<NodeName>,
    is_new: bool,
}

impl Plan {
    pub fn removals(&self) -> Vec<&NodeName> {
        let removal = |task: &'_ &Task| matches!(task.action, Action::Remove { .. });
        self.tasks.iter().filter(removal).filter_map(|task| task.action.node()).collect()
    }

    pub fn subnet(&self) -> Subnet {
        self.wanted.topology.subnet
    }

    /// Returns the nodes that were found running and have to be waited for.
    pub fn nodes_that_ran(&self) -> Vec<NodeName> {
        let awaited = self.tasks.iter().filter(|task| matches!(task.action, Action::Await { .. }));
        awaited.filter_map(|task| task.action.node().cloned()).collect()
    }

    /// Returns whether a node is to be made, or started again.
    pub fn wakes(&self, node: &NodeName) -> bool {
        let wakes = |action: &Action| {
            matches!(action, Action::Create { .. } | Action::Replace { .. } | Action::Start { .. })
        };
        self.tasks.iter().any(|task| task.action.node() == Some(node) && wakes(&task.action))
    }

    /// Returns the machines that were made by somebody else, or were never finished, and are to become nodes.
    pub fn newcomers(&self) -> Vec<NodeName> {
        self.newcomers.clone()
    }

    /// Returns whether nothing of the lab is there yet.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    pub fn node_count(&self) -> usize {
        self.wanted.topology.nodes.len()
    }
}

/// Looks at the lab and decides what to do. Nothing is changed.
pub async fn plan<P: Provider>(lab: &Lab<'_, P>, labd: &camino::Utf8Path) -> Result<Plan, Error> {
    let stacks = lab.stacks()?;
    lab.provider.finish(&lab.settings.lab).await?;
    let state = lab.files.load()?;
    check_provider(lab, state.as_ref())?;
    let seen = lab.observe().await?;
    let keys = Keys::load(&lab.files)?;
    let is_node = |machine: &Machine| machine.state != MachineState::Created;
    if keys.is_none() && seen.machines.values().any(is_node) {
        return Err(Error::KeysGone { lab: lab.settings.lab.clone() });
    }
    let (links, healths) = ask_running(&seen, keys.as_ref()).await?;
    let before = before(lab, &seen, &healths, state.as_ref())?;
    let wanted = Wanted {
        members_before: before.members().map(|node| node.name.clone()).collect(),
        topology: plan::with_rejoins(topology(lab, &seen, state.as_ref(), &before)?, &seen),
        limits: limits(lab.settings.memory, lab.settings.cpus),
        gateway_limits: limits(lab.settings.gateway_memory, lab.settings.gateway_cpus),
        labd_build: build_id(&fs::read(labd)?),
    };
    stacks.check_ports(&wanted.topology)?;
    let looks = lab.look_at_images().await?;
    let have = images_of(&looks, &links, &wanted.topology).await;
    let mut tasks = super::images::plan(&looks, &have, &stacks.destinations(&wanted.topology));
    // Images are made before nodes are, and loaded when all of them serve.
    let loads = tasks.split_off(tasks.iter().take_while(|task| task.action.node().is_none()).count());
    tasks.extend(plan::plan(&wanted, &seen, &healths));
    tasks.extend(loads);
    let why = why_to_start(lab, &wanted.topology, &looks, (&tasks, &links, &seen)).await?;
    let action = Action::StartUnits { stack: stacks.names().join(", ") };
    tasks.extend(why.map(|why| Task { action, why }));
    let newcomers = seen.machines.iter().filter(|(_, machine)| machine.state == MachineState::Created);
    let newcomers = newcomers.map(|(node, _)| node.clone()).collect();
    let is_new = seen.is_nothing();
    Ok(Plan { tasks, wanted, keys, links, before, images: looks, newcomers, is_new })
}

/// Refuses a lab that another provider made: of its machines this one sees nothing, and would make them again.
fn check_provider<P: Provider>(lab: &Lab<'_, P>, state: Option<&State>) -> Result<(), Error> {
    let wanted = lab.provider.name();
    match state {
        Some(state) if state.provider != wanted => Err(Error::from(provider::Error::OtherProvider {
            lab: lab.settings.lab.clone(),
            has: state.provider.clone(),
            wanted: wanted.to_owned(),
        })),
        _ => Ok(()),
    }
}

/// Returns why the units of the stacks have to be seen to, if they have.
async fn why_to_start<P: Provider>(
    lab: &Lab<'_, P>,
    topology: &Topology,
    looks: &[Look],
    (tasks, links, seen): (&[Task], &BTreeMap<NodeName, Link>, &Seen),
) -> Result<Option<String>, Error> {
    let stacks = lab.stacks()?;
    if links.is_empty() {
        return Ok((!stacks.is_empty()).then(|| "they run when all nodes do".to_owned()));
    }
    let ids = looks.iter().filter_map(|look| Some((look.spec.key.clone(), look.record()?.id))).collect();
    let instances = stacks.instances(&topology.duties()?, &lab.settings.images, &ids);
    Ok(match units::lacks(links, seen, &instances).await {
        Err(_) if stacks.is_empty() => None,
        Err(_) => Some("fleet does not say how they are".to_owned()),
        Ok(lacks) if !lacks.is_empty() => Some(lacks.join(", ")),
        Ok(_) => (!tasks.is_empty() && !stacks.is_empty()).then(|| "the nodes change".to_owned()),
    })
}

/// Asks the nodes that run and are to stay which images they have. One that does not say has other
/// troubles, which are seen to first.
async fn images_of(looks: &[Look], links: &BTreeMap<NodeName, Link>, topology: &Topology) -> Have {
    if looks.is_empty() {
        return Have::new();
    }
    let stays = links.iter().filter(|(node, _)| topology.node(node).is_some());
    let asked = stays.map(async |(node, link)| Some((node.clone(), link.images().await.ok()?)));
    join_all(asked).await.into_iter().flatten().collect()
}

/// Returns the lab as it was last complete; of a new one, an empty plan on a network of its own.
fn before<P: Provider>(
    lab: &Lab<'_, P>,
    seen: &Seen,
    healths: &Healths,
    state: Option<&State>,
) -> Result<Topology, Error> {
    let settings = lab.settings;
    if let Some(state) = state {
        // `.lab` may have outlived the lab: what is remembered counts only for the lab that is there.
        let is_same = seen.lab_id.as_ref().is_none_or(|id| *id == state.topology.id);
        if is_same && !seen.is_nothing() {
            return Ok(state.topology.clone());
        }
    }
    let subnet = match (seen.subnet, settings.subnet) {
        (Some(subnet), _) => subnet,
        (None, Some(wanted)) => check_free(wanted.check_for_lab()?, seen)?,
        (None, None) => choose_subnet(lab.provider.nature().subnets, seen)?,
    };
    let id = seen.lab_id.clone().unwrap_or_else(new_id);
    let mut topology = Topology::fresh(settings.lab.clone(), id, subnet);
    topology.nodes = found_nodes(seen, healths);
    Ok(topology)
}

/// Returns the nodes as they show themselves, where what was remembered of them is gone.
fn found_nodes(seen: &Seen, healths: &Healths) -> Vec<Node> {
    let members = healths.values().find_map(|health| Some(&health.as_ref().ok()?.etcd.up()?.members));
    let node = |(name, machine): (&NodeName, &Machine)| {
        let is_member = members
            .map_or(machine.is_etcd_member, |members| members.iter().any(|member| member == name.as_str()));
        let etcd = if is_member { EtcdRole::Member { join: EtcdJoin::New } } else { EtcdRole::Gateway };
        let (_, number) = name.as_str().rsplit_once('-')?;
        Some(Node { name: name.clone(), index: number.parse().ok()?, address: machine.address, etcd })
    };
    seen.machines.iter().filter_map(node).collect()
}

fn choose_subnet(candidates: Vec<Subnet>, seen: &Seen) -> Result<Subnet, NoFreeSubnet> {
    let taken: Vec<Subnet> = seen.taken.iter().map(|(subnet, _)| *subnet).collect();
    if candidates.is_empty() { Subnet::choose(&taken) } else { Subnet::choose_among(candidates, &taken) }
}

fn check_free(wanted: Subnet, seen: &Seen) -> Result<Subnet, Error> {
    match seen.taken.iter().find(|(taken, _)| wanted.overlaps(*taken)) {
        None => Ok(wanted),
        Some((_, other)) => Err(provider::Error::SubnetTaken { wanted, other: other.clone() }.into()),
    }
}

fn topology<P: Provider>(
    lab: &Lab<'_, P>,
    seen: &Seen,
    state: Option<&State>,
    before: &Topology,
) -> Result<Topology, Error> {
    let settings = lab.settings;
    let remembered = state.and_then(|state| state.wanted_nodes);
    let existing = u16::try_from(seen.machines.len()).unwrap_or(MAX_NODES);
    let kept = remembered.or((existing > 0).then_some(existing)).filter(|_| !seen.is_nothing());
    let count = settings.nodes.or(kept).unwrap_or(USUAL_NODES);
    let has_own_nics = lab.provider.nature().has_own_nics;
    let resized = before.resized(&settings.prefix, count)?;
    let stacks = lab.stacks()?.roles(&settings.images);
    let topology = Topology { fleet: settings.fleet.clone(), has_own_nics, stacks, ..resized };
    topology.duties()?;
    let is_ours = |node: &&NodeName| {
        node.as_str().rsplit_once('-').is_some_and(|(prefix, _)| prefix == settings.prefix.as_str())
    };
    match seen.machines.keys().find(|node| !is_ours(node)) {
        None => Ok(topology),
        Some(node) => Err(Error::OtherPrefix { lab: settings.lab.clone(), node: node.clone() }),
    }
}

fn limits(memory: Option<Bytes>, cpus: Option<f64>) -> Limits {
    Limits { memory_bytes: memory.map(Bytes::get), cpus }
}

/// Returns an id that no other lab of this host has: it ends up in machine ids.
fn new_id() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    build_id(format!("{}.{}", now.as_nanos(), std::process::id()).as_bytes())
}

/// Connects to every node that runs, and asks how it is.
async fn ask_running(seen: &Seen, keys: Option<&Keys>) -> Result<(BTreeMap<NodeName, Link>, Healths), Error> {
    let Some(keys) = keys else { return Ok(Default::default()) };
    let identity = keys.identity()?;
    let running = seen.machines.iter().filter(|(_, machine)| machine.state == MachineState::Running);
    let asked = join_all(running.map(async |(node, machine)| {
        let Some(address) = machine.ssh else {
            return (node.clone(), None, Err("its ssh port is not published".to_owned()));
        };
        let target = Target { node: node.clone(), address, user: USER.to_owned() };
        match Link::open(&target, &identity).await {
            Err(error) => (node.clone(), None, Err(error.to_string())),
            Ok(link) => {
                let health = link.health().await.map_err(|error| error.to_string());
                (node.clone(), Some(link), health)
            }
        }
    }))
    .await;
    let mut links = BTreeMap::new();
    let mut healths = Healths::new();
    for (node, link, health) in asked {
        links.extend(link.map(|link| (node.clone(), link)));
        healths.insert(node, health);
    }
    Ok((links, healths))
}
