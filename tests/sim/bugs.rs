//! How the parts of a node are wired: as they are meant to be, or with one deliberate bug.

use std::cell::Cell;
use std::time::Duration;

use lab::fleet::agent::{self, Claim, Holding, Orders, Scene, Step};
use lab::fleet::heart::Timing;
use lab::fleet::placement::{self, Assignment, Snapshot, Standing};
use lab::fleet::records::Phase;
use tokio::time::Instant;

use crate::line::Twist;
use crate::node::Lie;

#[derive(Debug, Clone, Copy)]
pub struct Wiring {
    pub timing: Timing,
    /// What agents take for the margin.
    pub agent_margin: Duration,
    pub place: fn(&Snapshot) -> Vec<Assignment>,
    pub obey: fn(&Scene) -> Vec<Step>,
    pub twist: Twist,
    pub is_forgetful: bool,
    pub lie: Lie,
}

impl Default for Wiring {
    fn default() -> Self {
        let timing = Timing::default();
        Self {
            timing,
            agent_margin: timing.margin,
            place: placement::plan,
            obey: agent::plan,
            twist: Twist::None,
            is_forgetful: false,
            lie: Lie::None,
        }
    }
}

/// Lets units that exclude each other share a machine.
pub fn place_beside_conflicts(snapshot: &Snapshot) -> Vec<Assignment> {
    let mut snapshot = snapshot.clone();
    for unit in snapshot.units.values_mut() {
        if let Ok(needs) = &mut unit.needs {
            std::sync::Arc::make_mut(needs).conflicts.clear();
        }
    }
    placement::plan(&snapshot)
}

/// Does not wait until a machine has stopped what it is to give away.
pub fn place_over_residue(snapshot: &Snapshot) -> Vec<Assignment> {
    let mut snapshot = snapshot.clone();
    snapshot.units.values_mut().for_each(|unit| unit.reported_on.clear());
    placement::plan(&snapshot)
}

/// Gives up a machine as soon as it is away, whatever may still run there.
pub fn place_without_fencing(snapshot: &Snapshot) -> Vec<Assignment> {
    let mut snapshot = snapshot.clone();
    for machine in snapshot.machines.values_mut() {
        if machine.standing == Standing::Fencing {
            machine.standing = Standing::Gone;
        }
    }
    placement::plan(&snapshot)
}

/// Waits for nobody after an outage.
pub fn place_without_grace(snapshot: &Snapshot) -> Vec<Assignment> {
    let mut snapshot = snapshot.clone();
    snapshot.holds = false;
    for machine in snapshot.machines.values_mut() {
        if machine.standing == Standing::Awaited {
            machine.standing = Standing::Gone;
        }
    }
    placement::plan(&snapshot)
}

fn with_holding(scene: &Scene, change: impl FnOnce(&mut Holding)) -> Vec<Step> {
    let mut holding = scene.holding.clone();
    change(&mut holding);
    agent::plan(&Scene { holding: &holding, ..*scene })
}

/// A wrong agent may do the same again and again, in which no time passes: then the history would never end.
fn goes_in_a_circle() -> bool {
    const MANY: u32 = 10_000;
    thread_local! {
        static LAST: Cell<Option<(Instant, u32)>> = const { Cell::new(None) };
    }
    let now = Instant::now();
    let before = LAST.get().filter(|(last, _)| *last == now).map_or(0, |(_, times)| times);
    LAST.set(Some((now, before.saturating_add(1))));
    before > MANY
}

/// Starts units without asking whether they are still its own.
pub fn obey_without_claim(scene: &Scene) -> Vec<Step> {
    if goes_in_a_circle() {
        return agent::plan(scene);
    }
    let lease = scene.lease.unwrap_or(1);
    let mut holding = scene.holding.clone();
    for held in holding.values_mut() {
        held.claim = Claim::Made { lease };
    }
    agent::plan(&Scene { holding: &holding, lease: Some(lease), ..*scene })
}

/// Sees that a unit is to be launched, and not that it was stopped in between.
pub fn obey_without_restarts(scene: &Scene) -> Vec<Step> {
    with_holding(scene, |holding| {
        for held in holding.values_mut() {
            held.launched = held.launched.map(|_| u64::MAX);
        }
    })
}

/// Keeps what it was told to give away.
pub fn obey_and_keep(scene: &Scene) -> Vec<Step> {
    let steps = agent::plan(scene).into_iter();
    steps.filter(|step| !matches!(step, Step::Stop(unit) if !scene.orders.contains_key(unit))).collect()
}

/// Starts everything that it is told to load.
pub fn obey_too_eagerly(scene: &Scene) -> Vec<Step> {
    let mut orders: Orders = scene.orders.clone();
    for order in orders.values_mut() {
        order.desired = Phase::Launched;
    }
    agent::plan(&Scene { orders: &orders, ..*scene })
}
