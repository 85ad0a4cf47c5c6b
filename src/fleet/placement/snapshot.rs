//! What the engine knows at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::fleet::records::{MachineId, Phase, Scheduling};
use crate::fleet::unit::{Needs, UnitName};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub machines: BTreeMap<MachineId, Machine>,
    pub units: BTreeMap<UnitName, Unit>,
    /// Whether units are stopped on a machine that has lost its lease, where they do not say themselves.
    pub fence: bool,
    /// Whether every unit waits that would have to be placed anew: some machines have not come back yet, and
    /// the first ones would get everything.
    pub holds: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// What people call it; the short id where nobody said.
    pub name: String,
    pub metadata: BTreeMap<String, String>,
    pub scheduling: Scheduling,
    pub memory_bytes: Option<u64>,
    pub standing: Standing,
}

/// Whether a machine is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Here,
    /// It is away, and it is too early to give up on it.
    Awaited,
    /// It is away; what is fenced may still run there.
    Fencing,
    Gone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// What the unit demands; a text where its file makes no sense.
    pub needs: Result<Arc<Needs>, String>,
    pub desired: Phase,
    pub machine: Option<MachineId>,
    pub wish: Option<MachineId>,
    /// The machines that say of the unit how it is, and so may be running it.
    pub reported_on: BTreeSet<MachineId>,
}

impl Machine {
    pub fn is_here(&self) -> bool {
        self.standing == Standing::Here
    }
}

impl Unit {
    pub fn is_global(&self) -> bool {
        self.needs.as_ref().is_ok_and(|needs| needs.is_global)
    }

    /// Returns whether the unit is to be on some machine.
    pub fn is_wanted(&self) -> bool {
        self.desired != Phase::Inactive
    }
}

impl Snapshot {
    pub(super) fn is_fenced(&self, needs: &Needs) -> bool {
        needs.fence.unwrap_or(self.fence)
    }
}
