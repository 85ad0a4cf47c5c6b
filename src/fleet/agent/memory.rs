//! Units that run in memory, for tests and simulations. What runs goes on when the agent is dropped, as it does
//! with systemd.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep};

use crate::fleet::unit::{UnitFile, UnitName};

use super::units::{Error, Found, Status, Units};

/// How long this machine takes for things.
#[derive(Debug, Clone, Copy, Default)]
pub struct Script {
    pub load: Duration,
    pub stop: Duration,
}

#[derive(Debug, Clone, Default)]
pub struct MemoryUnits {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<UnitName, Found>,
    /// What runs, and when it will have stopped if it was told to.
    running: BTreeMap<UnitName, Option<Instant>>,
    changes: VecDeque<UnitName>,
    script: Script,
}

impl State {
    fn settle(&mut self) {
        let now = Instant::now();
        self.running.retain(|_, stopping| stopping.is_none_or(|until| now < until));
    }
}

impl MemoryUnits {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn set_script(&self, script: Script) {
        self.lock().script = script;
    }

    /// Returns what runs now.
    pub fn running(&self) -> Vec<UnitName> {
        let mut state = self.lock();
        state.settle();
        state.running.keys().cloned().collect()
    }

    /// Ends everything and forgets it, as a machine does that loses power.
    pub fn lose_power(&self) {
        let mut state = self.lock();
        *state = State { script: state.script, ..State::default() };
    }

    /// Ends a unit that ran, as a crash of its program does.
    pub fn crash(&self, unit: &UnitName) {
        let mut state = self.lock();
        state.running.remove(unit);
        state.changes.push_back(unit.clone());
        drop(state);
        self.shared.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, unit: &UnitName) {
        self.lock().changes.push_back(unit.clone());
        self.shared.changed.notify_one();
    }
}

impl Units for MemoryUnits {
    async fn found(&self) -> Result<BTreeMap<UnitName, Found>, Error> {
        Ok(self.lock().files.clone())
    }

    async fn load(&self, files: Vec<(UnitName, UnitFile)>) -> Vec<(UnitName, Error)> {
        let wait = self.lock().script.load;
        sleep(wait).await;
        for (name, file) in files {
            self.lock().files.insert(name, Found { file, launched: None });
        }
        Vec::new()
    }

    async fn start(&self, unit: &UnitName, stops: u64) -> Result<(), Error> {
        {
            let mut state = self.lock();
            let Some(found) = state.files.get_mut(unit) else { return Err("there is no such unit".into()) };
            found.launched = Some(stops);
            state.running.insert(unit.clone(), None);
        }
        self.note(unit);
        Ok(())
    }

    async fn stop(&self, unit: &UnitName) -> Result<(), Error> {
        let until = {
            let mut state = self.lock();
            if let Some(found) = state.files.get_mut(unit) {
                found.launched = None;
            }
            let until = Instant::now() + state.script.stop;
            state.running.get_mut(unit).map(|stopping| *stopping.get_or_insert(until))
        };
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
        self.lock().settle();
        Ok(())
    }

    async fn kill(&self, unit: &UnitName) -> Result<(), Error> {
        self.crash(unit);
        Ok(())
    }

    async fn unload(&self, units: Vec<UnitName>) -> Result<(), Error> {
        let wait = self.lock().script.load;
        sleep(wait).await;
        let mut state = self.lock();
        for unit in &units {
            state.files.remove(unit);
        }
        Ok(())
    }

    async fn statuses(&self, units: Vec<UnitName>) -> Result<BTreeMap<UnitName, Status>, Error> {
        let mut state = self.lock();
        state.settle();
        let status = |unit: &UnitName| match state.running.get(unit) {
            Some(None) => Status::new("loaded", "active", "running"),
            Some(Some(_)) => Status::new("loaded", "deactivating", "stop"),
            None => Status::new("loaded", "inactive", "dead"),
        };
        Ok(units.iter().map(|unit| (unit.clone(), status(unit))).collect())
    }

    async fn changed(&self) -> Option<UnitName> {
        loop {
            if let Some(unit) = self.lock().changes.pop_front() {
                return Some(unit);
            }
            self.shared.changed.notified().await;
        }
    }
}
