//! What the engine is to do: who leaves a machine and who gets one.

use std::collections::BTreeMap;
use std::fmt;

use crate::fleet::records::{MachineId, Scheduling};
use crate::fleet::unit::{Needs, UnitName};

use super::able::{self, Verdict};
use super::floor::Floor;
use super::snapshot::{Snapshot, Standing, Unit};

/// One change: a unit comes to a machine, leaves one, or both at once where the first is gone for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub unit: UnitName,
    pub from: Option<MachineId>,
    pub to: Option<MachineId>,
    pub why: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Nobody wants it to run.
    NotWanted,
    MachineGone,
    /// The machine it is on is not fit for it any more.
    Unfit(Verdict),
    Drained,
    Asked,
    /// It is where it was asked to be, or as near as it can be.
    Granted,
    /// Of all machines that are able, this one has the least to do.
    LeastLoaded {
        load: u64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWanted => f.write_str("it is to be inactive"),
            Self::MachineGone => f.write_str("its machine is gone"),
            Self::Unfit(verdict) => verdict.fmt(f),
            Self::Drained => f.write_str("its machine is drained"),
            Self::Asked => f.write_str("it was asked to move"),
            Self::Granted => f.write_str("it was asked to be here"),
            Self::LeastLoaded { load: 0 } => f.write_str("the machine is able and has nothing to do"),
            Self::LeastLoaded { load } => write!(f, "least loaded of those that are able, with {load}"),
        }
    }
}

/// Returns all changes that are due now, in the order in which they are to be made.
pub fn plan(snapshot: &Snapshot) -> Vec<Assignment> {
    Planner::new(snapshot).run()
}

/// Returns what each machine is to a unit, by machine.
pub fn explain(snapshot: &Snapshot, name: &UnitName) -> Result<BTreeMap<MachineId, Verdict>, String> {
    let Some(unit) = snapshot.units.get(name) else { return Ok(BTreeMap::new()) };
    let needs = unit.needs.as_ref().map_err(Clone::clone)?;
    let mut planner = Planner::new(snapshot);
    planner.keep();
    planner.floor.remove(name);
    let verdict = |id: &MachineId| {
        let stays = unit.machine.as_ref() == Some(id) || needs.is_global;
        let standing = able::newcomer(&snapshot.machines[id]);
        match (standing, stays) {
            (Verdict::Away, _) => Verdict::Away,
            (Verdict::Able, _) | (_, true) => able::check(snapshot, &planner.floor, (name, needs), id),
            (verdict, false) => verdict,
        }
    };
    Ok(snapshot.machines.keys().map(|id| (id.clone(), verdict(id))).collect())
}

/// Carries plans out in thought until nothing is left to do, as if machines obeyed at once. Returns the
/// snapshot as it ends, and all that was done.
pub fn settle(mut snapshot: Snapshot) -> (Snapshot, Vec<Assignment>) {
    let mut done = Vec::new();
    // Each round moves units that the one before set free; chains are no longer than there are units.
    for _ in 0..=snapshot.units.len() {
        let tasks = plan(&snapshot);
        if tasks.is_empty() {
            break;
        }
        for task in &tasks {
            if let Some(unit) = snapshot.units.get_mut(&task.unit) {
                unit.machine.clone_from(&task.to);
                unit.reported_on = task.to.iter().cloned().collect();
                if task.to.is_some() {
                    unit.wish = None;
                }
            }
        }
        done.extend(tasks);
    }
    (snapshot, done)
}

struct Planner<'a> {
    snapshot: &'a Snapshot,
    floor: Floor<'a>,
    /// Units that have to leave, with the reason.
    leaving: BTreeMap<&'a UnitName, Reason>,
}

impl<'a> Planner<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, floor: Floor::with_globals(snapshot), leaving: BTreeMap::new() }
    }

    fn run(mut self) -> Vec<Assignment> {
        self.keep();
        self.follow_peers();
        self.give()
    }

    /// Lets every unit that may stay where it is. Of two that exclude each other the first by name stays.
    fn keep(&mut self) {
        // Whoever replaces others is looked at first, or nobody would ever have to leave for it.
        let (first, rest): (Vec<_>, Vec<_>) =
            self.placed().partition(|(_, _, needs, _)| !needs.replaces.is_empty());
        for (name, unit, needs, id) in first.into_iter().chain(rest) {
            match self.reason_to_leave(name, unit, needs, id) {
                Some(why) => drop(self.leaving.insert(name, why)),
                None => self.floor.place(name, needs, id),
            }
        }
    }

    /// Returns all units that have a machine and can be read.
    fn placed(&self) -> impl Iterator<Item = (&'a UnitName, &'a Unit, &'a Needs, &'a MachineId)> + use<'a> {
        self.snapshot.units.iter().filter_map(|(name, unit)| {
            Some((name, unit, unit.needs.as_deref().ok()?, unit.machine.as_ref()?))
        })
    }

    fn reason_to_leave(&self, name: &UnitName, unit: &Unit, needs: &Needs, id: &MachineId) -> Option<Reason> {
        let machine = self.snapshot.machines.get(id);
        let Some(machine) = machine else { return Some(Reason::MachineGone) };
        let is_wanted = unit.is_wanted() && !needs.is_global;
        match machine.standing {
            // What is forgotten now could be started elsewhere while it still runs there.
            Standing::Fencing | Standing::Awaited if self.snapshot.is_fenced(needs) => return None,
            _ if !is_wanted => return Some(Reason::NotWanted),
            Standing::Gone | Standing::Fencing => return Some(Reason::MachineGone),
            Standing::Awaited => return None,
            Standing::Here => {}
        }
        if machine.scheduling == Scheduling::Drained {
            return Some(Reason::Drained);
        }
        if unit.wish.as_ref().is_some_and(|wish| wish != id && self.takes_newcomers(wish)) {
            return Some(Reason::Asked);
        }
        // Peers are looked at when everybody has been given a place.
        match able::check_alone(self.snapshot, &self.floor, (name, needs), id) {
            Verdict::Able => None,
            verdict => Some(Reason::Unfit(verdict)),
        }
    }

    fn takes_newcomers(&self, id: &MachineId) -> bool {
        self.snapshot.machines.get(id).is_some_and(|machine| able::newcomer(machine).is_able())
    }

    /// Has units leave whose peers are not beside them any more, and then those that followed these.
    fn follow_peers(&mut self) {
        let followers: Vec<_> =
            self.placed().filter(|(_, _, needs, _)| !needs.machine_of.is_empty()).collect();
        loop {
            let lost = followers.iter().find_map(|(name, _, needs, id)| {
                if self.leaving.contains_key(name) || !self.snapshot.machines[*id].is_here() {
                    return None;
                }
                let verdict = able::check(self.snapshot, &self.floor, (name, needs), id);
                matches!(verdict, Verdict::PeerElsewhere { .. }).then_some((*name, verdict))
            });
            let Some((name, verdict)) = lost else { return };
            self.floor.remove(name);
            self.leaving.insert(name, Reason::Unfit(verdict));
        }
    }

    /// Gives a machine to every unit that wants one and runs nowhere any more.
    fn give(mut self) -> Vec<Assignment> {
        let mut tasks: BTreeMap<&UnitName, Assignment> = BTreeMap::new();
        for (name, why) in std::mem::take(&mut self.leaving) {
            let unit = &self.snapshot.units[name];
            let (unit, from) = (name.clone(), unit.machine.clone());
            tasks.insert(name, Assignment { unit, from, to: None, why });
        }
        let mut waiting: Vec<(&UnitName, &Unit, &Needs)> = self.homeless(&tasks);
        loop {
            let before = waiting.len();
            waiting.retain(|(name, unit, needs)| match self.find(name, unit, needs) {
                None => true,
                Some((id, why)) => {
                    self.floor.place(name, needs, id);
                    let from = unit.machine.clone();
                    let why = tasks.remove(name).map_or(why, |leaving| leaving.why);
                    let unit = (*name).clone();
                    tasks.insert(name, Assignment { unit, from, to: Some(id.clone()), why });
                    false
                }
            });
            // Somebody's peer may have found a place meanwhile.
            let may_follow = waiting.iter().any(|(_, _, needs)| !needs.machine_of.is_empty());
            if waiting.len() == before || !may_follow {
                return in_order(tasks.into_values());
            }
        }
    }

    /// Returns the units that may be given a machine now.
    fn homeless(&self, tasks: &BTreeMap<&UnitName, Assignment>) -> Vec<(&'a UnitName, &'a Unit, &'a Needs)> {
        let snapshot = self.snapshot;
        // A machine that vanished while it was to stop a unit took its report with it, and may run it still.
        let may_hide = snapshot.machines.values().any(|machine| machine.standing == Standing::Fencing);
        let is_free = |(name, unit, needs): &(&UnitName, &Unit, &Needs)| {
            let is_away = |id: &MachineId| snapshot.machines.get(id).is_none_or(|machine| !machine.is_here());
            let has_left = match &unit.machine {
                None => true,
                // A machine that is here has to stop the unit first.
                Some(id) => tasks.contains_key(name) && is_away(id),
            };
            let may_run = may_hide && unit.machine.is_none() && snapshot.is_fenced(needs);
            let runs_nowhere = !may_run && unit.reported_on.iter().all(is_away);
            unit.is_wanted() && !needs.is_global && has_left && runs_nowhere && !name.is_template()
        };
        if snapshot.holds {
            return Vec::new();
        }
        let readable = snapshot.units.iter();
        readable
            .filter_map(|(name, unit)| Some((name, unit, unit.needs.as_deref().ok()?)))
            .filter(is_free)
            .collect()
    }

    fn find(&self, name: &UnitName, unit: &Unit, needs: &Needs) -> Option<(&'a MachineId, Reason)> {
        let is_able = |id: &MachineId| {
            able::newcomer(&self.snapshot.machines[id]).is_able()
                && able::check(self.snapshot, &self.floor, (name, needs), id).is_able()
        };
        if let Some(wish) = &unit.wish
            && let Some((id, _)) = self.snapshot.machines.get_key_value(wish)
            && is_able(id)
        {
            return Some((id, Reason::Granted));
        }
        // A peer leaves no choice, and looking for it everywhere would cost more.
        if let Some(peer) = needs.machine_of.first()
            && let Some(id) = self.floor.machine_of(peer)
        {
            return is_able(id).then(|| (id, Reason::LeastLoaded { load: self.floor.load(id) }));
        }
        let id = self.floor.by_load(needs).find(|id| is_able(id))?;
        Some((id, Reason::LeastLoaded { load: self.floor.load(id) }))
    }
}

/// First everybody leaves, then everybody comes: a place is free before it is given away.
fn in_order(tasks: impl Iterator<Item = Assignment>) -> Vec<Assignment> {
    let (leave, come): (Vec<_>, Vec<_>) = tasks.partition(|task| task.to.is_none());
    leave.into_iter().chain(come).collect()
}

#[cfg(test)]
mod tests;
