//! The registry's keys as tables, kept up to date by the changes that a watch tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::placement::{Machine, Snapshot, Standing, Unit};
use super::records::{Leader, MachineId, NodeRecord, Phase, Presence, Report, UnitRecord};
use super::registry::{Entry, Event, Key, Page, parse};
use super::unit::{Needs, UnitFile, UnitName};

/// What stands in the registry. Records that cannot be read are left out.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub revision: u64,
    pub units: BTreeMap<UnitName, Known>,
    /// How units are, by unit and machine.
    pub reports: BTreeMap<UnitName, BTreeMap<MachineId, Report>>,
    pub presences: BTreeMap<MachineId, Presence>,
    pub nodes: BTreeMap<MachineId, NodeRecord>,
    pub leader: Option<MachineId>,
}

/// A unit with what its file says.
#[derive(Debug, Clone)]
pub struct Known {
    pub record: UnitRecord,
    /// The revision at which the record was written.
    pub revision: u64,
    pub needs: Result<Arc<Needs>, String>,
}

impl Known {
    fn read(name: &UnitName, record: UnitRecord, revision: u64) -> Self {
        let needs = UnitFile::parse(&record.text).map_err(|error| error.to_string());
        let needs = needs.and_then(|file| Needs::of(name, &file).map_err(|error| error.to_string()));
        Self { record, revision, needs: needs.map(Arc::new) }
    }

    pub fn is_global(&self) -> bool {
        self.needs.as_ref().is_ok_and(|needs| needs.is_global)
    }
}

fn read<T: DeserializeOwned>(entry: &Entry) -> Option<T> {
    parse(entry).ok()
}

impl View {
    pub fn of(page: &Page) -> Self {
        let mut view = Self { revision: page.revision, ..Self::default() };
        page.entries.iter().for_each(|entry| view.put(entry));
        view
    }

    /// Takes in what happened.
    pub fn apply(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Put(entry) => {
                    self.revision = self.revision.max(entry.revision);
                    self.put(entry);
                }
                Event::Deleted { key, revision } => {
                    self.revision = self.revision.max(*revision);
                    self.delete(key);
                }
            }
        }
    }

    fn put(&mut self, entry: &Entry) {
        let Some(key) = Key::parse(&entry.key) else { return };
        match key {
            Key::Unit(name) => {
                if let Some(record) = read(entry) {
                    let known = Known::read(&name, record, entry.revision);
                    self.units.insert(name, known);
                }
            }
            Key::State(name, id) => {
                if let Some(report) = read(entry) {
                    self.reports.entry(name).or_default().insert(id, report);
                }
            }
            Key::Machine(id) => drop(read(entry).map(|presence| self.presences.insert(id, presence))),
            Key::Node(id) => drop(read(entry).map(|node| self.nodes.insert(id, node))),
            Key::Leader => self.leader = read(entry).map(|leader: Leader| leader.machine),
            _ => {}
        }
    }

    fn delete(&mut self, key: &str) {
        match Key::parse(key) {
            Some(Key::Unit(name)) => drop(self.units.remove(&name)),
            Some(Key::State(name, id)) => {
                if let Some(reports) = self.reports.get_mut(&name) {
                    reports.remove(&id);
                    if reports.is_empty() {
                        self.reports.remove(&name);
                    }
                }
            }
            Some(Key::Machine(id)) => drop(self.presences.remove(&id)),
            Some(Key::Node(id)) => drop(self.nodes.remove(&id)),
            Some(Key::Leader) => self.leader = None,
            _ => {}
        }
    }

    /// Returns what a machine is like now; of one that is away, what is remembered of it.
    pub fn metadata(&self, id: &MachineId) -> BTreeMap<String, String> {
        let configured = self.presences.get(id).map(|presence| presence.metadata.clone()).unwrap_or_default();
        self.nodes.get(id).map_or_else(|| configured.clone(), |node| node.over(&configured))
    }

    /// Returns what people call a machine.
    pub fn name<'a>(&'a self, id: &'a MachineId) -> &'a str {
        let present = self.presences.get(id).map(|presence| presence.name.as_str());
        let known = present.or_else(|| self.nodes.get(id).map(|node| node.name.as_str()));
        known.filter(|name| !name.is_empty()).unwrap_or_else(|| id.short())
    }

    /// Returns every machine that is there, was there, or has units.
    pub fn machines(&self) -> impl Iterator<Item = &MachineId> {
        let homes = self.units.values().filter_map(|unit| unit.record.machine.as_ref());
        let all: std::collections::BTreeSet<&MachineId> =
            self.presences.keys().chain(self.nodes.keys()).chain(homes).collect();
        all.into_iter()
    }

    /// Returns how far a unit has come, as fleet derives it from where it is and what is said of it.
    pub fn current(&self, name: &UnitName) -> Phase {
        let Some(machine) = self.units.get(name).and_then(|unit| unit.record.machine.as_ref()) else {
            return Phase::Inactive;
        };
        let report = self.reports.get(name).and_then(|reports| reports.get(machine));
        report.map_or(Phase::Inactive, |report| report.reached.max(Phase::Loaded))
    }

    /// Returns what the engine decides on. `standing` says of each machine that is away whether it is given up.
    pub fn snapshot(&self, fence: bool, standing: impl Fn(&MachineId) -> Standing) -> Snapshot {
        let machine = |id: &MachineId| {
            let presence = self.presences.get(id);
            let node = self.nodes.get(id);
            Machine {
                name: self.name(id).to_owned(),
                metadata: self.metadata(id),
                scheduling: node.map(|node| node.scheduling).unwrap_or_default(),
                memory_bytes: presence.and_then(|presence| presence.memory_bytes),
                standing: if presence.is_some() { Standing::Here } else { standing(id) },
            }
        };
        let machines: BTreeMap<MachineId, Machine> =
            self.machines().map(|id| (id.clone(), machine(id))).collect();
        let units = self.units.iter().map(|(name, known)| (name.clone(), self.unit(name, known)));
        Snapshot {
            units: units.collect(),
            holds: machines.values().any(|machine| machine.standing == Standing::Awaited),
            fence,
            machines,
        }
    }

    fn unit(&self, name: &UnitName, known: &Known) -> Unit {
        let reports = self.reports.get(name);
        Unit {
            needs: known.needs.clone(),
            desired: known.record.desired,
            machine: known.record.machine.clone(),
            wish: known.record.wish.clone(),
            reported_on: reports.map(|reports| reports.keys().cloned().collect()).unwrap_or_default(),
        }
    }
}
