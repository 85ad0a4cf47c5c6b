//! When a machine that may have lost its lease has to stop what others may start.

use tokio::time::Instant;

use crate::fleet::heart::{Pulse, Timing};
use crate::fleet::unit::UnitName;

use super::held::{Claim, Held, Holding};

/// Until when the machine's units are surely its own.
#[derive(Debug)]
pub(super) struct Trust {
    lease: Option<u64>,
    sure_until: Instant,
    /// Units that have not been claimed under the present lease were ours under the one before, until then.
    lapsed: Option<Instant>,
}

/// What is to be done about fenced units, and when to look at that again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Fence {
    pub(super) stop: Vec<UnitName>,
    /// Others may start these any moment: they get no more time.
    pub(super) kill: Vec<UnitName>,
    pub(super) next: Option<Instant>,
}

impl Trust {
    pub(super) fn new(pulse: &Pulse) -> Self {
        Self { lease: pulse.lease, sure_until: pulse.sure_until, lapsed: None }
    }

    /// Takes in what the heart says. A machine that stood still for long learns at the same moment that its
    /// lease was over and that it has a new one.
    pub(super) fn note(&mut self, pulse: &Pulse) {
        if let Some(lease) = pulse.lease {
            if self.lease.is_some_and(|own| own != lease) {
                self.lapsed = Some(self.sure_until);
            }
            self.lease = Some(lease);
        }
        self.sure_until = pulse.sure_until;
    }

    fn until(&self, held: &Held) -> Instant {
        let is_claimed = matches!(held.claim, Claim::Made { lease } if Some(lease) == self.lease);
        match self.lapsed {
            Some(lapsed) if !is_claimed => lapsed.min(self.sure_until),
            _ => self.sure_until,
        }
    }
}

pub(super) fn fence(trust: &Trust, holding: &Holding, timing: Timing, now: Instant) -> Fence {
    let mut fence = Fence::default();
    for (name, held) in holding.iter().filter(|(_, held)| held.is_fenced && held.may_run()) {
        let until = trust.until(held);
        let kill_at = until + timing.margin / 2;
        let next = if now < until {
            until
        } else if now < kill_at {
            fence.stop.push(name.clone());
            kill_at
        } else {
            fence.kill.push(name.clone());
            continue;
        };
        fence.next = Some(fence.next.map_or(next, |other| other.min(next)));
    }
    fence
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fleet::agent::held::Held;
    use crate::fleet::unit::UnitFile;

    fn unit(name: &str) -> UnitName {
        UnitName::parse(name).unwrap()
    }

    fn held(is_fenced: bool, launched: Option<u64>, claim: Claim) -> Held {
        let hash = UnitFile::parse("[A]\nb=c\n").unwrap().hash();
        Held { claim, is_fenced, ..Held::new(hash, launched) }
    }

    #[tokio::test(start_paused = true)]
    async fn fenced_units_stop_when_the_lease_may_be_over_and_are_killed_before_others_start() {
        let timing = Timing::default();
        let now = Instant::now();
        let pulse = Pulse { lease: Some(1), sure_until: now + timing.ttl, contact: None };
        let holding: Holding = [
            (unit("fenced.service"), held(true, Some(0), Claim::None)),
            (unit("free.service"), held(false, Some(0), Claim::None)),
            (unit("still.service"), held(true, None, Claim::None)),
        ]
        .into();
        let at = |after: Duration| fence(&Trust::new(&pulse), &holding, timing, now + after);
        let open = Fence { next: Some(now + timing.ttl), ..Fence::default() };
        assert_eq!(at(timing.ttl.saturating_sub(Duration::from_millis(1))), open);
        let units = vec![unit("fenced.service")];
        let next = Some(now + timing.ttl + timing.margin / 2);
        assert_eq!(at(timing.ttl), Fence { stop: units.clone(), next, ..Fence::default() });
        assert_eq!(at(timing.ttl + timing.margin / 2), Fence { kill: units, ..Fence::default() });
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_lease_says_nothing_of_units_that_were_claimed_under_the_one_before() {
        let timing = Timing::default();
        let began = Instant::now();
        let mut trust = Trust::new(&Pulse { lease: Some(1), sure_until: began + timing.ttl, contact: None });
        let now = began + 10 * timing.ttl;
        trust.note(&Pulse { lease: Some(2), sure_until: now + timing.ttl, contact: None });
        let holding: Holding = [
            (unit("old.service"), held(true, Some(0), Claim::Made { lease: 1 })),
            (unit("new.service"), held(true, Some(0), Claim::Made { lease: 2 })),
        ]
        .into();
        let next = Some(now + timing.ttl);
        let want = Fence { kill: vec![unit("old.service")], next, ..Fence::default() };
        assert_eq!(fence(&trust, &holding, timing, now), want);
    }
}
