//! The agent at work: one loop over everything that can happen, and a plan after each of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};
use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::fleet::heart::{Pulse, Timing};
use crate::fleet::records::{MachineId, Phase, Presence};
use crate::fleet::registry::Registry;
use crate::fleet::unit::{Needs, UnitName};

use super::fence::{Fence, Trust, fence};
use super::held::{Claim, Held, Holding};
use super::operation::{self, End, Operation};
use super::orders::{self, Orders};
use super::plan::{Scene, Step};
use super::report::{self, Told};
use super::units::{Error, Found, Status, Units};

/// For how long a unit that was told to stop is still said to be launched: clients of upstream look every
/// 250 ms, and wait for ever for what they did not see.
const SHOWN_LAUNCHED: Duration = Duration::from_secs(1);
const A_LONG_TIME: Duration = Duration::from_hours(1);
/// When a file that systemd did not take is given to it again.
const TRY_AGAIN: Duration = Duration::from_secs(10);

pub struct Agent<R, U> {
    pub registry: R,
    pub units: U,
    pub machine: MachineId,
    pub pulse: watch::Receiver<Pulse>,
    pub presence: watch::Receiver<Presence>,
    pub timing: Timing,
    /// Whether units are fenced that do not say themselves.
    pub fence: bool,
    /// What decides: [`super::plan()`].
    pub plan: fn(&Scene) -> Vec<Step>,
}

impl<R: Registry, U: Units> Agent<R, U> {
    /// Runs units until it is dropped; they go on then.
    pub async fn run(self) {
        let (sender, orders) = watch::channel(None);
        let (registry, machine, presence) =
            (self.registry.clone(), self.machine.clone(), self.presence.clone());
        let stale = Arc::new(Notify::new());
        let following = orders::follow(&registry, &machine, presence, self.timing, (&sender, &stale));
        let working = async { Work::begin(self, orders, Arc::clone(&stale)).await.run().await };
        tokio::join!(following, working);
    }
}

/// Returns what is there and how it is: what is not launched may be stopping still, and must not be taken for
/// still.
async fn look_around<U: Units>(units: &U) -> Result<BTreeMap<UnitName, (Found, Option<Status>)>, Error> {
    let found = units.found().await?;
    let mut statuses = units.statuses(found.keys().cloned().collect()).await?;
    let with_status = |(name, found): (UnitName, Found)| {
        let status = statuses.remove(&name);
        (name, (found, status))
    };
    Ok(found.into_iter().map(with_status).collect())
}

struct Work<R, U> {
    agent: Agent<R, U>,
    /// `None` until the registry has said in full what is to be here: before that nothing is touched.
    orders: watch::Receiver<Option<Orders>>,
    /// Told when the orders turn out not to be the last ones.
    stale: Arc<Notify>,
    holding: Holding,
    told: Told,
    operations: FuturesUnordered<Operation>,
    is_filing: bool,
    is_publishing: bool,
    is_looking: bool,
    /// Units to look at.
    dirty: BTreeSet<UnitName>,
    trust: Trust,
    killed: BTreeSet<UnitName>,
}

impl<R: Registry, U: Units> Work<R, U> {
    /// Takes over what an earlier run of the agent left.
    async fn begin(agent: Agent<R, U>, orders: watch::Receiver<Option<Orders>>, stale: Arc<Notify>) -> Self {
        let found = loop {
            match look_around(&agent.units).await {
                Ok(found) => break found,
                Err(error) => {
                    tracing::warn!(%error, "the units of an earlier run could not be read");
                    sleep(agent.timing.ttl / 3).await;
                }
            }
        };
        let hold = |(found, status): (Found, Option<Status>), name: &UnitName| {
            let needs = Needs::of(name, &found.file).unwrap_or_default();
            let is_fenced = needs.fence.unwrap_or(agent.fence);
            let held = Held::new(found.file.hash(), found.launched);
            Held { is_fenced, status: status.unwrap_or_else(|| held.status.clone()), ..held }
        };
        let holding: Holding =
            found.into_iter().map(|(name, found)| (name.clone(), hold(found, &name))).collect();
        let trust = Trust::new(&agent.pulse.borrow());
        Self {
            dirty: holding.keys().cloned().collect(),
            trust,
            agent,
            orders,
            stale,
            holding,
            told: Told::default(),
            operations: FuturesUnordered::new(),
            is_filing: false,
            is_publishing: false,
            is_looking: false,
            killed: BTreeSet::new(),
        }
    }

    async fn run(mut self) {
        loop {
            let wake = self.advance();
            tokio::select! {
                biased;
                changed = self.agent.pulse.changed() => if changed.is_err() { return },
                changed = self.orders.changed() => if changed.is_err() { return },
                Some(end) = self.operations.next() => self.take_in(end),
                changed = self.agent.units.changed() => self.note_change(changed),
                () = sleep_until(wake) => {}
            }
        }
    }

    fn note_change(&mut self, unit: Option<UnitName>) {
        match unit {
            Some(unit) => drop(self.holding.contains_key(&unit).then(|| self.dirty.insert(unit))),
            None => self.dirty.extend(self.holding.keys().cloned()),
        }
    }

    /// Begins everything that is due, and returns when to look again if nothing happens.
    fn advance(&mut self) -> Instant {
        let now = Instant::now();
        let pulse = *self.agent.pulse.borrow_and_update();
        let orders = self.orders.borrow_and_update().clone();
        if self.told.under(pulse.lease) {
            self.stale.notify_one();
        }
        let fence_at = self.fence(&pulse, now);
        if let Some(orders) = &orders {
            self.obey(orders, pulse.lease.filter(|_| now < pulse.sure_until), now);
        }
        self.look();
        if let (Some(lease), Some(orders)) = (pulse.lease, &orders) {
            self.publish(lease, orders, now);
        }
        let moments = self.holding.values().flat_map(|held| [held.shown_launched_until, held.broken_until]);
        moments.flatten().chain(fence_at).filter(|at| *at > now).min().unwrap_or(now + A_LONG_TIME)
    }

    /// Stops what others may start, and returns when to look at that again.
    fn fence(&mut self, pulse: &Pulse, now: Instant) -> Option<Instant> {
        self.trust.note(pulse);
        let Fence { stop, kill, next } = fence(&self.trust, &self.holding, self.agent.timing, now);
        for unit in &stop {
            self.stop(unit);
        }
        self.killed.retain(|unit| kill.contains(unit));
        for unit in kill {
            if !self.killed.insert(unit.clone()) {
                continue;
            }
            tracing::warn!(%unit, "killed: the lease of this machine is over and others may start it");
            self.operations.push(operation::kill(&self.agent.units, unit.clone()));
            self.stop(&unit);
        }
        next
    }

    fn stop(&mut self, unit: &UnitName) {
        if let Some(held) = self.holding.get_mut(unit).filter(|held| !held.is_busy) {
            held.is_busy = true;
            self.operations.push(operation::stop(&self.agent.units, unit.clone()));
        }
    }

    fn obey(&mut self, orders: &Orders, lease: Option<u64>, now: Instant) {
        for (name, order) in orders {
            if let Some(held) = self.holding.get_mut(name) {
                held.is_fenced = order.needs.fence.unwrap_or(self.agent.fence);
            }
        }
        let scene = Scene { orders, holding: &self.holding, is_filing: self.is_filing, lease, now };
        for step in (self.agent.plan)(&scene) {
            self.begin_step(step, orders, now);
        }
    }

    fn begin_step(&mut self, step: Step, orders: &Orders, now: Instant) {
        match step {
            Step::Load(names) => {
                self.is_filing = true;
                let file = |name: &UnitName| {
                    let order = orders.get(name)?;
                    Some((name.clone(), (*order.file).clone(), order.hash.clone()))
                };
                let files = names.iter().filter_map(file).collect();
                self.operations.push(operation::load(&self.agent.units, files));
            }
            Step::Start { unit, stops } => {
                let Some(held) = self.holding.get_mut(&unit) else { return };
                held.is_busy = true;
                held.launched = Some(stops);
                self.operations.push(operation::start(&self.agent.units, unit, stops));
            }
            Step::Stop(unit) => {
                let is_kept = orders.get(&unit).is_some_and(|order| order.desired != Phase::Launched);
                if let Some(held) =
                    self.holding.get_mut(&unit).filter(|held| is_kept && held.launched.is_some())
                {
                    held.shown_launched_until = Some(now + SHOWN_LAUNCHED);
                }
                self.stop(&unit);
            }
            Step::Unload(names) => {
                self.is_filing = true;
                for name in &names {
                    self.holding.get_mut(name).into_iter().for_each(|held| held.is_busy = true);
                }
                self.operations.push(operation::unload(&self.agent.units, names));
            }
        }
    }

    fn look(&mut self) {
        if self.is_looking || self.dirty.is_empty() {
            return;
        }
        self.is_looking = true;
        let names = std::mem::take(&mut self.dirty).into_iter().collect();
        self.operations.push(operation::look(&self.agent.units, names));
    }

    fn publish(&mut self, lease: u64, orders: &Orders, now: Instant) {
        if self.is_publishing {
            return;
        }
        if !self.told.is_known() {
            self.is_publishing = true;
            self.operations.push(report::remember(&self.agent.registry, &self.agent.machine, lease));
            return;
        }
        let news = report::news(orders, &self.holding, &self.told, now);
        if !news.is_empty() {
            self.is_publishing = true;
            self.operations.push(report::publish(&self.agent.registry, &self.agent.machine, lease, news));
        }
    }

    fn take_in(&mut self, end: End) {
        match end {
            End::Loaded { loaded, failed } => {
                self.is_filing = false;
                for (name, hash) in loaded {
                    self.dirty.insert(name.clone());
                    let is_fenced = self.agent.fence;
                    self.holding.insert(name, Held { is_fenced, ..Held::new(hash, None) });
                }
                let again = Instant::now() + TRY_AGAIN;
                for (name, hash) in failed {
                    self.holding.insert(name, Held::broken(hash, again));
                }
            }
            End::Started(unit) => self.idle(&unit),
            End::Stopped { unit, status } => {
                if let Some(held) = self.holding.get_mut(&unit) {
                    held.launched = None;
                    held.status = status.unwrap_or_else(|| held.status.clone());
                    // Before it starts again it has to be ours still.
                    held.claim = Claim::None;
                }
                self.idle(&unit);
            }
            End::Killed(unit) => drop(self.dirty.insert(unit)),
            End::Unloaded(names) => {
                self.is_filing = false;
                for name in &names {
                    self.holding.remove(name);
                }
            }
            End::Kept(names) => {
                self.is_filing = false;
                for name in &names {
                    self.idle(name);
                }
            }
            End::Seen(seen) => {
                self.is_looking = false;
                for (name, status) in seen {
                    if let Some(held) = self.holding.get_mut(&name).filter(|held| held.broken_until.is_none())
                    {
                        held.status = status;
                    }
                }
            }
            End::Unseen => {
                self.is_looking = false;
                self.note_change(None);
            }
            End::Published(published) => {
                self.is_publishing = false;
                if published.has_lost() {
                    self.stale.notify_one();
                }
                self.told.take_in(&published, &mut self.holding);
            }
            End::Remembered { lease, reports } => {
                self.is_publishing = false;
                self.told.remember(lease, reports);
            }
            End::Forgotten => self.is_publishing = false,
        }
    }

    fn idle(&mut self, unit: &UnitName) {
        self.dirty.insert(unit.clone());
        self.holding.get_mut(unit).into_iter().for_each(|held| held.is_busy = false);
    }
}
