//! What must hold of everything that runs, at every moment.

use std::collections::{BTreeMap, BTreeSet};

use lab::fleet::unit::UnitName;

use crate::catalogue;
use crate::site::{Site, lately};

use super::{Failure, Law, Laws, REACTION_MS, broken, fitness, slowest};

/// What runs, and for how long something has been wrong with it.
#[derive(Default)]
pub struct Motion {
    /// By node, since when each unit runs.
    running: Vec<BTreeMap<UnitName, u64>>,
    revision: u64,
    wrong: BTreeMap<(usize, UnitName), Wrong>,
    looked_at: u64,
}

struct Wrong {
    what: String,
    for_ms: u64,
}

/// How long two copies may go on after the trouble that led to them.
const PARTING_MS: u64 = 4_000;
/// How long a machine may go on to run what it should not: the engine hears of it, moves it, the agent stops it.
const WRONG_MS: u64 = 4_000;
/// For how long before somebody must have been well to be counted on.
const STEADY_MS: u64 = 5_000;

impl Laws {
    /// Looks at what runs now.
    pub fn look(&mut self, sites: &[Site], running: Vec<BTreeSet<UnitName>>) -> Result<(), Failure> {
        let elapsed = self.now - self.motion.looked_at;
        self.motion.looked_at = self.now;
        self.motion.running.resize_with(sites.len(), BTreeMap::new);
        let mut changed = self.motion.revision != self.view.revision;
        self.motion.revision = self.view.revision;
        for (index, now) in running.into_iter().enumerate() {
            changed |= self.note_motion(index, &sites[index], &now)?;
        }
        self.check_copies(sites)?;
        if changed {
            self.find_wrongs(sites);
        }
        self.check_claims(sites)?;
        self.check_wrongs(sites, elapsed)
    }

    fn note_motion(&mut self, index: usize, site: &Site, now: &BTreeSet<UnitName>) -> Result<bool, Failure> {
        let before = &self.motion.running[index];
        if before.len() == now.len() && before.keys().eq(now.iter()) {
            return Ok(false);
        }
        let stopped: Vec<UnitName> = before.keys().filter(|name| !now.contains(*name)).cloned().collect();
        let started: Vec<UnitName> = now.iter().filter(|name| !before.contains_key(*name)).cloned().collect();
        for name in stopped {
            self.motion.running[index].remove(&name);
            self.note(|| format!("{} stops {name}", site.node.id));
            self.check_stop(site, &name)?;
        }
        for name in started {
            self.motion.running[index].insert(name.clone(), self.now);
            self.note(|| format!("{} starts {name}", site.node.id));
            self.check_start(site, &name)?;
        }
        Ok(true)
    }

    /// A unit stops if it is to be elsewhere, or nowhere, or something else; or if its machine has trouble.
    fn check_stop(&self, site: &Site, name: &UnitName) -> Result<(), Failure> {
        let within = REACTION_MS + site.slowness_ms;
        if lately(site.isolated_at, self.now, within + PARTING_MS) || lately(site.deaf_at, self.now, within) {
            return Ok(());
        }
        let order = self.view.units.get(name).map(|known| known.record.order());
        let is_other = |view: &lab::fleet::view::View| {
            view.units.get(name).map(|known| known.record.order()) != order
                || !fitness::is_to_run(view, name, &site.node.id)
                || fitness::misfit(view, name, &site.node.id).is_some()
        };
        if self.was(within, is_other) {
            return Ok(());
        }
        Err(broken(Law::Unreasonable, format!("{} stopped {name} without a reason", site.node.id)))
    }

    fn check_start(&self, site: &Site, name: &UnitName) -> Result<(), Failure> {
        let within = REACTION_MS + site.slowness_ms;
        // Of a machine that is not known nobody can say which global units fit it.
        let is_unknown = !self.view.presences.contains_key(&site.node.id) && catalogue::is_global(name);
        let is_late = lately(site.frozen_at, self.now, 1_000) || lately(site.deaf_at, self.now, within);
        let is_excused = is_unknown || is_late;
        if is_excused || self.was(within, |view| fitness::is_to_run(view, name, &site.node.id)) {
            return Ok(());
        }
        Err(broken(Law::Unreasonable, format!("{} started {name} without a reason", site.node.id)))
    }

    fn check_copies(&self, sites: &[Site]) -> Result<(), Failure> {
        let mut first: BTreeMap<&UnitName, usize> = BTreeMap::new();
        for (index, running) in self.motion.running.iter().enumerate() {
            for name in running.keys() {
                if let Some(other) = first.insert(name, index) {
                    self.check_pair(name, other, index, sites)?;
                }
            }
        }
        Ok(())
    }

    fn check_pair(&self, name: &UnitName, one: usize, other: usize, sites: &[Site]) -> Result<(), Failure> {
        if catalogue::is_global(name) {
            return Ok(());
        }
        // Also of one that was destroyed, and runs still where nobody could say so.
        let is_fenced = catalogue::fence(name).unwrap_or(sites[one].is_fenced);
        let pair = [one, other];
        let within = PARTING_MS + slowest(sites);
        let is_excused = if is_fenced {
            // What was destroyed while its machine was cut off, and made anew, is another unit.
            self.recreated_at
                .get(name)
                .is_some_and(|at| pair.iter().any(|index| self.motion.running[*index][name] < *at))
        } else {
            let is_isolated = |index: &usize| lately(sites[*index].isolated_at, self.now, within);
            pair.iter().any(is_isolated) || lately(self.outage_at, self.now, within)
        };
        if is_excused {
            return Ok(());
        }
        let [one, other] = pair.map(|index| sites[index].node.id.clone());
        let kind = if is_fenced { "fenced" } else { "free" };
        Err(broken(Law::Twice, format!("{name}, which is {kind}, runs on {one} and {other}")))
    }

    /// What runs where the registry does not know of it could be started elsewhere.
    fn check_claims(&self, sites: &[Site]) -> Result<(), Failure> {
        for (site, running) in sites.iter().zip(&self.motion.running) {
            let is_claimed = |name: &UnitName| {
                self.view.reports.get(name).is_some_and(|reports| reports.contains_key(&site.node.id))
            };
            let Some((name, _)) = running.iter().find(|(name, _)| !is_claimed(name)) else { continue };
            let is_excused = lately(site.isolated_at, self.now, PARTING_MS + site.slowness_ms)
                || lately(self.outage_at, self.now, PARTING_MS);
            if !is_excused {
                return Err(broken(
                    Law::Unclaimed,
                    format!("{} runs {name} and has not said so", site.node.id),
                ));
            }
        }
        Ok(())
    }

    fn find_wrongs(&mut self, sites: &[Site]) {
        let mut found = BTreeMap::new();
        for (index, running) in self.motion.running.iter().enumerate() {
            let id = &sites[index].node.id;
            for name in running.keys() {
                let clash =
                    running.keys().find(|other| *other != name && fitness::exclude(&self.view, name, other));
                let clash = clash.map(|other| format!("{other} runs on {id} too"));
                let stray =
                    || (!fitness::is_to_run(&self.view, name, id)).then(|| "it is not to run".to_owned());
                let wrong = clash.or_else(|| fitness::misfit(&self.view, name, id)).or_else(stray);
                if let Some(what) = wrong {
                    let key = (index, name.clone());
                    let for_ms = self.motion.wrong.get(&key).map_or(0, |wrong| wrong.for_ms);
                    found.insert(key, Wrong { what, for_ms });
                }
            }
        }
        self.motion.wrong = found;
    }

    /// Counts the time for which something is wrong while those are well who have to put it right.
    fn check_wrongs(&mut self, sites: &[Site], elapsed: u64) -> Result<(), Failure> {
        let leader = self.view.leader.as_ref();
        let leads = sites
            .iter()
            .any(|site| Some(&site.node.id) == leader && site.leads_steadily(self.now, STEADY_MS));
        if !leads || lately(self.outage_at, self.now, STEADY_MS) {
            return Ok(());
        }
        for ((index, name), wrong) in &mut self.motion.wrong {
            let site = &sites[*index];
            if !site.is_steady(self.now, STEADY_MS) {
                continue;
            }
            wrong.for_ms += elapsed;
            if wrong.for_ms > WRONG_MS + site.slowness_ms {
                let what = format!("{} goes on to run {name}: {}", site.node.id, wrong.what);
                return Err(broken(Law::Misplaced, what));
            }
        }
        Ok(())
    }
}
