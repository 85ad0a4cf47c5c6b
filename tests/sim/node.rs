//! One node: heart, engine and agent in one task, and a machine whose units go on without them.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use lab::fleet::agent::{Agent, MemoryUnits};
use lab::fleet::engine::Engine;
use lab::fleet::heart::{Heart, Notebook, Peers, Timing, pulse};
use lab::fleet::metrics::Metrics;
use lab::fleet::records::{MachineId, Presence};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::bugs::Wiring;
use crate::line::Line;

pub struct Node {
    pub id: MachineId,
    pub units: MemoryUnits,
    pub line: Line,
    pub gate: Arc<Gate>,
    presence: watch::Sender<Presence>,
    notebook: Notes,
    has_stopped: Arc<AtomicBool>,
    daemon: Option<JoinHandle<()>>,
    is_fenced: bool,
}

impl Node {
    pub fn new(index: usize, line: Line, has_stopped: Arc<AtomicBool>, is_fenced: bool) -> Self {
        let name = format!("n{}", index + 1);
        let zone = if index.is_multiple_of(2) { "a" } else { "b" };
        let presence = Presence {
            address: format!("10.0.0.{}", index + 1),
            metadata: [("zone".to_owned(), zone.to_owned())].into(),
            memory_bytes: None,
            version: "1".to_owned(),
            name: name.clone(),
        };
        Self {
            id: MachineId::new(name),
            units: MemoryUnits::new(),
            line,
            gate: Arc::default(),
            presence: watch::Sender::new(presence),
            notebook: Notes::default(),
            has_stopped,
            daemon: None,
            is_fenced,
        }
    }

    pub fn start(&mut self, wiring: &Wiring) {
        let timing = wiring.timing;
        let (beat, pulse) = pulse(timing);
        let heart = Heart {
            registry: self.line.clone(),
            machine: self.id.clone(),
            presence: self.presence.subscribe(),
            notebook: Notes { is_forgetful: wiring.is_forgetful, ..self.notebook.clone() },
            peers: Others {
                line: self.line.clone(),
                has_stopped: Arc::clone(&self.has_stopped),
                lie: wiring.lie,
            },
            timing,
        };
        let engine = Engine {
            registry: self.line.clone(),
            machine: self.id.clone(),
            pulse: pulse.clone(),
            timing,
            fence: self.is_fenced,
            metrics: Arc::new(Metrics::default()),
            plan: wiring.place,
        };
        let agent = Agent {
            registry: self.line.clone(),
            units: self.units.clone(),
            machine: self.id.clone(),
            pulse,
            presence: self.presence.subscribe(),
            timing: Timing { margin: wiring.agent_margin, ..timing },
            fence: self.is_fenced,
            plan: wiring.obey,
        };
        let running = async move {
            tokio::join!(heart.run(beat), engine.run(), agent.run());
        };
        let gated = Gated { inner: Box::pin(running), gate: Arc::clone(&self.gate) };
        self.daemon = Some(tokio::spawn(gated));
    }

    pub fn crash_daemon(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.abort();
        }
    }

    pub fn lose_power(&mut self) {
        self.crash_daemon();
        self.units.lose_power();
        self.notebook = Notes::default();
        self.gate.thaw();
    }

    pub fn is_up(&self) -> bool {
        self.daemon.is_some()
    }

    /// Returns whether the daemon ended by itself, which it never should.
    pub fn has_died(&self) -> bool {
        self.daemon.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

/// What lies in `/run`.
#[derive(Debug, Clone, Default)]
struct Notes {
    lease: Arc<Mutex<Option<u64>>>,
    is_forgetful: bool,
}

impl Notebook for Notes {
    fn lease(&self) -> Option<u64> {
        *self.lease.lock().expect("nobody panics while holding it")
    }

    fn note_lease(&self, lease: u64) {
        if !self.is_forgetful {
            *self.lease.lock().expect("nobody panics while holding it") = Some(lease);
        }
    }
}

/// What a node that asks the other ones is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lie {
    #[default]
    None,
    AlwaysStopped,
    NeverStopped,
}

struct Others {
    line: Line,
    has_stopped: Arc<AtomicBool>,
    lie: Lie,
}

impl Peers for Others {
    async fn registry_has_stopped(&self) -> bool {
        match self.lie {
            Lie::None => !self.line.is_cut() && self.has_stopped.load(Ordering::Relaxed),
            Lie::AlwaysStopped => true,
            Lie::NeverStopped => false,
        }
    }
}

/// Lets a machine stand still: nothing on it goes on until it is let go.
#[derive(Debug, Default)]
pub struct Gate {
    is_frozen: AtomicBool,
    /// Nothing has gone on since it was let go.
    is_stiff: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Gate {
    pub fn freeze(&self) {
        self.is_frozen.store(true, Ordering::Relaxed);
    }

    pub fn thaw(&self) {
        if self.is_frozen.swap(false, Ordering::Relaxed) {
            self.is_stiff.store(true, Ordering::Relaxed);
        }
        if let Some(waker) = self.waker.lock().expect("nobody panics while holding it").take() {
            waker.wake();
        }
    }

    pub fn is_frozen(&self) -> bool {
        self.is_frozen.load(Ordering::Relaxed)
    }

    /// Returns whether what is on the machine goes on.
    pub fn is_moving(&self) -> bool {
        !self.is_frozen() && !self.is_stiff.load(Ordering::Relaxed)
    }
}

struct Gated<F> {
    inner: Pin<Box<F>>,
    gate: Arc<Gate>,
}

impl<F: Future<Output = ()>> Future for Gated<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.gate.is_frozen() {
            let waker = context.waker().clone();
            *self.gate.waker.lock().expect("nobody panics while holding it") = Some(waker);
            return Poll::Pending;
        }
        let polled = self.inner.as_mut().poll(context);
        self.gate.is_stiff.store(false, Ordering::Relaxed);
        polled
    }
}
