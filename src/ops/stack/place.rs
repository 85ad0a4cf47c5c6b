//! On which nodes a unit of a stack may be placed, and so which nodes need which image. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Stack, StackUnit, Stacks};
use crate::fleet::unit::{Needs, UnitName};
use crate::model::{Duty, NodeName, Topology};

/// Which nodes get which image; one that is not named goes everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Destinations(BTreeMap<String, BTreeSet<NodeName>>);

impl Destinations {
    /// Returns whether a node is to have the image of this key.
    pub fn include(&self, key: &str, node: &NodeName) -> bool {
        self.0.get(key).is_none_or(|nodes| nodes.contains(node))
    }
}

impl Stacks {
    /// Returns where the images of the stacks have to be.
    pub fn destinations(&self, topology: &Topology) -> Destinations {
        let duties = topology.duties().unwrap_or_default();
        let mut all: BTreeMap<String, BTreeSet<NodeName>> = BTreeMap::new();
        for (stack, unit) in self.units() {
            for key in &unit.images {
                all.entry(key.clone()).or_default().extend(self.candidates(stack, unit, topology, &duties));
            }
        }
        Destinations(all)
    }

    /// Returns the nodes that a unit may come to, as far as that does not depend on what else is there.
    pub fn candidates(
        &self,
        stack: &Stack,
        unit: &StackUnit,
        topology: &Topology,
        duties: &[Duty],
    ) -> BTreeSet<NodeName> {
        let mut nodes = BTreeSet::new();
        for name in unit.names(duties) {
            nodes.extend(nodes_of(stack, unit, &name, (topology, duties), &mut BTreeSet::new()));
        }
        nodes
    }
}

fn nodes_of(
    stack: &Stack,
    unit: &StackUnit,
    name: &UnitName,
    lab: (&Topology, &[Duty]),
    asked: &mut BTreeSet<UnitName>,
) -> BTreeSet<NodeName> {
    let (topology, duties) = lab;
    let Ok(needs) = Needs::of(name, &unit.file) else { return BTreeSet::new() };
    let fits = |told: &crate::model::Metadata| {
        needs.metadata.iter().all(|(key, values)| told.get(key).is_some_and(|has| values.contains(has)))
    };
    let able = topology.nodes.iter().filter(|node| fits(&topology.metadata_of(node)));
    let mut able: BTreeSet<NodeName> = able.map(|node| node.name.clone()).collect();
    // Two units that want to be where the other is are found elsewhere.
    if asked.insert(name.clone()) {
        for peer in &needs.machine_of {
            let peers = stack
                .units
                .iter()
                .flat_map(|unit| unit.names(duties).into_iter().map(move |name| (unit, name)));
            if let Some((unit, peer)) = peers.into_iter().find(|(_, name)| name.as_str() == peer) {
                let there = nodes_of(stack, unit, &peer, lab, asked);
                able.retain(|node| there.contains(node));
            }
        }
    }
    able
}
