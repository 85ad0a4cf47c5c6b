//! `lab reload-images`: makes what changed and brings it to the nodes that run.

use std::collections::BTreeMap;

use crate::fleet::unit::UnitName;
use crate::images::Look;
use crate::model::NodeName;
use crate::provider::{MachineState, Provider};
use crate::wait::Stop;

use super::super::link::until_stopped;
use super::super::run::connect_all;
use super::super::{Error, Lab, units};
use super::shelf::chosen;
use super::{ImageIds, Loaded, Made};

/// What a reload is limited to; nothing named means everything.
#[derive(Debug, Clone, Default)]
pub struct Reload {
    pub images: Vec<String>,
    pub nodes: Vec<NodeName>,
}

/// What a reload did.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Reloaded {
    /// The images that were made again, with the reasons.
    pub made: BTreeMap<String, Vec<String>>,
    pub nodes: BTreeMap<NodeName, Loaded>,
    /// The units that were started again, as their image is another.
    pub restarted: Vec<UnitName>,
}

pub async fn reload<P: Provider>(lab: &Lab<'_, P>, what: &Reload, stop: &Stop) -> Result<Reloaded, Error> {
    until_stopped(stop, run(lab, what)).await
}

async fn run<P: Provider>(lab: &Lab<'_, P>, what: &Reload) -> Result<Reloaded, Error> {
    let chosen = chosen(lab.settings, &what.images)?;
    let looks = lab.look_at_images().await?;
    let mut ids: ImageIds =
        looks.iter().filter_map(|look| Some((look.spec.key.clone(), look.record()?.id))).collect();
    let looks: Vec<Look> =
        looks.into_iter().filter(|look| chosen.iter().any(|spec| spec.key == look.spec.key)).collect();
    let why = |look: &Look| match &look.state {
        crate::images::State::Ready(_) => None,
        crate::images::State::Stale { why } => Some((look.spec.key.clone(), why.clone())),
    };
    let made = looks.iter().filter_map(why).collect();
    let opening = open(lab, what);
    let making = lab.make_images(looks, false);
    // Nodes are reached while images are made.
    let (links, images) = tokio::join!(opening, making);
    let (links, mut images): (_, Made) = (links?, images?);
    let links = links.iter().map(|(node, link)| (node.clone(), link)).collect();
    let stacks = lab.stacks()?;
    // A lab whose state is gone is seen to by `lab up`.
    let topology = lab.files.load()?.map(|state| state.topology);
    let destinations = topology.as_ref().map(|topology| stacks.destinations(topology)).unwrap_or_default();
    let nodes = lab.load_images(&mut images, &links, &destinations).await?;
    ids.extend(images.ids());
    let restarted = match topology {
        // With only some of the nodes reloaded, the others would go on with another image.
        Some(topology) if what.nodes.is_empty() => units::renew_images(lab, &topology, &ids).await?,
        _ => Vec::new(),
    };
    Ok(Reloaded { made, nodes, restarted })
}

/// Connects to the nodes that run; one that was named has to.
async fn open<P: Provider>(
    lab: &Lab<'_, P>,
    what: &Reload,
) -> Result<BTreeMap<NodeName, super::Link>, Error> {
    let seen = lab.observe_existing().await?;
    let running = seen.machines.iter().filter(|(_, machine)| machine.state == MachineState::Running);
    let mut nodes: Vec<NodeName> = running.map(|(node, _)| node.clone()).collect();
    if !what.nodes.is_empty() {
        what.nodes.iter().try_for_each(|node| lab.machine(&seen, node).map(drop))?;
        nodes.clone_from(&what.nodes);
    }
    connect_all(lab, &seen, &nodes).await
}
