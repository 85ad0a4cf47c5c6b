//! What stands on which machine, while a plan is made.

use std::collections::{BTreeMap, BTreeSet};

use crate::fleet::records::MachineId;
use crate::fleet::unit::{Needs, UnitName};

use super::able::{self, Verdict};
use super::snapshot::{Machine, Snapshot};

/// Units that were given a machine, and what that means for the next one.
#[derive(Debug, Default)]
pub struct Floor<'a> {
    tenants: BTreeMap<&'a MachineId, Tenants<'a>>,
    homes: BTreeMap<&'a str, &'a MachineId>,
    everywhere: ByLoad<'a>,
    /// The same for the machines of one key and value of metadata, for each that some unit demands: a choosy
    /// unit need not ask all machines.
    markets: BTreeMap<&'a str, BTreeMap<&'a str, ByLoad<'a>>>,
    machines: Option<&'a BTreeMap<MachineId, Machine>>,
}

/// Machines by load, so that the emptiest is found at once.
type ByLoad<'a> = BTreeSet<(u64, &'a MachineId)>;

#[derive(Debug, Default)]
struct Tenants<'a> {
    load: u64,
    memory: u64,
    units: BTreeMap<&'a str, (&'a UnitName, &'a Needs)>,
    /// Those that mind who else is there.
    guards: BTreeMap<&'a UnitName, &'a Needs>,
}

/// Returns the demands for which one value alone will do.
fn sole_demands(needs: &Needs) -> impl Iterator<Item = (&str, &str)> {
    let single = needs.metadata.iter().filter(|(_, wanted)| wanted.len() == 1);
    single.filter_map(|(key, wanted)| Some((key.as_str(), wanted.first()?.as_str())))
}

impl<'a> Floor<'a> {
    /// Begins with the global units, which are on every machine that fits. Of two that conflict, the first
    /// by name stays.
    pub(super) fn with_globals(snapshot: &'a Snapshot) -> Self {
        let mut floor = Self { machines: Some(&snapshot.machines), ..Self::default() };
        for needs in snapshot.units.values().filter_map(|unit| unit.needs.as_ref().ok()) {
            for (key, value) in sole_demands(needs) {
                floor.markets.entry(key).or_default().entry(value).or_default();
            }
        }
        for id in snapshot.machines.keys() {
            floor.tenants.insert(id, Tenants::default());
            floor.list(id, 0);
        }
        for (name, unit) in snapshot.units.iter().filter(|(_, unit)| unit.is_wanted()) {
            let Ok(needs) = &unit.needs else { continue };
            if !needs.is_global {
                continue;
            }
            for (id, machine) in &snapshot.machines {
                let fits = able::metadata(needs, machine).is_none();
                if fits && floor.neighbour_against(name, needs, id).is_none() {
                    floor.add(name, needs, id);
                }
            }
        }
        floor
    }

    pub(super) fn place(&mut self, name: &'a UnitName, needs: &'a Needs, id: &'a MachineId) {
        self.homes.insert(name.as_str(), id);
        self.add(name, needs, id);
    }

    /// Runs `change` on every list that a machine stands in.
    fn lists_of(&mut self, id: &MachineId, mut change: impl FnMut(&mut ByLoad<'a>)) {
        change(&mut self.everywhere);
        let machine = self.machines.and_then(|machines| machines.get(id));
        for (key, value) in machine.iter().flat_map(|machine| &machine.metadata) {
            if let Some(market) = self.markets.get_mut(key.as_str()).and_then(|of| of.get_mut(value.as_str()))
            {
                change(market);
            }
        }
    }

    fn list(&mut self, id: &'a MachineId, load: u64) {
        self.lists_of(id, |list| _ = list.insert((load, id)));
    }

    fn unlist(&mut self, id: &'a MachineId, load: u64) {
        self.lists_of(id, |list| _ = list.remove(&(load, id)));
    }

    fn add(&mut self, name: &'a UnitName, needs: &'a Needs, id: &'a MachineId) {
        let before = self.load(id);
        self.unlist(id, before);
        let tenants = self.tenants.entry(id).or_default();
        tenants.load += needs.weight();
        tenants.memory += needs.memory();
        tenants.units.insert(name.as_str(), (name, needs));
        if needs.has_guards() {
            tenants.guards.insert(name, needs);
        }
        let after = tenants.load;
        self.list(id, after);
    }

    pub(super) fn remove(&mut self, name: &UnitName) {
        let Some(id) = self.homes.remove(name.as_str()) else { return };
        let Some(tenants) = self.tenants.get_mut(id) else { return };
        let Some((_, needs)) = tenants.units.remove(name.as_str()) else { return };
        let before = tenants.load;
        tenants.load -= needs.weight();
        tenants.memory -= needs.memory();
        tenants.guards.remove(name);
        self.unlist(id, before);
        self.list(id, before - needs.weight());
    }

    /// Returns the machines that a unit may ask, the emptiest first, and of equals the one with the lowest id.
    pub(super) fn by_load(&self, needs: &Needs) -> impl Iterator<Item = &'a MachineId> {
        let lists = sole_demands(needs).filter_map(|(key, value)| self.markets.get(key)?.get(value));
        let shortest = lists.min_by_key(|list| list.len()).unwrap_or(&self.everywhere);
        shortest.iter().map(|(_, id)| *id)
    }

    pub fn load(&self, id: &MachineId) -> u64 {
        self.tenants.get(id).map_or(0, |tenants| tenants.load)
    }

    pub(super) fn memory(&self, id: &MachineId) -> u64 {
        self.tenants.get(id).map_or(0, |tenants| tenants.memory)
    }

    pub(super) fn machine_of(&self, name: &str) -> Option<&'a MachineId> {
        self.homes.get(name).copied()
    }

    /// Returns whether a unit, global ones included, is on a machine.
    pub(super) fn is_on(&self, name: &str, id: &MachineId) -> bool {
        self.tenants.get(id).is_some_and(|tenants| tenants.units.contains_key(name))
    }

    /// Returns what speaks against a unit among those on a machine.
    pub(super) fn neighbour_against(
        &self,
        name: &UnitName,
        needs: &Needs,
        id: &MachineId,
    ) -> Option<Verdict> {
        let tenants = self.tenants.get(id)?;
        if !needs.conflicts.is_empty() {
            let hit = tenants.units.values().find_map(|(other, _)| {
                let pattern = needs.conflict_with(name.as_str(), other.as_str())?;
                Some(((*other).clone(), pattern.to_string()))
            });
            if let Some((with, pattern)) = hit {
                return Some(Verdict::Conflict { with, pattern, by_other: false });
            }
        }
        tenants.guards.iter().find_map(|(other, guard)| {
            if let Some(pattern) = guard.conflict_with(other.as_str(), name.as_str()) {
                let (with, pattern) = ((*other).clone(), pattern.to_string());
                return Some(Verdict::Conflict { with, pattern, by_other: true });
            }
            let replaces = *other != name && guard.replaces(name.as_str());
            // Two that replace each other would chase each other for ever.
            let is_mutual = replaces && needs.replaces(other.as_str());
            (replaces && !is_mutual).then(|| Verdict::Replaced { by: (*other).clone() })
        })
    }
}
