//! The connection of one node to the registry, with everything that can be wrong with it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use lab::fleet::registry::{Compare, Error, Event, MemoryRegistry, Op, Outcome, Page, Registry, Watch};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::history::Cut;
use crate::random::Random;

/// After this long the real connection gives up as well: three members are asked, for 0.9 s each.
const PATIENCE: Duration = Duration::from_millis(2700);

#[derive(Debug, Clone)]
pub struct Line {
    registry: MemoryRegistry,
    shared: Arc<Shared>,
    /// What a deliberate bug does to everything that is asked.
    pub twist: Twist,
}

/// Ways in which a registry would break its word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Twist {
    #[default]
    None,
    /// Changes units also if somebody else has changed them since they were read.
    LostUpdates,
    /// Lets machines claim units that they have lost meanwhile.
    LateClaims,
    /// Its leases do not run out.
    Endless,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    random: Random,
    latency_ms: u64,
    cut: Option<Cut>,
    answer_ms: u64,
    news_ms: u64,
    repeats: bool,
    /// Watches that are older than this have ended.
    ended: u64,
    /// Watches that are older than this tell nothing any more.
    deafened: u64,
    next_watch: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the line is cut")]
struct IsCut;

fn unreachable() -> Error {
    Error::Unreachable { source: IsCut.into() }
}

impl Line {
    pub fn new(registry: MemoryRegistry, seed: u64, latency_ms: u64, twist: Twist) -> Self {
        let state = State {
            random: Random::new(seed),
            latency_ms,
            cut: None,
            answer_ms: 0,
            news_ms: 0,
            repeats: false,
            ended: 0,
            deafened: 0,
            next_watch: 1,
        };
        Self {
            registry,
            shared: Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }),
            twist,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("nobody panics while holding it")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.shared.changed.notify_waiters();
    }

    pub fn cut(&self, how: Cut) {
        self.change(|state| {
            state.cut = Some(how);
            if how == Cut::Refusing {
                state.ended = state.next_watch;
            }
        });
    }

    pub fn mend(&self) {
        self.change(|state| state.cut = None);
    }

    pub fn is_cut(&self) -> bool {
        self.lock().cut.is_some()
    }

    pub fn slow_down(&self, answer_ms: u64, news_ms: u64) {
        self.change(|state| (state.answer_ms, state.news_ms) = (answer_ms, news_ms));
    }

    pub fn repeat(&self, repeats: bool) {
        self.change(|state| state.repeats = repeats);
    }

    pub fn end_watches(&self) {
        self.change(|state| state.ended = state.next_watch);
    }

    pub fn deafen(&self) {
        self.change(|state| state.deafened = state.next_watch);
    }

    /// Lets one message pass, or not.
    async fn pass(&self) -> Result<(), Error> {
        let delay = self.lock().answer_delay();
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let cut = self.lock().cut;
        match cut {
            None => Ok(()),
            Some(Cut::Refusing) => Err(unreachable()),
            Some(Cut::Silent | Cut::Late) => {
                sleep(PATIENCE).await;
                Err(unreachable())
            }
        }
    }

    async fn ask<T>(&self, asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.pass().await?;
        let answer = asking.await;
        self.pass().await?;
        answer
    }

    /// Has a change arrive when the line is mended, long after whoever wanted it has given up.
    fn send_late(&self, compares: Vec<Compare>, ops: Vec<Op>) {
        let line = self.clone();
        tokio::spawn(async move {
            let give_up = Instant::now() + 3 * PATIENCE;
            loop {
                let changed = line.shared.changed.notified();
                if !line.is_cut() {
                    break;
                }
                tokio::select! {
                    biased;
                    () = changed => {}
                    () = sleep_until(give_up) => return,
                }
            }
            drop(line.registry.commit(compares, ops).await);
        });
    }
}

impl State {
    fn answer_delay(&mut self) -> Duration {
        let most = self.latency_ms.max(self.answer_ms);
        Duration::from_millis(if most == 0 { 0 } else { self.random.between(most / 2, most) })
    }

    fn news_delay(&mut self) -> Duration {
        let most = self.latency_ms.max(self.news_ms);
        Duration::from_millis(if most == 0 { 0 } else { self.random.between(0, most) })
    }
}

impl Registry for Line {
    type Watch = LineWatch;

    async fn read(&self, keys: &[String]) -> Result<Page, Error> {
        self.ask(self.registry.read(keys)).await
    }

    async fn commit(&self, compares: Vec<Compare>, ops: Vec<Op>) -> Result<Outcome, Error> {
        let mut compares = compares;
        let is_of = |compare: &Compare, what: &str| matches!(compare, Compare::Revision { key, .. } if key.contains(what));
        match self.twist {
            Twist::LostUpdates => compares.retain(|compare| !is_of(compare, "/unit/")),
            Twist::LateClaims => compares.retain(|compare| !is_of(compare, "/target/")),
            Twist::None | Twist::Endless => {}
        }
        if self.lock().cut == Some(Cut::Late) {
            self.send_late(compares.clone(), ops.clone());
        }
        self.ask(self.registry.commit(compares, ops)).await
    }

    async fn watch(&self, keys: &[String], from: u64) -> Result<LineWatch, Error> {
        let inner = self.ask(self.registry.watch(keys, from)).await?;
        let mut state = self.lock();
        state.next_watch += 1;
        let number = state.next_watch;
        drop(state);
        Ok(LineWatch { inner, line: self.clone(), number, coming: None, told: VecDeque::new() })
    }

    async fn grant(&self, ttl: Duration) -> Result<u64, Error> {
        let ttl = if self.twist == Twist::Endless { Duration::from_hours(1) } else { ttl };
        self.ask(self.registry.grant(ttl)).await
    }

    async fn keep_alive(&self, lease: u64) -> Result<Option<Duration>, Error> {
        self.ask(self.registry.keep_alive(lease)).await
    }

    async fn revoke(&self, lease: u64) -> Result<(), Error> {
        self.ask(self.registry.revoke(lease)).await
    }
}

#[derive(Debug)]
pub struct LineWatch {
    inner: <MemoryRegistry as Registry>::Watch,
    line: Line,
    number: u64,
    /// What is under way, and when it arrives.
    coming: Option<(Instant, Vec<Event>)>,
    /// What was told last.
    told: VecDeque<Event>,
}

const TOLD: usize = 6;

impl LineWatch {
    /// Adds what was told before to what is told now, as a watch does that went back to an earlier revision.
    fn with_repeats(&mut self, events: Vec<Event>) -> Vec<Event> {
        let repeated = {
            let mut state = self.line.lock();
            if state.repeats { state.random.index(self.told.len() + 1) } else { 0 }
        };
        let again = self.told.iter().skip(self.told.len() - repeated).cloned();
        let all: Vec<Event> = again.chain(events.iter().cloned()).collect();
        self.told.extend(events);
        while self.told.len() > TOLD {
            self.told.pop_front();
        }
        all
    }
}

impl Watch for LineWatch {
    async fn next(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            let line = self.line.clone();
            let changed = line.shared.changed.notified();
            let (is_mute, delay) = {
                let mut state = line.lock();
                if self.number <= state.ended {
                    return Err(unreachable());
                }
                (state.cut.is_some() || self.number <= state.deafened, state.news_delay())
            };
            let arrival = self.coming.as_ref().map(|(at, _)| *at);
            tokio::select! {
                biased;
                () = changed => {}
                events = self.inner.next(), if !is_mute && arrival.is_none() => {
                    let events = events?;
                    if delay.is_zero() {
                        return Ok(self.with_repeats(events));
                    }
                    self.coming = Some((Instant::now() + delay, events));
                }
                () = sleep_until(arrival.unwrap_or_else(Instant::now)), if !is_mute && arrival.is_some() => {
                    if let Some((_, events)) = self.coming.take() {
                        return Ok(self.with_repeats(events));
                    }
                }
            }
        }
    }
}
