//! What fleet says of units and machines at one moment, and the questions that verbs have about it. Pure.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::fleet::client::snapshot;
use crate::fleet::placement::{Snapshot, Verdict, explain};
use crate::fleet::records::{MachineId, Phase};
use crate::fleet::unit::UnitName;
use crate::fleet::v1::{Machine, Unit, UnitState};

use super::names::Names;
use super::serve::Answers;

#[derive(Debug, Clone, Default)]
pub struct Sight {
    pub units: BTreeMap<UnitName, Unit>,
    pub states: BTreeMap<UnitName, Vec<UnitState>>,
    pub machines: Vec<Machine>,
    pub names: Names,
    /// What units say of themselves, where somebody asked.
    pub answers: Answers,
    snapshot: OnceCell<Snapshot>,
}

/// Returns whether systemd has something of a unit in hand.
pub fn is_running(state: &UnitState) -> bool {
    !matches!(state.systemd_active_state.as_str(), "" | "inactive" | "failed")
}

impl Sight {
    pub fn of(units: Vec<Unit>, states: Vec<UnitState>, machines: Vec<Machine>, names: Names) -> Self {
        let read = |name: &str| UnitName::parse(name).ok();
        let mut by_name: BTreeMap<UnitName, Vec<UnitState>> = BTreeMap::new();
        for state in states {
            if let Some(name) = read(&state.name) {
                by_name.entry(name).or_default().push(state);
            }
        }
        let units = units.into_iter().filter_map(|unit| Some((read(&unit.name)?, unit))).collect();
        Self { units, states: by_name, machines, names, answers: Answers::new(), snapshot: OnceCell::new() }
    }

    /// Returns the picture that placement decides on.
    pub fn snapshot(&self) -> &Snapshot {
        self.snapshot.get_or_init(|| {
            let units: Vec<Unit> = self.units.values().cloned().collect();
            let states: Vec<UnitState> = self.states.values().flatten().cloned().collect();
            snapshot(&units, &states, &self.machines)
        })
    }

    /// Returns the names of all units that the cluster knows.
    pub fn known(&self) -> Vec<&UnitName> {
        self.units.keys().collect()
    }

    pub fn states_of(&self, name: &UnitName) -> &[UnitState] {
        self.states.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn state_on(&self, name: &UnitName, id: &MachineId) -> Option<&UnitState> {
        self.states_of(name).iter().find(|state| state.machine_id.as_ref() == Some(id))
    }

    pub fn desired(&self, name: &UnitName) -> Phase {
        self.units.get(name).and_then(|unit| unit.desired_state).unwrap_or_default()
    }

    pub fn is_global(&self, name: &UnitName) -> bool {
        self.snapshot().units.get(name).is_some_and(crate::fleet::placement::Unit::is_global)
    }

    pub fn is_here(&self, id: &MachineId) -> bool {
        let machine = self.machines.iter().find(|machine| machine.id == id.as_str());
        machine.is_some_and(|machine| machine.present != Some(false))
    }

    /// Returns the machines that a unit is to be on.
    pub fn homes(&self, name: &UnitName) -> BTreeSet<MachineId> {
        if !self.is_global(name) {
            return self.units.get(name).and_then(|unit| unit.machine_id.clone()).into_iter().collect();
        }
        let able = self.verdicts(name).unwrap_or_default().into_iter();
        able.filter(|(_, verdict)| verdict.is_able()).map(|(id, _)| id).collect()
    }

    /// Returns the machines that a unit is on, or may be.
    pub fn hosts(&self, name: &UnitName) -> BTreeSet<MachineId> {
        let reported = self.states_of(name).iter().filter_map(|state| state.machine_id.clone());
        self.units.get(name).and_then(|unit| unit.machine_id.clone()).into_iter().chain(reported).collect()
    }

    /// Returns what each machine is to a unit.
    pub fn verdicts(&self, name: &UnitName) -> Result<BTreeMap<MachineId, Verdict>, String> {
        explain(self.snapshot(), name)
    }

    /// Returns the verdicts as lines for people.
    pub fn reasons(&self, name: &UnitName) -> Vec<String> {
        match self.verdicts(name) {
            Err(why) => vec![format!("its file cannot be used: {why}")],
            Ok(verdicts) if verdicts.is_empty() => vec!["there is no machine".to_owned()],
            Ok(verdicts) => {
                verdicts.iter().map(|(id, why)| format!("{}: {why}", self.names.name(id))).collect()
            }
        }
    }

    /// Returns the machines on which a unit runs that should run on one only; none if all is well.
    pub fn twice(&self, name: &UnitName) -> Vec<MachineId> {
        let is_up = |state: &&UnitState| {
            matches!(state.systemd_active_state.as_str(), "active" | "activating" | "reloading")
        };
        let on: Vec<MachineId> =
            self.states_of(name).iter().filter(is_up).filter_map(|state| state.machine_id.clone()).collect();
        if on.len() > 1 && !self.is_global(name) { on } else { Vec::new() }
    }

    /// Returns, in words, that a unit runs on several machines at once.
    pub fn split(&self, name: &UnitName) -> Option<String> {
        let on: Vec<String> = self.twice(name).iter().map(|id| self.names.name(id)).collect();
        let (last, first) = on.split_last()?;
        Some(format!(
            "{name} runs on {} and {last} at once: they do not see each other, or did not a moment ago",
            first.join(", ")
        ))
    }

    /// Returns whether a unit is to be on some machine and has none.
    pub fn is_unplaced(&self, name: &UnitName) -> bool {
        let has_home = self.units.get(name).is_some_and(|unit| unit.machine_id.is_some());
        self.desired(name) != Phase::Inactive && !has_home && !self.is_global(name) && !name.is_template()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::fleet::unit::UnitFile;

    /// A unit with a file, what is wanted of it, and where it is.
    pub fn unit(name: &str, text: &str, desired: Phase, machine: Option<&str>) -> Unit {
        Unit {
            name: name.to_owned(),
            options: UnitFile::parse(text).unwrap().options().to_vec(),
            desired_state: Some(desired),
            current_state: machine.map(|_| desired),
            machine_id: machine.map(MachineId::new),
            ..Unit::default()
        }
    }

    pub fn state(name: &str, machine: &str, active: &str, sub: &str) -> UnitState {
        UnitState {
            name: name.to_owned(),
            machine_id: Some(MachineId::new(machine)),
            systemd_load_state: "loaded".to_owned(),
            systemd_active_state: active.to_owned(),
            systemd_sub_state: sub.to_owned(),
            ..UnitState::default()
        }
    }

    pub fn machine(id: &str, name: &str) -> Machine {
        Machine { id: id.to_owned(), name: Some(name.to_owned()), ..Machine::default() }
    }

    /// What is seen of a cluster with the machines m1, m2 and m3.
    pub fn sight(units: Vec<Unit>, states: Vec<UnitState>) -> Sight {
        let machines = vec![machine("m1", "core-01"), machine("m2", "core-02"), machine("m3", "core-03")];
        let names = Names::of(None, &[], &machines);
        Sight::of(units, states, machines, names)
    }

    pub fn name(name: &str) -> UnitName {
        UnitName::parse(name).unwrap()
    }

    #[test]
    fn a_unit_on_two_machines_is_told_unless_it_is_global() {
        let both = || {
            vec![state("a.service", "m1", "active", "running"), state("a.service", "m3", "active", "running")]
        };
        let seen = sight(vec![unit("a.service", "", Phase::Launched, Some("m3"))], both());
        let told = seen.split(&name("a.service")).unwrap();
        assert!(told.starts_with("a.service runs on core-01 and core-03 at once"), "{told}");
        let seen = sight(vec![unit("a.service", "[X-Fleet]\nGlobal=true\n", Phase::Launched, None)], both());
        assert_eq!(seen.split(&name("a.service")), None);
        let moving = vec![
            state("a.service", "m1", "deactivating", "stop-sigterm"),
            state("a.service", "m3", "active", "running"),
        ];
        let seen = sight(vec![unit("a.service", "", Phase::Launched, Some("m3"))], moving);
        assert_eq!(seen.split(&name("a.service")), None);
    }

    #[test]
    fn only_what_is_wanted_somewhere_is_missed_there() {
        let seen = sight(
            vec![
                unit("a.service", "", Phase::Launched, None),
                unit("b.service", "", Phase::Inactive, None),
                unit("c.service", "", Phase::Launched, Some("m1")),
                unit("g.service", "[X-Fleet]\nGlobal=true\n", Phase::Launched, None),
                unit("t@.service", "", Phase::Launched, None),
            ],
            Vec::new(),
        );
        let missed: Vec<&str> =
            seen.units.keys().filter(|name| seen.is_unplaced(name)).map(UnitName::as_str).collect();
        assert_eq!(missed, ["a.service"]);
        assert_eq!(seen.homes(&name("g.service")).len(), 3);
    }
}
