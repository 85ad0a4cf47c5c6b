//! Which machines that are away are given up, and when.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::fleet::heart::{Contact, Timing};
use crate::fleet::placement::Standing;
use crate::fleet::records::MachineId;
use crate::fleet::view::View;

/// Remembers when machines went away.
#[derive(Debug)]
pub(super) struct Absences {
    timing: Timing,
    contact: Contact,
    /// Machines that were missing from the first look on, or since the moment that is given.
    since: BTreeMap<MachineId, Absence>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Absence {
    since: Instant,
    /// Whether it was there when we looked first.
    was_seen: bool,
}

impl Absences {
    pub(super) fn new(timing: Timing, contact: Contact) -> Self {
        Self { timing, contact, since: BTreeMap::new() }
    }

    pub(super) fn set_contact(&mut self, contact: Contact) {
        self.contact = contact;
    }

    /// Takes in who is there now. Machines that are missing at the first look were missed by others before.
    pub(super) fn look(&mut self, view: &View, now: Instant, is_first: bool) {
        self.since.retain(|id, _| !view.presences.contains_key(id));
        for id in view.machines().filter(|id| !view.presences.contains_key(*id)) {
            self.since.entry(id.clone()).or_insert(Absence { since: now, was_seen: !is_first });
        }
    }

    pub(super) fn standing(&self, id: &MachineId, now: Instant) -> Standing {
        let Some(absence) = self.since.get(id) else { return Standing::Gone };
        if self.awaited_until(*absence).is_some_and(|until| now < until) {
            Standing::Awaited
        } else if now < absence.since + self.timing.margin {
            Standing::Fencing
        } else {
            Standing::Gone
        }
    }

    /// After an outage machines come back one after the other: the first must not get everything. The same
    /// goes for the start of a cluster, while others are still booting. Whoever vanishes in front of an engine
    /// that was in contact all the time has died.
    fn awaited_until(&self, absence: Absence) -> Option<Instant> {
        let may_return = self.contact.is_regained || !absence.was_seen;
        may_return.then(|| self.contact.since + self.timing.grace)
    }

    /// Returns when some machine's standing changes by itself.
    pub(super) fn next_change(&self, now: Instant) -> Option<Instant> {
        let moments = self.since.values().flat_map(|absence| {
            [self.awaited_until(*absence), Some(absence.since + self.timing.margin)].into_iter().flatten()
        });
        moments.filter(|moment| *moment > now).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fleet::records::{NodeRecord, Presence};

    const SECOND: Duration = Duration::from_secs(1);

    fn view(present: &[&str], known: &[&str]) -> View {
        let presence = |id: &str| Presence {
            name: id.to_owned(),
            address: String::new(),
            metadata: BTreeMap::new(),
            memory_bytes: None,
            version: String::new(),
        };
        View {
            presences: present.iter().map(|id| (MachineId::new(*id), presence(id))).collect(),
            nodes: known.iter().map(|id| (MachineId::new(*id), NodeRecord::default())).collect(),
            ..View::default()
        }
    }

    fn absences(now: Instant, is_regained: bool) -> Absences {
        let contact = Contact { since: now, last: now, is_regained };
        Absences::new(Timing::default(), contact)
    }

    #[tokio::test(start_paused = true)]
    async fn who_vanishes_before_our_eyes_is_gone_but_for_what_is_fenced() {
        let (now, b) = (Instant::now(), MachineId::new("b"));
        let mut absences = absences(now, false);
        absences.look(&view(&["a", "b"], &["a", "b"]), now, true);
        let later = now + SECOND;
        absences.look(&view(&["a"], &["a", "b"]), later, false);
        assert_eq!(absences.standing(&b, later), Standing::Fencing);
        assert_eq!(absences.next_change(later), Some(later + 3 * SECOND));
        assert_eq!(absences.standing(&b, later + 3 * SECOND), Standing::Gone);
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_outage_everybody_is_awaited() {
        let (now, b) = (Instant::now(), MachineId::new("b"));
        let mut absences = absences(now, true);
        absences.look(&view(&["a", "b"], &["a", "b"]), now, true);
        absences.look(&view(&["a"], &["a", "b"]), now + SECOND, false);
        assert_eq!(absences.standing(&b, now + 9 * SECOND), Standing::Awaited);
        assert_eq!(absences.standing(&b, now + 10 * SECOND), Standing::Gone);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_missing_at_the_start_is_awaited_unless_we_were_there_before() {
        let (now, b) = (Instant::now(), MachineId::new("b"));
        let mut young = absences(now, false);
        young.look(&view(&["a"], &["a", "b"]), now, true);
        assert_eq!(young.standing(&b, now), Standing::Awaited);
        // The machine that led died together with what ran on it, and we have been in contact for long.
        let taking_over = now + 60 * SECOND;
        let mut old = absences(now, false);
        old.look(&view(&["a"], &["a", "b"]), taking_over, true);
        assert_eq!(old.standing(&b, taking_over), Standing::Fencing);
    }
}
