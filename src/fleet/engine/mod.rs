//! The engine: one of the machines leads, sees the whole cluster, and gives units their machines.

mod commit;
mod lead;
mod standing;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::sleep;

use super::heart::{Pulse, Timing, lost};
use super::metrics::Metrics;
use super::placement::{Assignment, Snapshot};
use super::records::{Leader, MachineId};
use super::registry::{Error, Event, Key, Page, Registry, Watch, parse, put, unchanged};

pub struct Engine<R> {
    pub registry: R,
    pub machine: MachineId,
    pub pulse: watch::Receiver<Pulse>,
    pub timing: Timing,
    /// Whether units are fenced that do not say themselves.
    pub fence: bool,
    pub metrics: Arc<Metrics>,
    /// What decides: [`super::placement::plan`].
    pub plan: fn(&Snapshot) -> Vec<Assignment>,
}

/// The key `leader` as it stands.
struct Seat {
    holder: Option<(MachineId, u64)>,
    /// The revision at which it was taken: every commit of this term demands it.
    term: u64,
    revision: u64,
}

impl Seat {
    fn of(page: &Page) -> Result<Self, Error> {
        let Some(entry) = page.entries.first() else {
            return Ok(Self { holder: None, term: 0, revision: page.revision });
        };
        let leader: Leader = parse(entry)?;
        Ok(Self { holder: Some((leader.machine, entry.lease)), term: entry.created, revision: page.revision })
    }
}

impl<R: Registry> Engine<R> {
    /// Leads whenever it may, until it is dropped.
    pub async fn run(mut self) {
        loop {
            let Some(lease) = self.lease().await else { return };
            if let Err(error) = self.campaign(lease).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the engine begins anew");
                self.metrics.reconcile_failed("registry");
                sleep(self.timing.ttl / 10).await;
            }
        }
    }

    /// Waits for a lease; `None` if there will be none any more.
    async fn lease(&mut self) -> Option<u64> {
        let pulse = self.pulse.wait_for(|pulse| pulse.lease.is_some()).await.ok()?;
        pulse.lease
    }

    /// Takes the seat if it is free and leads, or waits until it is. Returns when either ends.
    async fn campaign(&mut self, lease: u64) -> Result<(), Error> {
        let key = Key::Leader;
        let seat = Seat::of(&self.registry.read(&[key.to_string()]).await?)?;
        match seat.holder {
            Some((machine, of)) if machine == self.machine && of == lease => {
                self.lead(lease, seat.term).await
            }
            Some(_) => self.wait_for_seat(lease, seat.revision).await,
            None => {
                let leader = put(&key, &Leader { machine: self.machine.clone() }, Some(lease));
                let outcome = self.registry.commit(vec![unchanged(&key, 0)], vec![leader]).await?;
                if outcome.succeeded { self.lead(lease, outcome.revision).await } else { Ok(()) }
            }
        }
    }

    async fn wait_for_seat(&mut self, lease: u64, revision: u64) -> Result<(), Error> {
        let keys = [Key::Leader.to_string()];
        let mut watch = self.registry.watch(&keys, revision + 1).await?;
        loop {
            tokio::select! {
                biased;
                events = watch.next() => {
                    if events?.iter().any(|event| matches!(event, Event::Deleted { .. })) {
                        return Ok(());
                    }
                }
                () = lost(&mut self.pulse, lease) => return Ok(()),
                // A watch can hang on a member that is cut off; looking anew now and then costs nothing.
                () = sleep(self.timing.grace) => return Ok(()),
            }
        }
    }
}
