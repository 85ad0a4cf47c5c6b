//! Looks for what must not stand in a registry: keys that lead nowhere, and pairs that contradict each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Key, Page, parse};
use crate::fleet::records::{MachineId, Order, UnitRecord};
use crate::fleet::unit::{Needs, UnitFile, UnitName};

/// Something that is wrong in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub key: String,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// What the keys say, one table for each kind.
#[derive(Default)]
struct Tables {
    units: BTreeMap<UnitName, UnitRecord>,
    globals: BTreeMap<UnitName, Order>,
    targets: BTreeMap<(UnitName, MachineId), Order>,
    states: BTreeSet<(UnitName, MachineId)>,
    present: BTreeSet<MachineId>,
    findings: Vec<Finding>,
}

/// Returns everything that is wrong. Whatever the cluster is doing, nothing should ever be, as each change
/// is one transaction.
pub fn fsck(page: &Page) -> Vec<Finding> {
    let mut tables = Tables::read(page);
    tables.check_units();
    tables.check_targets();
    tables.check_states();
    tables.findings
}

impl Tables {
    fn read(page: &Page) -> Self {
        let mut tables = Self::default();
        for entry in &page.entries {
            let read = match Key::parse(&entry.key) {
                Some(Key::Unit(name)) => parse(entry).map(|record| drop(tables.units.insert(name, record))),
                Some(Key::Global(name)) => parse(entry).map(|order| drop(tables.globals.insert(name, order))),
                Some(Key::Target(machine, name)) => {
                    parse(entry).map(|order| drop(tables.targets.insert((name, machine), order)))
                }
                Some(Key::State(name, machine)) => {
                    tables.states.insert((name, machine));
                    Ok(())
                }
                Some(Key::Machine(machine)) => {
                    tables.present.insert(machine);
                    Ok(())
                }
                Some(_) => Ok(()),
                None => {
                    tables.find(&entry.key, "nothing of ours is spelled like this");
                    Ok(())
                }
            };
            if let Err(error) = read {
                tables.find(&entry.key, format!("{error}"));
            }
        }
        tables
    }

    fn find(&mut self, key: &impl ToString, what: impl Into<String>) {
        self.findings.push(Finding { key: key.to_string(), what: what.into() });
    }

    fn check_units(&mut self) {
        for (name, record) in self.units.clone() {
            let key = Key::Unit(name.clone());
            let needs = UnitFile::parse(&record.text).map_err(|error| error.to_string());
            let needs = needs.and_then(|file| Needs::of(&name, &file).map_err(|error| error.to_string()));
            let is_global = match needs {
                Ok(needs) => needs.is_global,
                Err(error) => {
                    self.find(&key, error);
                    continue;
                }
            };
            if is_global != self.globals.contains_key(&name) {
                self.find(&key, "whether it is global is said in two ways");
            }
            match &record.machine {
                Some(_) if is_global => self.find(&key, "a global unit has a machine"),
                Some(machine) if !self.targets.contains_key(&(name.clone(), machine.clone())) => {
                    self.find(&key, format!("its machine {machine} is not told of it"));
                }
                _ => {}
            }
        }
    }

    fn check_targets(&mut self) {
        for ((name, machine), order) in self.targets.clone() {
            let key = Key::Target(machine.clone(), name.clone());
            match self.units.get(&name) {
                None => self.find(&key, "there is no such unit"),
                Some(unit) if unit.machine.as_ref() != Some(&machine) => {
                    self.find(&key, "the unit is not on this machine");
                }
                Some(unit) if unit.order() != order => self.find(&key, "the unit is to be something else"),
                Some(_) => {}
            }
        }
        for (name, order) in self.globals.clone() {
            let key = Key::Global(name.clone());
            match self.units.get(&name) {
                None => self.find(&key, "there is no such unit"),
                Some(unit) if unit.order() != order => self.find(&key, "the unit is to be something else"),
                Some(_) => {}
            }
        }
    }

    /// A state may outlast its unit for as long as its machine is busy with stopping it, but not its machine.
    fn check_states(&mut self) {
        for (name, machine) in self.states.clone() {
            if !self.present.contains(&machine) {
                self.find(&Key::State(name, machine), "its machine is not there");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::records::Phase;
    use crate::fleet::registry::{Entry, Op, put};

    fn unit(name: &str) -> UnitName {
        UnitName::parse(name).unwrap()
    }

    fn page(ops: Vec<Op>) -> Page {
        let entry = |op| match op {
            Op::Put { key, value, .. } => Entry { key, value, created: 1, revision: 1, lease: 0 },
            _ => unreachable!("only puts are given"),
        };
        Page { revision: 1, entries: ops.into_iter().map(entry).collect() }
    }

    fn record(text: &str, machine: Option<&str>) -> UnitRecord {
        let machine = machine.map(MachineId::new);
        UnitRecord { text: text.to_owned(), desired: Phase::Launched, stops: 0, machine, wish: None }
    }

    #[track_caller]
    fn check(ops: Vec<Op>, want: &[&str]) {
        let found: Vec<String> = fsck(&page(ops)).iter().map(ToString::to_string).collect();
        let root = Key::All.to_string();
        assert_eq!(found.iter().map(|text| text.replace(&root, "")).collect::<Vec<_>>(), want);
    }

    #[test]
    fn ghosts_and_contradictions_are_found() {
        let (a, m) = (unit("a.service"), MachineId::new("m"));
        let placed = record("[Unit]\nA=b\n", Some("m"));
        let here = put(&Key::Machine(m.clone()), &1, None);
        let target = put(&Key::Target(m.clone(), a.clone()), &placed.order(), None);
        let state = put(&Key::State(a.clone(), m.clone()), &1, None);
        let whole = put(&Key::Unit(a.clone()), &placed, None);
        check(vec![whole.clone(), target.clone(), here.clone(), state.clone()], &[]);
        check(vec![here, state.clone()], &[]);
        check(vec![whole.clone()], &["unit/a.service: its machine m is not told of it"]);
        check(vec![target.clone()], &["target/m/a.service: there is no such unit"]);
        check(vec![state], &["state/a.service/m: its machine is not there"]);
        let elsewhere = put(&Key::Unit(a.clone()), &record("[Unit]\nA=b\n", None), None);
        check(vec![elsewhere, target], &["target/m/a.service: the unit is not on this machine"]);
        let global = put(&Key::Unit(a.clone()), &record("[X-Fleet]\nGlobal=true\n", None), None);
        check(vec![global.clone()], &["unit/a.service: whether it is global is said in two ways"]);
        let order = record("[X-Fleet]\nGlobal=true\n", None).order();
        check(vec![global, put(&Key::Global(a), &order, None)], &[]);
    }
}
