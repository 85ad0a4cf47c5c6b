//! A registry in memory, for tests and simulations: leases run by tokio's clock, and its faults are set by
//! whoever holds it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{Compare, Entry, Error, Event, Op, Outcome, Page, Registry, Watch};

/// What is wrong with a registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// It has no quorum: nothing is answered and no lease runs out. Afterwards each lease begins anew, as
    /// with etcd when it has a leader again.
    NoQuorum,
}

#[derive(Debug, Clone, Default)]
pub struct MemoryRegistry {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    revision: u64,
    keys: BTreeMap<String, Entry>,
    history: Vec<Event>,
    /// Events up to this revision are forgotten.
    compacted: u64,
    leases: BTreeMap<u64, Lease>,
    last_lease: u64,
    fault: Fault,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    ttl: Duration,
    end: Instant,
}

#[derive(Debug, thiserror::Error)]
#[error("it has no quorum")]
struct NoQuorum;

#[derive(Debug, thiserror::Error)]
#[error("there is no lease {0}")]
struct NoLease(u64);

fn is_in(keys: &[String], key: &str) -> bool {
    keys.iter().any(|own| own == key || (own.ends_with('/') && key.starts_with(own.as_str())))
}

impl State {
    fn check(&self) -> Result<(), Error> {
        match self.fault {
            Fault::None => Ok(()),
            Fault::NoQuorum => Err(Error::Unreachable { source: NoQuorum.into() }),
        }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let entry = |key: &String| self.keys.get(key);
        match compare {
            Compare::Revision { key, is } => entry(key).map_or(0, |entry| entry.revision) == *is,
            Compare::Created { key, is } => entry(key).map_or(0, |entry| entry.created) == *is,
        }
    }

    fn apply(&mut self, ops: Vec<Op>) {
        let revision = self.revision + 1;
        let before = self.history.len();
        for op in ops {
            match op {
                Op::Put { key, value, lease } => {
                    let created = self.keys.get(&key).map_or(revision, |entry| entry.created);
                    let lease = lease.unwrap_or(0);
                    let entry = Entry { key: key.clone(), value, created, revision, lease };
                    self.keys.insert(key, entry.clone());
                    self.history.push(Event::Put(entry));
                }
                Op::Delete { key } => self.delete(&key, revision),
                Op::DeletePrefix { prefix } => {
                    let keys: Vec<String> =
                        self.keys.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
                    for key in &keys {
                        self.delete(key, revision);
                    }
                }
            }
        }
        if self.history.len() > before {
            self.revision = revision;
        }
    }

    fn delete(&mut self, key: &str, revision: u64) {
        if self.keys.remove(key).is_some() {
            self.history.push(Event::Deleted { key: key.to_owned(), revision });
        }
    }

    /// Ends leases whose time is over; says whether there were any.
    fn expire(&mut self) -> bool {
        if self.fault == Fault::NoQuorum {
            return false;
        }
        let now = Instant::now();
        let over: Vec<u64> =
            self.leases.iter().filter(|(_, lease)| lease.end <= now).map(|(id, _)| *id).collect();
        for lease in &over {
            self.end_lease(*lease);
        }
        !over.is_empty()
    }

    fn end_lease(&mut self, lease: u64) {
        self.leases.remove(&lease);
        let bound = self.keys.values().filter(|entry| entry.lease == lease);
        let ops = bound.map(|entry| Op::Delete { key: entry.key.clone() }).collect();
        self.apply(ops);
    }

    fn next_expiry(&self) -> Option<Instant> {
        match self.fault {
            Fault::None => self.leases.values().map(|lease| lease.end).min(),
            Fault::NoQuorum => None,
        }
    }
}

fn revision_of(event: &Event) -> u64 {
    match event {
        Event::Put(entry) => entry.revision,
        Event::Deleted { revision, .. } => *revision,
    }
}

fn key_of(event: &Event) -> &str {
    match event {
        Event::Put(entry) => &entry.key,
        Event::Deleted { key, .. } => key,
    }
}

impl MemoryRegistry {
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what is wrong from now on.
    pub fn set_fault(&self, fault: Fault) {
        let mut state = self.lock();
        if state.fault == Fault::NoQuorum && fault == Fault::None {
            let now = Instant::now();
            state.leases.values_mut().for_each(|lease| lease.end = now + lease.ttl);
        }
        state.fault = fault;
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// Forgets what happened up to now, as etcd does when it is told to save room.
    pub fn compact(&self) {
        let mut state = self.lock();
        state.compacted = state.revision;
        state.history.clear();
    }

    /// Returns all that stands in it, whatever is wrong with it.
    pub fn dump(&self) -> Page {
        let mut state = self.lock();
        state.expire();
        Page { revision: state.revision, entries: state.keys.values().cloned().collect() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the state as it is now, and wakes watches if it changed.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> Result<T, Error>) -> Result<T, Error> {
        let mut state = self.lock();
        let before = state.revision;
        state.expire();
        let result = state.check().and_then(|()| work(&mut state));
        let changed = state.revision != before;
        drop(state);
        if changed {
            self.shared.changed.notify_waiters();
        }
        result
    }
}

impl Registry for MemoryRegistry {
    type Watch = MemoryWatch;

    async fn read(&self, keys: &[String]) -> Result<Page, Error> {
        self.with(|state| {
            let entries = state.keys.values().filter(|entry| is_in(keys, &entry.key)).cloned().collect();
            Ok(Page { revision: state.revision, entries })
        })
    }

    async fn commit(&self, compares: Vec<Compare>, ops: Vec<Op>) -> Result<Outcome, Error> {
        self.with(|state| {
            let succeeded = compares.iter().all(|compare| state.holds(compare));
            if succeeded {
                let leases = ops.iter().filter_map(|op| match op {
                    Op::Put { lease, .. } => *lease,
                    _ => None,
                });
                if let Some(gone) = leases.into_iter().find(|lease| !state.leases.contains_key(lease)) {
                    return Err(Error::Refused { source: NoLease(gone).into() });
                }
                state.apply(ops);
            }
            Ok(Outcome { succeeded, revision: state.revision })
        })
    }

    async fn watch(&self, keys: &[String], from: u64) -> Result<MemoryWatch, Error> {
        self.with(|_| Ok(MemoryWatch { registry: self.clone(), keys: keys.to_vec(), next: from }))
    }

    async fn grant(&self, ttl: Duration) -> Result<u64, Error> {
        self.with(|state| {
            state.last_lease += 1;
            let lease = state.last_lease;
            state.leases.insert(lease, Lease { ttl, end: Instant::now() + ttl });
            Ok(lease)
        })
    }

    async fn keep_alive(&self, lease: u64) -> Result<Option<Duration>, Error> {
        self.with(|state| {
            let Some(lease) = state.leases.get_mut(&lease) else { return Ok(None) };
            lease.end = Instant::now() + lease.ttl;
            Ok(Some(lease.ttl))
        })
    }

    async fn revoke(&self, lease: u64) -> Result<(), Error> {
        self.with(|state| {
            state.end_lease(lease);
            Ok(())
        })
    }
}

#[derive(Debug)]
pub struct MemoryWatch {
    registry: MemoryRegistry,
    keys: Vec<String>,
    next: u64,
}

impl Watch for MemoryWatch {
    async fn next(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            // Whoever changes something after this line wakes us, also before we wait.
            let shared = Arc::clone(&self.registry.shared);
            let changed = shared.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            let (events, expiry) = {
                let mut state = self.registry.lock();
                if state.expire() {
                    shared.changed.notify_waiters();
                }
                if self.next <= state.compacted {
                    return Err(Error::Forgotten { revision: self.next });
                }
                // Without a quorum nothing is told.
                let is_mute = state.fault == Fault::NoQuorum;
                let first = state.history.partition_point(|event| revision_of(event) < self.next);
                let news = state.history[first..].iter().filter(|event| is_in(&self.keys, key_of(event)));
                let events: Vec<Event> = if is_mute { Vec::new() } else { news.cloned().collect() };
                if !is_mute {
                    self.next = self.next.max(state.revision + 1);
                }
                (events, state.next_expiry())
            };
            if !events.is_empty() {
                return Ok(events);
            }
            match expiry {
                Some(expiry) => tokio::select! { biased; () = changed => {} () = sleep_until(expiry) => {} },
                None => changed.await,
            }
        }
    }
}
