//! What the agent has on its machine.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::fleet::records::Phase;
use crate::fleet::unit::{Hash, UnitName};

use super::units::Status;

/// A unit whose file is on this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    pub hash: Hash,
    /// Whether it is launched, and with which count of stops.
    pub launched: Option<u64>,
    /// The agent is doing something with it, or waits for systemd.
    pub is_busy: bool,
    /// Whether the registry knows that it is here: before that it must not be started.
    pub claim: Claim,
    /// Whether it stops when the machine has lost its lease.
    pub is_fenced: bool,
    pub status: Status,
    /// Its file could not be given to systemd; that is tried again then.
    pub broken_until: Option<Instant>,
    /// Until then the registry is told that it is launched, also when it is not any more.
    pub shown_launched_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    None,
    /// The order of this revision was not there any more when we claimed the unit.
    Failed {
        revision: u64,
    },
    /// The claim stands under this lease.
    Made {
        lease: u64,
    },
}

pub type Holding = BTreeMap<UnitName, Held>;

impl Held {
    pub(super) fn new(hash: Hash, launched: Option<u64>) -> Self {
        Self {
            hash,
            launched,
            is_busy: false,
            claim: Claim::None,
            is_fenced: false,
            status: Status::new("loaded", "inactive", "dead"),
            broken_until: None,
            shown_launched_until: None,
        }
    }

    /// A unit that systemd did not take.
    pub(super) fn broken(hash: Hash, until: Instant) -> Self {
        let status = Status::new("error", "inactive", "dead");
        Self { status, broken_until: Some(until), ..Self::new(hash, None) }
    }

    /// Returns how far the unit has come, as others are to see it.
    pub(super) fn reached(&self, now: Instant) -> Phase {
        let is_shown = self.shown_launched_until.is_some_and(|until| now < until);
        if self.launched.is_some() || is_shown { Phase::Launched } else { Phase::Loaded }
    }

    /// Returns whether something of it may run.
    pub(super) fn may_run(&self) -> bool {
        self.launched.is_some() || !self.status.is_still()
    }
}
