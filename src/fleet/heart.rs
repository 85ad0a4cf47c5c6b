//! A machine's presence: a lease that is kept alive for as long as the machine is well, and a record bound to it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::records::{MachineId, NodeRecord, Presence};
use super::registry::{Error, Key, Registry, parse, put, unchanged};

/// How long things take. All of it hangs on how soon a dead machine is to be missed.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// A machine that has not been heard of for this long is gone.
    pub ttl: Duration,
    /// How much longer a fenced unit may need to stop.
    pub margin: Duration,
    /// After an outage of the registry, how long machines that are missing are waited for.
    pub grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(3), margin: Duration::from_secs(3), grace: Duration::from_secs(10) }
    }
}

impl Timing {
    fn beat(self) -> Duration {
        self.ttl / 3
    }

    fn retry(self) -> Duration {
        self.ttl / 10
    }
}

/// What a machine knows of its lease.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pulse {
    /// The lease, while there is one that may last.
    pub lease: Option<u64>,
    /// Until then nobody else takes the machine for gone.
    pub sure_until: Instant,
    pub contact: Option<Contact>,
}

/// Since when the registry has answered without a break.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contact {
    pub since: Instant,
    pub last: Instant,
    /// Whether there was contact before, and an outage in between.
    pub is_regained: bool,
}

impl Pulse {
    fn first(timing: Timing) -> Self {
        // An earlier run of this program may have lost contact before it ended: there is little time.
        Self { lease: None, sure_until: Instant::now() + timing.beat(), contact: None }
    }
}

/// What outlasts a restart of the program, but not of the machine.
pub trait Notebook: Send + Sync + 'static {
    fn lease(&self) -> Option<u64>;
    fn note_lease(&self, lease: u64);
}

/// Finds out whether the registry as a whole has stopped, so that nobody can take anything over.
pub trait Peers: Send + Sync + 'static {
    /// Returns whether most members of the registry say that there is no leader, or do not run. True must be
    /// certain; false may be a guess.
    fn registry_has_stopped(&self) -> impl Future<Output = bool> + Send;
}

/// Waits until a lease is not held any more.
pub(super) async fn lost(pulse: &mut watch::Receiver<Pulse>, lease: u64) {
    // A heart that beats no more holds no lease either.
    drop(pulse.wait_for(|pulse| pulse.lease != Some(lease)).await);
}

pub struct Heart<R, N, P> {
    pub registry: R,
    pub machine: MachineId,
    pub presence: watch::Receiver<Presence>,
    pub notebook: N,
    pub peers: P,
    pub timing: Timing,
}

/// Returns the two ends of what a heart tells.
pub fn pulse(timing: Timing) -> (watch::Sender<Pulse>, watch::Receiver<Pulse>) {
    watch::channel(Pulse::first(timing))
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the machine could not join")]
    Registry(#[from] Error),
    /// Another machine with this id, or this one in an earlier life whose lease has not run out.
    #[error("another machine has the same id")]
    Taken,
}

/// What the registry is to be told, and when.
struct Told {
    next_beat: Instant,
    /// When it is to be told anew what the machine is, if that is due.
    presence_at: Option<Instant>,
}

impl<R: Registry, N: Notebook, P: Peers> Heart<R, N, P> {
    /// Beats until it is dropped.
    pub async fn run(mut self, pulse: watch::Sender<Pulse>) {
        // A lease of which the registry has said that it is gone.
        let mut gone = None;
        loop {
            let asked = Instant::now();
            match timeout(self.timing.ttl, self.join(&pulse, &mut gone)).await {
                Ok(Ok(lease)) => {
                    self.tell_alive(&pulse, lease, asked);
                    let presence = self.presence.borrow().clone();
                    let remembering = timeout(self.timing.beat(), self.remember(&presence)).await;
                    let is_told = matches!(remembering, Ok(Ok(())));
                    let presence_at = (!is_told).then(Instant::now);
                    let told = Told { next_beat: asked + self.timing.beat(), presence_at };
                    self.beat(lease, told, &pulse).await;
                    gone = Some(lease);
                    pulse.send_modify(|pulse| pulse.lease = None);
                }
                Ok(Err(Trouble::Taken)) => {
                    pulse.send_modify(|pulse| pulse.contact = None);
                    sleep(self.timing.beat()).await;
                }
                Ok(Err(Trouble::Registry(_))) | Err(_) => {
                    // The lease of an earlier run may last as well as one of our own.
                    if self.notebook.lease().is_some_and(|lease| gone != Some(lease)) {
                        self.tell_silent(&pulse).await;
                    }
                    sleep(self.timing.retry()).await;
                }
            }
        }
    }

    /// Makes the machine known, under the lease of an earlier run if that still lasts.
    async fn join(&self, pulse: &watch::Sender<Pulse>, gone: &mut Option<u64>) -> Result<u64, Trouble> {
        let asked = Instant::now();
        let earlier = self.notebook.lease().filter(|lease| *gone != Some(*lease));
        let kept = match earlier {
            // An answer that does not come must not cost the time in which the lease could be kept.
            Some(lease) => match timeout(self.timing.beat(), self.registry.keep_alive(lease)).await {
                Ok(kept) => kept?.map(|_| lease),
                Err(late) => return Err(Error::Unreachable { source: late.into() }.into()),
            },
            None => None,
        };
        if kept.is_some() {
            // What else there is to ask may take longer than the first moments for which we are sure.
            pulse.send_modify(|pulse| pulse.sure_until = pulse.sure_until.max(asked + self.timing.ttl));
        } else {
            *gone = earlier.or(*gone);
        }
        let key = Key::Machine(self.machine.clone());
        let page = self.registry.read(&[key.to_string()]).await?;
        let standing = page.entries.first();
        if standing.is_some_and(|entry| kept != Some(entry.lease)) {
            return Err(Trouble::Taken);
        }
        let lease = match kept {
            Some(lease) => lease,
            None => self.registry.grant(self.timing.ttl).await?,
        };
        let presence = self.presence.borrow().clone();
        let compare = unchanged(&key, standing.map_or(0, |entry| entry.revision));
        let outcome = self.registry.commit(vec![compare], vec![put(&key, &presence, Some(lease))]).await?;
        if !outcome.succeeded {
            self.registry.revoke(lease).await?;
            return Err(Trouble::Taken);
        }
        self.notebook.note_lease(lease);
        Ok(lease)
    }

    /// Notes name and address where they last, so that a machine that is away can be told by name.
    async fn remember(&self, presence: &Presence) -> Result<(), Error> {
        let key = Key::Node(self.machine.clone());
        let page = self.registry.read(&[key.to_string()]).await?;
        let entry = page.entries.first();
        let known: NodeRecord = entry.map(parse).transpose()?.unwrap_or_default();
        let node =
            NodeRecord { name: presence.name.clone(), address: presence.address.clone(), ..known.clone() };
        if node == known {
            return Ok(());
        }
        let compare = unchanged(&key, entry.map_or(0, |entry| entry.revision));
        // Whoever changed it in between is seen at the next change of the presence.
        self.registry.commit(vec![compare], vec![put(&key, &node, None)]).await.map(drop)
    }

    /// Keeps the lease alive, and what is told of the machine up to date; returns when the lease is gone.
    async fn beat(&mut self, lease: u64, mut told: Told, pulse: &watch::Sender<Pulse>) {
        loop {
            tokio::select! {
                biased;
                () = sleep_until(told.next_beat) => {}
                Ok(()) = self.presence.changed() => {
                    told.presence_at = Some(Instant::now());
                    continue;
                }
                () = sleep_until(told.presence_at.unwrap_or(told.next_beat)), if told.presence_at.is_some() => {
                    // However often this fails, the lease is to be kept alive meanwhile.
                    let telling = timeout(self.timing.beat(), self.tell_presence(lease)).await;
                    let is_told = matches!(telling, Ok(Ok(())));
                    told.presence_at = (!is_told).then(|| Instant::now() + self.timing.retry());
                    continue;
                }
            }
            let asked = Instant::now();
            match timeout(self.timing.beat(), self.registry.keep_alive(lease)).await {
                Ok(Ok(Some(_))) => {
                    self.tell_alive(pulse, lease, asked);
                    told.next_beat = asked + self.timing.beat();
                }
                Ok(Ok(None)) => return,
                Ok(Err(_)) | Err(_) => {
                    self.tell_silent(pulse).await;
                    told.next_beat = Instant::now() + self.timing.retry();
                }
            }
        }
    }

    async fn tell_presence(&self, lease: u64) -> Result<(), Error> {
        let presence = self.presence.borrow().clone();
        let key = Key::Machine(self.machine.clone());
        self.registry.commit(Vec::new(), vec![put(&key, &presence, Some(lease))]).await?;
        self.remember(&presence).await
    }

    fn tell_alive(&self, pulse: &watch::Sender<Pulse>, lease: u64, asked: Instant) {
        pulse.send_modify(|pulse| {
            let now = Instant::now();
            pulse.contact = Some(match pulse.contact {
                Some(contact) if asked < contact.last + self.timing.ttl => Contact { last: now, ..contact },
                lost => Contact { since: now, last: now, is_regained: lost.is_some() },
            });
            pulse.lease = Some(lease);
            // Counted from the question: the registry heard it later than that.
            pulse.sure_until = asked + self.timing.ttl;
        });
    }

    /// While the registry has no quorum no lease runs out, and when it has one again each begins anew. Whoever
    /// learns of that too late cannot know whether the lease ran out before.
    async fn tell_silent(&self, pulse: &watch::Sender<Pulse>) {
        let asked = Instant::now();
        let has_stopped = self.peers.registry_has_stopped().await;
        if has_stopped && Instant::now() < pulse.borrow().sure_until {
            pulse.send_modify(|pulse| pulse.sure_until = pulse.sure_until.max(asked + self.timing.ttl));
        }
    }
}
