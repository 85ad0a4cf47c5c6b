//! What the agent asks of the system that runs units. Two bodies: systemd, and memory for simulations.

use std::collections::BTreeMap;
use std::error::Error as StdError;

use crate::fleet::unit::{UnitFile, UnitName};

/// How a unit is, in systemd's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub load: String,
    pub active: String,
    pub sub: String,
}

impl Status {
    pub fn new(load: &str, active: &str, sub: &str) -> Self {
        Self { load: load.to_owned(), active: active.to_owned(), sub: sub.to_owned() }
    }

    /// Returns whether nothing of the unit runs.
    pub fn is_still(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }
}

/// A unit that an earlier run of the agent left on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub file: UnitFile,
    /// With which count of stops it was started; `None` if it never was.
    pub launched: Option<u64>,
}

pub type Error = Box<dyn StdError + Send + Sync>;

/// Runs units on this machine.
pub trait Units: Clone + Send + Sync + 'static {
    /// Returns what is there.
    fn found(&self) -> impl Future<Output = Result<BTreeMap<UnitName, Found>, Error>> + Send;

    /// Writes all files, makes them known, and enables those that want to be; then systemd reads everything
    /// once. Returns what failed; the others are there.
    fn load(&self, files: Vec<(UnitName, UnitFile)>) -> impl Future<Output = Vec<(UnitName, Error)>> + Send;

    /// Notes that the unit is launched and has it started; returns as soon as that is under way.
    fn start(&self, unit: &UnitName, stops: u64) -> impl Future<Output = Result<(), Error>> + Send;

    /// Notes that the unit is not launched any more, stops it, and waits until it has: who ends meanwhile must
    /// not take it for launched the next time.
    fn stop(&self, unit: &UnitName) -> impl Future<Output = Result<(), Error>> + Send;

    /// Ends whatever the unit runs, at once.
    fn kill(&self, unit: &UnitName) -> impl Future<Output = Result<(), Error>> + Send;

    /// Removes all traces of units that are stopped.
    fn unload(&self, units: Vec<UnitName>) -> impl Future<Output = Result<(), Error>> + Send;

    fn statuses(
        &self,
        units: Vec<UnitName>,
    ) -> impl Future<Output = Result<BTreeMap<UnitName, Status>, Error>> + Send;

    /// Waits until something has changed; returns the units to look at, or `None` for all of them.
    fn changed(&self) -> impl Future<Output = Option<UnitName>> + Send;
}
