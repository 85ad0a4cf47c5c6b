//! Plays a history: nodes and their registry on a clock of their own, and the laws looking at every step.

mod act;
mod harm;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use lab::fleet::registry::{Event, Key, MemoryRegistry, Registry, Watch, fsck};
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep_until};

use crate::bugs::Wiring;
use crate::catalogue;
use crate::client::Client;
use crate::history::History;
use crate::laws::{Failure, Law, Laws, broken};
use crate::site::Site;

/// How often the laws look when nothing was done.
const TICK_MS: u64 = 100;
/// How long everything may take to be as it is to be after the last trouble is over.
const SETTLING_MS: u64 = 45_000;

pub struct World<'a> {
    history: &'a History,
    wiring: &'a Wiring,
    began: Instant,
    registry: MemoryRegistry,
    news: <MemoryRegistry as Registry>::Watch,
    client: Client,
    sites: Vec<Site>,
    laws: Laws,
    has_stopped: Arc<AtomicBool>,
    quorum_returns: u64,
    replaced: Vec<u64>,
    /// What was found broken while a user did something.
    found: Option<Failure>,
}

/// How a history ended, and what happened in it if that was asked for.
pub struct Ending {
    pub failure: Option<Failure>,
    pub trace: Vec<String>,
}

pub fn play(history: &History, wiring: &Wiring, is_traced: bool) -> Ending {
    let runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime starts");
    runtime.block_on(async {
        let mut world = World::new(history, wiring, is_traced).await;
        let result = world.run().await;
        Ending { failure: result.err(), trace: world.laws.trace.take().unwrap_or_default() }
    })
}

impl<'a> World<'a> {
    async fn new(history: &'a History, wiring: &'a Wiring, is_traced: bool) -> Self {
        let registry = MemoryRegistry::new();
        let news = registry.watch(&[Key::All.to_string()], 1).await.expect("it has just begun");
        let has_stopped = Arc::new(AtomicBool::new(false));
        let site = |index| Site::new(index, history, &registry, wiring, Arc::clone(&has_stopped));
        let mut sites: Vec<Site> = (0..history.nodes).map(site).collect();
        for site in &mut sites {
            site.node.start(wiring);
        }
        Self {
            history,
            wiring,
            began: Instant::now(),
            client: Client { registry: registry.clone() },
            registry,
            news,
            sites,
            laws: Laws::new(is_traced),
            has_stopped,
            quorum_returns: 0,
            replaced: vec![0; catalogue::KINDS],
            found: None,
        }
    }

    async fn run(&mut self) -> Result<(), Failure> {
        for step in &self.history.steps {
            self.wait_until(step.at_ms).await?;
            self.laws.note(|| format!("* {:?}", step.what));
            let done = self.act(&step.what).await;
            // Users are told that the registry does not answer, and go away.
            if let Err(error) = done {
                self.laws.note(|| format!("  refused: {error}"));
            }
            self.look()?;
        }
        self.wait_until(self.history.ends_ms()).await?;
        self.laws.note(|| "* nothing is wrong any more".to_owned());
        self.settle().await?;
        match fsck(&self.registry.dump()).first() {
            Some(finding) => Err(broken(Law::Contradiction, finding.to_string())),
            None => Ok(()),
        }
    }

    async fn settle(&mut self) -> Result<(), Failure> {
        let last = self.laws.now + SETTLING_MS;
        let mut settled = 0;
        while settled < 3 {
            self.wait_until(self.laws.now + 1000).await?;
            let unsettled = self.laws.unsettled(&self.sites, self.history.is_fenced).await;
            settled = if unsettled.is_none() { settled + 1 } else { 0 };
            if let Some(what) = unsettled.filter(|_| self.laws.now >= last) {
                return Err(broken(Law::Unsettled, what));
            }
        }
        Ok(())
    }

    /// Lets time pass, with the laws looking all the while.
    async fn wait_until(&mut self, ms: u64) -> Result<(), Failure> {
        while self.laws.now < ms {
            let next =
                ms.min(self.laws.now + TICK_MS).min(self.next_end().unwrap_or(ms)).max(self.laws.now + 1);
            sleep_until(self.began + Duration::from_millis(next)).await;
            self.laws.now = next;
            self.end_troubles();
            self.look()?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), Failure> {
        let now = self.laws.now;
        if self.has_stopped.load(Ordering::Relaxed) {
            self.laws.outage_at = Some(now);
        }
        self.hear()?;
        if let Some(failure) = self.found.take() {
            return Err(failure);
        }
        let mut running = Vec::with_capacity(self.sites.len());
        for site in &mut self.sites {
            site.note(now, self.laws.view.presences.contains_key(&site.node.id));
            site.has_crashed &= self.laws.outage_at == Some(now) || !site.is_in_contact(now);
            if site.node.has_died() {
                return Err(broken(Law::Died, format!("the daemon of {} has ended", site.node.id)));
            }
            let is_moving = site.node.gate.is_moving();
            running.push(if is_moving {
                site.node.units.running().into_iter().collect()
            } else {
                BTreeSet::new()
            });
        }
        self.laws.look(&self.sites, running)
    }

    /// Takes in what has happened in the registry up to now.
    fn hear(&mut self) -> Result<(), Failure> {
        while let Some(events) = self.news.next().now_or_never() {
            let events = events.expect("nothing is forgotten before it was heard");
            for site in &mut self.sites {
                let key = Key::Machine(site.node.id.clone()).to_string();
                let is_new = |event: &Event| matches!(event, Event::Put(entry) if entry.key == key);
                site.is_orphaned &= !(site.node.is_up() && events.iter().any(is_new));
            }
            self.laws.take_in(&events, &self.sites)?;
        }
        Ok(())
    }
}
