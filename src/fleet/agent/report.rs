//! What the registry is told of units, and the claims that come before a start.

use std::collections::BTreeMap;

use tokio::time::{Duration, Instant, sleep, timeout};

use crate::fleet::records::{MachineId, Report};
use crate::fleet::registry::{Compare, Error, Key, Op, Registry, delete, parse, put, unchanged};
use crate::fleet::unit::UnitName;

use super::held::{Claim, Holding};
use super::operation::{End, Operation};
use super::orders::Orders;

/// What the registry has been told under the present lease.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) lease: Option<u64>,
    /// `None` until it is known what an earlier run has told.
    reports: Option<BTreeMap<UnitName, Report>>,
}

/// One unit of which something is to be told.
#[derive(Debug, Clone)]
pub(super) struct News {
    unit: UnitName,
    /// `None` when the unit is not here any more.
    report: Option<Report>,
    /// The order that has to stand for the unit to be claimed, if it is one that we have no claim on yet.
    order: Option<(Key, u64)>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) lease: u64,
    pub(super) told: Vec<News>,
    /// Claims that came too late, with the revision of the order that they were for.
    pub(super) lost: Vec<(UnitName, u64)>,
}

impl Published {
    /// Returns whether an order was not what it was taken for.
    pub(super) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }
}

/// One operation and one comparison each; etcd takes 128 in a transaction.
const AT_ONCE: usize = 60;
const LIMIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(300);

/// Returns what the registry does not know yet.
pub(super) fn news(orders: &Orders, holding: &Holding, told: &Told, now: Instant) -> Vec<News> {
    let Some(reports) = &told.reports else { return Vec::new() };
    let mut news = Vec::new();
    for (unit, held) in holding {
        let report = Report {
            load: held.status.load.clone(),
            active: held.status.active.clone(),
            sub: held.status.sub.clone(),
            hash: held.hash.clone(),
            reached: held.reached(now),
        };
        let order = orders.get(unit).filter(|order| order.hash == held.hash);
        match (held.claim, order) {
            (Claim::Made { lease }, _) if Some(lease) == told.lease => {
                if reports.get(unit) != Some(&report) {
                    news.push(News { unit: unit.clone(), report: Some(report), order: None });
                }
            }
            (Claim::Failed { revision }, Some(order)) if order.revision == revision => {}
            (_, Some(order)) => {
                let order = Some((order.key.clone(), order.revision));
                news.push(News { unit: unit.clone(), report: Some(report), order });
            }
            // It is about to be removed; until then others have to know that it may run here.
            (_, None) if held.may_run() && reports.get(unit) != Some(&report) => {
                news.push(News { unit: unit.clone(), report: Some(report), order: None });
            }
            (_, None) => {}
        }
    }
    let gone = reports.keys().filter(|unit| !holding.contains_key(*unit));
    news.extend(gone.map(|unit| News { unit: unit.clone(), report: None, order: None }));
    news
}

/// Asks what stands in the registry of this machine's units. An earlier run may have ended before it took
/// back what it had told.
pub(super) fn remember<R: Registry>(registry: &R, machine: &MachineId, lease: u64) -> Operation {
    let (registry, machine) = (registry.clone(), machine.clone());
    Box::pin(async move {
        let Ok(Ok(page)) = timeout(LIMIT, registry.read(&[Key::States.to_string()])).await else {
            sleep(PAUSE).await;
            return End::Forgotten;
        };
        let own = page.entries.iter().filter_map(|entry| match Key::parse(&entry.key)? {
            Key::State(unit, on) if on == machine => Some((unit, parse(entry).ok()?)),
            _ => None,
        });
        End::Remembered { lease, reports: own.collect() }
    })
}

/// Tells the registry. What cannot be told now is news again later.
pub(super) fn publish<R: Registry>(
    registry: &R,
    machine: &MachineId,
    lease: u64,
    news: Vec<News>,
) -> Operation {
    let (registry, machine) = (registry.clone(), machine.clone());
    Box::pin(async move {
        let mut published = Published { lease, told: Vec::new(), lost: Vec::new() };
        for batch in news.chunks(AT_ONCE) {
            if tell(&registry, &machine, lease, batch, &mut published).await.is_err() {
                sleep(PAUSE).await;
                break;
            }
        }
        End::Published(published)
    })
}

async fn tell<R: Registry>(
    registry: &R,
    machine: &MachineId,
    lease: u64,
    batch: &[News],
    published: &mut Published,
) -> Result<(), Error> {
    if commit(registry, machine, lease, batch).await? {
        published.told.extend_from_slice(batch);
        return Ok(());
    }
    // One order of them is not what it was: each is told alone.
    for one in batch {
        if commit(registry, machine, lease, std::slice::from_ref(one)).await? {
            published.told.push(one.clone());
        } else if let Some((_, revision)) = one.order {
            published.lost.push((one.unit.clone(), revision));
        }
    }
    Ok(())
}

async fn commit<R: Registry>(
    registry: &R,
    machine: &MachineId,
    lease: u64,
    batch: &[News],
) -> Result<bool, Error> {
    let compares: Vec<Compare> =
        batch.iter().filter_map(|news| news.order.as_ref()).map(|(key, at)| unchanged(key, *at)).collect();
    let op = |news: &News| -> Op {
        let key = Key::State(news.unit.clone(), machine.clone());
        news.report.as_ref().map_or_else(|| delete(&key), |report| put(&key, report, Some(lease)))
    };
    let committing = registry.commit(compares, batch.iter().map(op).collect());
    match timeout(LIMIT, committing).await {
        Ok(outcome) => Ok(outcome?.succeeded),
        Err(late) => Err(Error::Unreachable { source: late.into() }),
    }
}

impl Told {
    /// Forgets everything that stood under another lease: it is gone with it. Returns whether there is a new
    /// one: while there was none, units may have been given to others.
    pub(super) fn under(&mut self, lease: Option<u64>) -> bool {
        let is_other = self.lease != lease;
        if is_other {
            *self = Self { lease, reports: None };
        }
        is_other && lease.is_some()
    }

    pub(super) fn is_known(&self) -> bool {
        self.reports.is_some()
    }

    pub(super) fn remember(&mut self, lease: u64, reports: BTreeMap<UnitName, Report>) {
        if self.lease == Some(lease) && self.reports.is_none() {
            self.reports = Some(reports);
        }
    }

    pub(super) fn take_in(&mut self, published: &Published, holding: &mut Holding) {
        let Some(reports) = self.reports.as_mut().filter(|_| self.lease == Some(published.lease)) else {
            return;
        };
        for news in &published.told {
            match &news.report {
                Some(report) => drop(reports.insert(news.unit.clone(), report.clone())),
                None => drop(reports.remove(&news.unit)),
            }
            if let (Some(held), Some(_)) = (holding.get_mut(&news.unit), &news.order) {
                held.claim = Claim::Made { lease: published.lease };
            }
        }
        for (unit, revision) in &published.lost {
            if let Some(held) = holding.get_mut(unit) {
                held.claim = Claim::Failed { revision: *revision };
            }
        }
    }
}
