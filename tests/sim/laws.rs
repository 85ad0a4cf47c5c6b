//! What must hold at every revision of the registry: nobody's unit is lost, nothing contradicts itself, and
//! nothing moves without a reason.

mod fitness;
mod motion;
mod settled;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use lab::fleet::records::{MachineId, UnitRecord};
use lab::fleet::registry::{Entry, Event, Key, Page, fsck, parse};
use lab::fleet::unit::UnitName;
use lab::fleet::view::View;

use crate::site::{Site, lately};

/// Rules, as they are named when one is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// What was written last is what stands there.
    Lost,
    /// A fenced unit never runs twice; another one only while something is cut off.
    Twice,
    /// A unit runs where it is allowed to.
    Misplaced,
    /// The registry does not contradict itself.
    Contradiction,
    /// Nothing moves, stops or starts without a reason.
    Unreasonable,
    /// After an outage nobody is given up who is there.
    Grace,
    /// What runs is known to the registry.
    Unclaimed,
    /// A machine that is well stays known.
    Missed,
    /// Afterwards everything is as it is to be.
    Unsettled,
    /// The daemon does not end.
    Died,
}

#[derive(Debug, Clone)]
pub struct Failure {
    pub law: Law,
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.law, self.what)
    }
}

pub fn broken(law: Law, what: impl Into<String>) -> Failure {
    Failure { law, what: what.into() }
}

/// How long the past is remembered.
const MEMORY_MS: u64 = 12_000;
/// Within this time of a change everybody has heard of it and acted, if nothing is slow.
pub const REACTION_MS: u64 = 3_000;
/// How long machines are waited for after an outage, and a little less: clocks of watchers differ.
const GRACE_MS: u64 = 9_000;

#[derive(Default)]
pub struct Laws {
    pub view: View,
    pub now: u64,
    /// When the registry was without a quorum last.
    pub outage_at: Option<u64>,
    pub trace: Option<Vec<String>>,
    entries: BTreeMap<String, Entry>,
    /// The view as it was a while ago, and what happened since.
    past: View,
    since: VecDeque<(u64, Vec<Event>)>,
    promises: BTreeMap<UnitName, UnitRecord>,
    pub recreated_at: BTreeMap<UnitName, u64>,
    motion: motion::Motion,
}

fn revision_of(event: &Event) -> u64 {
    match event {
        Event::Put(entry) => entry.revision,
        Event::Deleted { revision, .. } => *revision,
    }
}

fn key_of(event: &Event) -> Option<Key> {
    match event {
        Event::Put(entry) => Key::parse(&entry.key),
        Event::Deleted { key, .. } => Key::parse(key),
    }
}

impl Laws {
    pub fn new(is_traced: bool) -> Self {
        Self { trace: is_traced.then(Vec::new), ..Self::default() }
    }

    pub fn note(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>3}.{:03} {}", now / 1000, now % 1000, text()));
        }
    }

    /// Remembers what a user was told to be done.
    pub fn promise(&mut self, name: &UnitName, promise: Option<UnitRecord>) {
        match promise {
            Some(record) => drop(self.promises.insert(name.clone(), record)),
            None => drop(self.promises.remove(name)),
        }
    }

    /// Takes in what happened in the registry, revision by revision.
    pub fn take_in(&mut self, events: &[Event], sites: &[Site]) -> Result<(), Failure> {
        for change in events.chunk_by(|a, b| revision_of(a) == revision_of(b)) {
            let moves = self.moves(change);
            let lost = self.machines_lost(change);
            self.apply(change);
            for (name, from, to) in moves {
                self.check_leaving(&name, from.as_ref(), sites)?;
                self.check_coming(&name, to.as_ref())?;
            }
            for id in lost {
                self.check_missed(&id, sites)?;
            }
            self.check_promises(change)?;
            self.check_contradictions(change)?;
        }
        Ok(())
    }

    fn apply(&mut self, change: &[Event]) {
        self.since.push_back((self.now, change.to_vec()));
        while self.since.front().is_some_and(|(at, _)| at + MEMORY_MS < self.now) {
            if let Some((_, old)) = self.since.pop_front() {
                self.past.apply(&old);
            }
        }
        for event in change {
            match event {
                Event::Put(entry) => drop(self.entries.insert(entry.key.clone(), entry.clone())),
                Event::Deleted { key, .. } => drop(self.entries.remove(key)),
            }
        }
        self.view.apply(change);
        if self.trace.is_some() {
            for event in change {
                self.note(|| told(event));
            }
        }
    }

    /// Returns whether something was so at any moment of the last while.
    fn was(&self, within_ms: u64, is_so: impl Fn(&View) -> bool) -> bool {
        if is_so(&self.view) {
            return true;
        }
        let first = self.now.saturating_sub(within_ms);
        let mut view = self.past.clone();
        for (at, change) in &self.since {
            // What held until this change held at the beginning of the while, or later.
            if *at >= first && is_so(&view) {
                return true;
            }
            view.apply(change);
        }
        false
    }

    fn moves(&self, change: &[Event]) -> Vec<(UnitName, Option<MachineId>, Option<MachineId>)> {
        let moved = |event: &Event| {
            let Event::Put(entry) = event else { return None };
            let Some(Key::Unit(name)) = Key::parse(&entry.key) else { return None };
            let from = self.view.units.get(&name).and_then(|known| known.record.machine.clone());
            let to = parse::<UnitRecord>(entry).ok()?.machine;
            (from != to).then_some((name, from, to))
        };
        change.iter().filter_map(moved).collect()
    }

    fn machines_lost(&self, change: &[Event]) -> Vec<MachineId> {
        let lost = |event: &Event| match (event, key_of(event)?) {
            (Event::Deleted { .. }, Key::Machine(id)) => Some(id),
            _ => None,
        };
        change.iter().filter_map(lost).collect()
    }

    fn check_promises(&self, change: &[Event]) -> Result<(), Failure> {
        for event in change {
            let Some(Key::Unit(name)) = key_of(event) else { continue };
            let stands = self.view.units.get(&name).map(|known| &known.record);
            let same = match (self.promises.get(&name), stands) {
                (Some(promise), Some(record)) => promise.order() == record.order(),
                (promise, record) => promise.is_none() && record.is_none(),
            };
            if !same {
                let what = format!("{name} is {stands:?}, and was to be {:?}", self.promises.get(&name));
                return Err(broken(Law::Lost, what));
            }
        }
        Ok(())
    }

    /// Looks at all keys that have to agree with what has changed.
    fn check_contradictions(&self, change: &[Event]) -> Result<(), Failure> {
        let mut page = Page { revision: self.view.revision, entries: Vec::new() };
        let keys: Vec<Key> = change.iter().filter_map(key_of).collect();
        let concerns = |key: &Key| {
            keys.iter().any(|changed| match (changed, key) {
                (Key::Machine(id), Key::State(_, on) | Key::Machine(on))
                | (Key::State(_, id), Key::Machine(on)) => id == on,
                (Key::State(name, id), Key::State(other, on)) => name == other && id == on,
                (
                    Key::Unit(name) | Key::Target(_, name) | Key::Global(name),
                    Key::Unit(other) | Key::Target(_, other) | Key::Global(other),
                ) => name == other,
                _ => false,
            })
        };
        for entry in self.entries.values() {
            if Key::parse(&entry.key).is_none_or(|key| concerns(&key)) {
                page.entries.push(entry.clone());
            }
        }
        match fsck(&page).first() {
            Some(finding) => Err(broken(Law::Contradiction, finding.to_string())),
            None => Ok(()),
        }
    }

    /// A unit leaves a machine only if nobody wants it, or the machine is away, or not for it any more.
    fn check_leaving(
        &self,
        name: &UnitName,
        from: Option<&MachineId>,
        sites: &[Site],
    ) -> Result<(), Failure> {
        let Some(id) = from else { return Ok(()) };
        let within = REACTION_MS + slowest(sites);
        let unwanted = |view: &View| !fitness::may_stay(view, name, id);
        if self.was(within, unwanted) {
            return Ok(());
        }
        if !self.was(within, |view| !view.presences.contains_key(id)) {
            return Err(broken(Law::Unreasonable, format!("{name} was taken from {id}, which is well")));
        }
        let is_after_outage = lately(self.outage_at, self.now, GRACE_MS);
        // Whoever was cut off as well has lost its lease by that.
        let has_own_trouble = |site: &Site| lately(site.isolated_at, self.now, 4_000);
        let is_there = sites
            .iter()
            .any(|site| site.node.id == *id && site.is_in_contact(self.now) && !has_own_trouble(site));
        if is_after_outage && is_there {
            let what = format!("{name} was taken from {id}, which is there, soon after an outage");
            return Err(broken(Law::Grace, what));
        }
        Ok(())
    }

    fn check_coming(&self, name: &UnitName, to: Option<&MachineId>) -> Result<(), Failure> {
        let Some(id) = to else { return Ok(()) };
        // The engine may have heard of one thing and not yet of another.
        let is_open = self.was(REACTION_MS, |view| fitness::takes_units(view, id));
        if is_open && self.was(REACTION_MS, |view| fitness::may_come(view, name, id)) {
            return Ok(());
        }
        Err(broken(Law::Misplaced, format!("{name} was given to {id}, which must not have it")))
    }

    fn check_missed(&self, id: &MachineId, sites: &[Site]) -> Result<(), Failure> {
        let Some(site) = sites.iter().find(|site| site.node.id == *id) else { return Ok(()) };
        let is_well = !lately(site.isolated_at, self.now, 4_000);
        if is_well { Err(broken(Law::Missed, format!("{id} was well and lost its lease"))) } else { Ok(()) }
    }
}

/// Returns by how much longer something may take because some node is slow.
pub fn slowest(sites: &[Site]) -> u64 {
    sites.iter().map(|site| site.slowness_ms).max().unwrap_or(0)
}

fn told(event: &Event) -> String {
    match event {
        Event::Put(entry) => format!("    {} {} = {}", entry.revision, entry.key, entry.value),
        Event::Deleted { key, revision } => format!("    {revision} {key} is deleted"),
    }
}
