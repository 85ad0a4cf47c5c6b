//! Which units to move so that machines have about the same to do.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::fleet::records::MachineId;
use crate::fleet::unit::{Needs, UnitName};

use super::plan::{explain, settle};
use super::snapshot::Snapshot;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub unit: UnitName,
    pub from: MachineId,
    pub to: MachineId,
}

/// Returns moves, one after the other, each of which makes the fullest machine's lead smaller. What follows a
/// peer is left where it is: it would go back.
pub fn rebalance(snapshot: &Snapshot) -> Vec<Move> {
    let mut now = snapshot.clone();
    let mut moves = Vec::new();
    for _ in 0..now.units.len() {
        let Some(step) = best_move(&now) else { break };
        let Some(unit) = now.units.get_mut(&step.unit) else { break };
        unit.machine = Some(step.to.clone());
        unit.reported_on = [step.to.clone()].into();
        // Where one move makes another one necessary, both would be undone by the engine.
        if !settle(now.clone()).1.is_empty() {
            break;
        }
        moves.push(step);
    }
    moves
}

fn best_move(snapshot: &Snapshot) -> Option<Move> {
    let here = snapshot.machines.iter().filter(|(_, machine)| machine.is_here());
    let mut loads: BTreeMap<&MachineId, u64> = here.map(|(id, _)| (id, 0)).collect();
    for unit in snapshot.units.values() {
        if let (Some(id), Ok(needs)) = (&unit.machine, &unit.needs)
            && let Some(load) = loads.get_mut(id)
        {
            *load += needs.weight();
        }
    }
    let mut fullest: Vec<(&MachineId, u64)> = loads.iter().map(|(id, load)| (*id, *load)).collect();
    fullest.sort_by_key(|(id, load)| (std::cmp::Reverse(*load), *id));
    fullest.iter().find_map(|(from, load)| move_from(snapshot, &loads, from, *load))
}

fn move_from(
    snapshot: &Snapshot,
    loads: &BTreeMap<&MachineId, u64>,
    from: &MachineId,
    load: u64,
) -> Option<Move> {
    let has_followers = |name: &UnitName| {
        let units = snapshot.units.values();
        units
            .filter_map(|unit| unit.needs.as_ref().ok())
            .any(|needs| needs.machine_of.contains(name.as_str()))
    };
    let movable = |needs: &Arc<Needs>| !needs.is_global && needs.machine_of.is_empty();
    let here = snapshot.units.iter().filter(|(_, unit)| unit.machine.as_ref() == Some(from));
    for (name, unit) in here {
        let Ok(needs) = &unit.needs else { continue };
        if !movable(needs) || has_followers(name) {
            continue;
        }
        let mut free = snapshot.clone();
        if let Some(unit) = free.units.get_mut(name) {
            unit.machine = None;
        }
        let verdicts = explain(&free, name).ok()?;
        let able = verdicts.iter().filter(|(id, verdict)| *id != from && verdict.is_able());
        let best = able.min_by_key(|(id, _)| (loads.get(id).copied().unwrap_or(u64::MAX), (*id).clone()));
        if let Some((to, _)) = best
            && loads.get(to).is_some_and(|other| other + needs.weight() < load)
        {
            return Some(Move { unit: name.clone(), from: from.clone(), to: to.clone() });
        }
    }
    None
}
