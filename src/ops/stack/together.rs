//! All stacks of a lab: what they have its nodes do, and whether they bear each other.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;

use super::instance::ImageIds;
use super::{Count, Instance, Stack, StackError, StackUnit};
use crate::fleet::unit::{Needs, UnitName};
use crate::model::image::{Digest, ImageSpec};
use crate::model::{Duty, NodeName, Roles, Topology, variable};

/// What nodes listen on themselves.
const TAKEN: [(u16, &str); 3] = [(22, "sshd"), (2379, "etcd"), (2380, "etcd")];

/// The stacks of a lab, in the order in which they were named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stacks(Vec<Stack>);

impl Stacks {
    pub fn load(project: &Utf8Path, shelf: &Utf8Path, names: &[String]) -> Result<Self, StackError> {
        let mut stacks: Vec<Stack> = Vec::new();
        for name in names {
            if !stacks.iter().any(|stack| stack.name == *name) {
                stacks.push(Stack::load(project, shelf, name)?);
            }
        }
        let stacks = Self(stacks);
        stacks.check()?;
        Ok(stacks)
    }

    #[cfg(test)]
    pub(super) fn of(stacks: Vec<Stack>) -> Self {
        Self(stacks)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Stack> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|stack| stack.name.clone()).collect()
    }

    pub fn units(&self) -> impl Iterator<Item = (&Stack, &StackUnit)> {
        self.0.iter().flat_map(|stack| stack.units.iter().map(move |unit| (stack, unit)))
    }

    /// Refuses stacks that say different things under one name.
    pub(super) fn check(&self) -> Result<(), StackError> {
        for (index, second) in self.0.iter().enumerate() {
            for first in &self.0[..index] {
                if let Some(what) = shared(first, second) {
                    let (first, second) = (first.name.clone(), second.name.clone());
                    return Err(StackError::Together { first, second, what });
                }
            }
        }
        Ok(())
    }

    /// Returns all images of the lab: where both describe one of the same key, lab.toml is right.
    pub fn with_images(&self, own: &[ImageSpec]) -> Result<Vec<ImageSpec>, StackError> {
        let mut all: BTreeMap<&str, &ImageSpec> = BTreeMap::new();
        all.extend(self.0.iter().flat_map(|stack| &stack.images).map(|spec| (spec.key.as_str(), spec)));
        all.extend(own.iter().map(|spec| (spec.key.as_str(), spec)));
        for (_, unit) in self.units() {
            if let Some(image) = unit.images.iter().find(|key| !all.contains_key(key.as_str())) {
                return Err(StackError::NoImage { unit: unit.name.clone(), image: image.clone() });
            }
        }
        Ok(all.into_values().cloned().collect())
    }

    /// Returns what nodes are told. `images` are all of the lab.
    pub fn roles(&self, images: &[ImageSpec]) -> Roles {
        let used: BTreeSet<&String> = self.units().flat_map(|(_, unit)| &unit.images).collect();
        let own = self.0.iter().flat_map(|stack| &stack.images).map(|spec| &spec.key);
        let named: BTreeSet<&String> = used.into_iter().chain(own).collect();
        let names = images.iter().filter(|spec| named.contains(&spec.key));
        let names =
            names.map(|spec| (format!("LAB_IMAGE_{}", variable(&spec.key)), spec.name.unpinned().familiar()));
        let env = self.0.iter().flat_map(|stack| stack.env.clone());
        Roles {
            roles: self.0.iter().flat_map(|stack| stack.roles.clone()).collect(),
            variables: names.chain(env).collect(),
        }
    }

    /// Returns all units as fleet is to have them. `ids` are of those images that are made.
    pub fn instances(
        &self,
        duties: &[Duty],
        images: &[ImageSpec],
        ids: &BTreeMap<String, Digest>,
    ) -> Vec<Instance> {
        let known =
            |spec: &ImageSpec| (spec.key.clone(), (spec.name.unpinned(), ids.get(&spec.key).copied()));
        let images: ImageIds = images.iter().map(known).collect();
        self.0.iter().flat_map(|stack| stack.instances(duties, &images)).collect()
    }

    /// Refuses units that would take the same port of one node.
    pub fn check_ports(&self, topology: &Topology) -> Result<(), StackError> {
        let duties = topology.duties()?;
        let all: Vec<Tenant<'_>> = self
            .units()
            .filter(|(_, unit)| !unit.ports.is_empty())
            .map(|(stack, unit)| Tenant::new(unit, self.candidates(stack, unit, topology, &duties), &duties))
            .collect();
        let mut clashes: Vec<String> = all.iter().filter_map(Tenant::with_itself).collect();
        clashes.extend(all.iter().filter_map(Tenant::with_the_node));
        for (index, second) in all.iter().enumerate() {
            clashes.extend(all[..index].iter().filter_map(|first| first.with(second)));
        }
        if clashes.is_empty() { Ok(()) } else { Err(StackError::Ports(clashes)) }
    }
}

/// Returns what two stacks both have and cannot share.
fn shared(first: &Stack, second: &Stack) -> Option<String> {
    let role = second.roles.iter().find(|role| first.roles.iter().any(|other| other.name == role.name));
    let unit = second.units.iter().find(|unit| first.unit(&unit.name).is_some());
    let image = second.images.iter().find(|image| {
        first.images.iter().any(|other| {
            other.key == image.key && (&other.name, &other.source) != (&image.name, &image.source)
        })
    });
    let variable =
        second.env.iter().find(|(name, value)| first.env.get(*name).is_some_and(|other| other != *value));
    let endpoint =
        second.endpoints.iter().find(|end| first.endpoints.iter().any(|other| other.name == end.name));
    role.map(|role| format!("a role `{}`", role.name))
        .or_else(|| unit.map(|unit| format!("a unit `{}`", unit.name)))
        .or_else(|| image.map(|image| format!("an image `{}`", image.key)))
        .or_else(|| variable.map(|(name, _)| format!("a variable `{name}`")))
        .or_else(|| endpoint.map(|endpoint| format!("an endpoint `{}`", endpoint.name)))
}

/// A unit that takes ports of its node.
struct Tenant<'a> {
    unit: &'a StackUnit,
    names: Vec<UnitName>,
    needs: Needs,
    nodes: BTreeSet<NodeName>,
}

impl<'a> Tenant<'a> {
    fn new(unit: &'a StackUnit, nodes: BTreeSet<NodeName>, duties: &[Duty]) -> Self {
        let names = unit.names(duties);
        let needs = names.first().and_then(|name| Needs::of(name, &unit.file).ok()).unwrap_or_default();
        Self { unit, names, needs, nodes }
    }

    fn bears(&self, own: &UnitName, other: &UnitName) -> bool {
        self.needs.conflict_with(own.as_str(), other.as_str()).is_none()
    }

    fn with_itself(&self) -> Option<String> {
        let [first, second, ..] = &self.names[..] else { return None };
        // Units that follow others are as far from each other as those are.
        let follows = !self.needs.machine_of.is_empty();
        let may = self.unit.count != Count::One && !follows && self.bears(first, second);
        may.then(|| {
            format!(
                "several instances of `{}` may come to one node, and each takes port {}; \
                 `Conflicts={}@*.{}` in its file keeps them apart",
                self.unit.name,
                self.unit.ports.first().copied().unwrap_or_default(),
                self.unit.name.prefix(),
                self.unit.name.suffix()
            )
        })
    }

    fn with_the_node(&self) -> Option<String> {
        let (port, owner) = TAKEN.iter().find(|(port, _)| self.unit.ports.contains(port))?;
        Some(format!("`{}` takes port {port}, which {owner} has on each node", self.unit.name))
    }

    fn with(&self, other: &Self) -> Option<String> {
        let port = self.unit.ports.intersection(&other.unit.ports).next()?;
        let node = self.nodes.intersection(&other.nodes).next()?;
        let (own, others) = (self.names.first()?, other.names.first()?);
        let apart = !self.bears(own, others) || !other.bears(others, own);
        (!apart).then(|| {
            format!(
                "`{}` and `{}` both take port {port}, and both may come to {node}",
                self.unit.name, other.unit.name
            )
        })
    }
}
