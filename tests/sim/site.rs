//! A node with what is known of its troubles.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lab::fleet::registry::MemoryRegistry;

use crate::bugs::Wiring;
use crate::history::History;
use crate::line::Line;
use crate::node::Node;

pub struct Site {
    pub node: Node,
    pub is_fenced: bool,
    /// The last moment at which it was cut off, frozen, dead, or without its lease.
    pub isolated_at: Option<u64>,
    pub frozen_at: Option<u64>,
    /// The last moment at which its daemon did not run.
    pub down_at: Option<u64>,
    /// The last moment at which what it was told came late or not at all.
    pub deaf_at: Option<u64>,
    /// When its watches were last made to tell nothing.
    pub deafened_at: Option<u64>,
    /// When its lease was last taken away behind its back.
    pub revoked_at: Option<u64>,
    /// Its daemon has crashed and has not been in contact since.
    pub has_crashed: bool,
    /// It has lost power and is not known again yet.
    pub is_orphaned: bool,
    /// By how much longer things may take here.
    pub slowness_ms: u64,
    /// Moments at which troubles end, in milliseconds.
    pub ends: Ends,
}

/// Several troubles of one kind may overlap: the last end counts.
#[derive(Debug, Default)]
pub struct Ends {
    pub cut: u64,
    pub slow: u64,
    pub repeat: u64,
    pub disk: u64,
    pub frozen: u64,
    pub deaf: u64,
    pub down: u64,
}

/// Returns whether something was so within the last while.
pub fn lately(at: Option<u64>, now: u64, within_ms: u64) -> bool {
    at.is_some_and(|at| at + within_ms >= now)
}

impl Site {
    pub fn new(
        index: usize,
        history: &History,
        registry: &MemoryRegistry,
        wiring: &Wiring,
        stopped: Arc<AtomicBool>,
    ) -> Self {
        let seed = history.seed.wrapping_mul(31).wrapping_add(index as u64);
        let line = Line::new(registry.clone(), seed, history.latency_ms, wiring.twist);
        Self {
            node: Node::new(index, line, stopped, history.is_fenced),
            is_fenced: history.is_fenced,
            isolated_at: None,
            frozen_at: None,
            down_at: None,
            deaf_at: None,
            deafened_at: None,
            revoked_at: None,
            has_crashed: false,
            is_orphaned: false,
            slowness_ms: 0,
            ends: Ends::default(),
        }
    }

    /// Returns whether it talks to the registry.
    pub fn is_in_contact(&self, now: u64) -> bool {
        self.node.is_up()
            && !self.node.line.is_cut()
            && self.node.gate.is_moving()
            && !lately(self.isolated_at, now, 1_000)
            && !lately(self.down_at, now, 1_000)
    }

    /// Returns whether it has been well for so long that it has caught up with everything.
    pub fn is_steady(&self, now: u64, for_ms: u64) -> bool {
        ![self.isolated_at, self.down_at, self.deaf_at]
            .iter()
            .any(|at| lately(*at, now, for_ms + self.slowness_ms))
    }

    /// Returns whether an engine that leads here has been well for so long. It finds out that it is deaf sooner.
    pub fn leads_steadily(&self, now: u64, for_ms: u64) -> bool {
        let troubles = [self.isolated_at, self.down_at, self.deafened_at.map(|at| at + 2_000)];
        !troubles.iter().any(|at| lately(*at, now, for_ms + self.slowness_ms))
    }

    /// Notes the troubles that it has now.
    pub fn note(&mut self, now: u64, is_known: bool) {
        let is_frozen = !self.node.gate.is_moving();
        if is_frozen {
            self.frozen_at = Some(now);
        }
        if is_frozen || !is_known || self.is_orphaned || self.node.line.is_cut() {
            self.isolated_at = Some(now);
        }
        if !self.node.is_up() {
            self.down_at = Some(now);
        }
        if now < self.ends.deaf {
            self.deaf_at = Some(now);
        }
    }
}
