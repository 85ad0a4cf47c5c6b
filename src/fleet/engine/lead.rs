//! What the engine that leads does: looks, plans, writes, and waits for news.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep_until, timeout};

use crate::fleet::heart::{Contact, lost};
use crate::fleet::placement::Assignment;
use crate::fleet::records::Leader;
use crate::fleet::registry::{Compare, Error, Key, Registry, Watch, put};
use crate::fleet::view::View;

use super::Engine;
use super::commit::{Step, step};
use super::standing::Absences;

/// A watch that tells nothing of what we ourselves wrote has lost its way.
const OWN_NEWS_LIMIT: Duration = Duration::from_secs(2);
const A_LONG_TIME: Duration = Duration::from_hours(1);

impl<R: Registry> Engine<R> {
    /// Leads until the lease is lost or the registry fails.
    pub(super) async fn lead(&self, lease: u64, term: u64) -> Result<(), Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.metrics.leads_since(now.as_secs());
        let keys = [Key::All.to_string()];
        let page = self.registry.read(&keys).await?;
        let mut view = View::of(&page);
        let mut watch = self.registry.watch(&keys, page.revision + 1).await?;
        let mut absences = Absences::new(self.timing, self.contact());
        absences.look(&view, Instant::now(), true);
        let mut check_at = Instant::now() + self.timing.ttl;
        let mut pulse = self.pulse.clone();
        loop {
            let steps = self.decide(&view, &absences);
            let now = Instant::now();
            let mut wake = absences.next_change(now).unwrap_or(now + A_LONG_TIME);
            if !steps.is_empty() {
                let written = self.commit(term, steps).await?;
                if written > 0 {
                    self.hear_until(&mut watch, &mut view, written).await?;
                    absences.look(&view, Instant::now(), false);
                    continue;
                }
                // Others were faster, and what they did is about to be told.
                wake = wake.min(now + OWN_NEWS_LIMIT);
            }
            tokio::select! {
                biased;
                events = watch.next() => view.apply(&events?),
                () = lost(&mut pulse, lease) => return Ok(()),
                () = sleep_until(wake) => {}
                () = sleep_until(check_at) => {
                    let Some(written) = self.touch(lease, term).await? else { return Ok(()) };
                    self.hear_until(&mut watch, &mut view, written).await?;
                    check_at = Instant::now() + self.timing.ttl;
                }
            }
            if view.leader.as_ref() != Some(&self.machine) {
                return Ok(());
            }
            absences.set_contact(self.contact());
            absences.look(&view, Instant::now(), false);
        }
    }

    /// Writes something to listen for; `None` if this engine leads no more. A connection that was cut without
    /// a word tells nothing for ever, and an engine that hears nothing is worse than none.
    async fn touch(&self, lease: u64, term: u64) -> Result<Option<u64>, Error> {
        let ours = Compare::Created { key: Key::Leader.to_string(), is: term };
        let leader = put(&Key::Leader, &Leader { machine: self.machine.clone() }, Some(lease));
        let outcome = self.registry.commit(vec![ours], vec![leader]).await?;
        Ok(outcome.succeeded.then_some(outcome.revision))
    }

    fn contact(&self) -> Contact {
        let now = Instant::now();
        self.pulse.borrow().contact.unwrap_or(Contact { since: now, last: now, is_regained: true })
    }

    fn decide(&self, view: &View, absences: &Absences) -> Vec<Step> {
        let now = Instant::now();
        let snapshot = view.snapshot(self.fence, |id| absences.standing(id, now));
        self.metrics.reconciled();
        let planned = (self.plan)(&snapshot);
        planned.iter().filter_map(|assignment| self.prepare(view, assignment)).collect()
    }

    fn prepare(&self, view: &View, assignment: &Assignment) -> Option<Step> {
        let Assignment { unit, from, to, why } = assignment;
        let shown = |id: &Option<_>| id.as_ref().map_or("-".to_owned(), |id| view.name(id).to_owned());
        tracing::info!(%unit, from = shown(from), to = shown(to), %why, "placing");
        self.metrics.task(if to.is_some() { "AttemptScheduleUnit" } else { "UnscheduleUnit" });
        step(view, assignment)
    }

    /// Takes news in until our own changes are among them: what is planned next must know of them.
    async fn hear_until(&self, watch: &mut R::Watch, view: &mut View, revision: u64) -> Result<(), Error> {
        let hearing = async {
            while view.revision < revision {
                view.apply(&watch.next().await?);
            }
            Ok(())
        };
        timeout(OWN_NEWS_LIMIT, hearing).await.unwrap_or(Err(Error::Forgotten { revision }))
    }
}
