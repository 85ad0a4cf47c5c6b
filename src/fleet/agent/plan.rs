//! What the agent is to do next: a function of what it is told and what it has.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::fleet::records::Phase;
use crate::fleet::unit::{UnitFile, UnitName};

use super::held::{Claim, Held, Holding};
use super::orders::{Order, Orders};

/// Something to do. Each is carried out on its own, while others are under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// All files at once, so that systemd reads everything once, and before anything is started.
    Load(Vec<UnitName>),
    Start {
        unit: UnitName,
        stops: u64,
    },
    Stop(UnitName),
    Unload(Vec<UnitName>),
}

/// What a plan is made from.
pub struct Scene<'a> {
    pub orders: &'a Orders,
    pub holding: &'a Holding,
    /// Files are being written or removed, which is done by one at a time.
    pub is_filing: bool,
    /// The lease, if it certainly lasts still: nothing is started without it.
    pub lease: Option<u64>,
    pub now: Instant,
}

/// Returns the steps that are due.
pub fn plan(scene: &Scene) -> Vec<Step> {
    let Scene { orders, holding, is_filing, lease, now } = *scene;
    let mut steps: Vec<Step> = Vec::new();
    let idle = || holding.iter().filter(|(_, held)| !held.is_busy);
    let stops = idle().filter(|(name, held)| has_to_stop(orders.get(*name), held));
    steps.extend(stops.map(|(name, _)| Step::Stop(name.clone())));

    let is_stale = |name: &UnitName, held: &Held| {
        let is_other = orders.get(name).is_none_or(|order| order.hash != held.hash);
        is_other || held.broken_until.is_some_and(|until| until <= now)
    };
    let unload: Vec<UnitName> = idle()
        .filter(|(name, held)| is_stale(name, held) && !held.may_run())
        .map(|(name, _)| name.clone())
        .collect();
    let load: Vec<UnitName> = orders.keys().filter(|name| !holding.contains_key(*name)).cloned().collect();
    let must_wait = is_filing || !load.is_empty();
    if !is_filing {
        steps.extend((!unload.is_empty()).then_some(Step::Unload(unload)));
        steps.extend((!load.is_empty()).then_some(Step::Load(load)));
    }
    // Nothing starts before all that it may depend on is loaded.
    if !must_wait {
        let due = idle().filter_map(|(name, held)| {
            let order = orders.get(name).filter(|order| is_to_start(order, held, lease))?;
            Some((name, order))
        });
        steps.extend(in_order_of_start(&due.collect()));
    }
    steps
}

fn has_to_stop(order: Option<&Order>, held: &Held) -> bool {
    let Some(order) = order else { return held.may_run() };
    let is_restart = held.launched.is_some_and(|stops| order.stops > stops);
    let is_unwanted = order.desired != Phase::Launched && held.launched.is_some();
    (order.hash != held.hash && held.may_run()) || is_restart || is_unwanted
}

fn is_to_start(order: &Order, held: &Held, lease: Option<u64>) -> bool {
    let is_claimed = lease.is_some_and(|lease| held.claim == Claim::Made { lease });
    let is_sound = order.hash == held.hash && held.broken_until.is_none();
    order.desired == Phase::Launched && held.launched.is_none() && is_sound && is_claimed
}

/// Puts units behind those that they are to start after. systemd orders jobs only against those that are
/// queued already.
fn in_order_of_start(due: &BTreeMap<&UnitName, &Order>) -> Vec<Step> {
    let befores: BTreeMap<&UnitName, BTreeSet<&UnitName>> =
        due.iter().map(|(name, order)| (*name, predecessors(name, order, due))).collect();
    let mut done: BTreeSet<&UnitName> = BTreeSet::new();
    let mut steps = Vec::new();
    while done.len() < due.len() {
        let waiting = due.keys().filter(|name| !done.contains(*name));
        let ready: Vec<&UnitName> =
            waiting.clone().filter(|name| befores[*name].is_subset(&done)).copied().collect();
        // In a circle somebody has to be first.
        let next = if ready.is_empty() { waiting.take(1).copied().collect() } else { ready };
        for name in next {
            done.insert(name);
            steps.push(Step::Start { unit: name.clone(), stops: due[name].stops });
        }
    }
    steps
}

fn predecessors<'a>(
    name: &UnitName,
    order: &Order,
    due: &BTreeMap<&'a UnitName, &'a Order>,
) -> BTreeSet<&'a UnitName> {
    const AFTER: [&str; 5] = ["After", "Requires", "BindsTo", "Wants", "Requisite"];
    let named = |file: &UnitFile, option: &str, other: &UnitName| {
        let values: Vec<&str> = file.values("Unit", option).map(|(_, value)| value).collect();
        values.iter().flat_map(|value| value.split_whitespace()).any(|word| word == other.as_str())
    };
    let comes_first = |other: &UnitName, theirs: &Order| {
        AFTER.iter().any(|option| named(&order.file, option, other)) || named(&theirs.file, "Before", name)
    };
    due.iter()
        .filter(|(other, theirs)| **other != name && comes_first(other, theirs))
        .map(|(other, _)| *other)
        .collect()
}

#[cfg(test)]
mod tests;
