//! What goes wrong, and how it comes right again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lab::fleet::agent::Script;
use lab::fleet::registry::{Error, Fault, Key, Registry};

use crate::bugs::Wiring;
use crate::history::{Action, Cut};
use crate::laws::Laws;
use crate::site::{Site, lately};

use super::World;

/// Within this time a machine that is in contact knows that its lease was taken away.
const REVOCATION_MS: u64 = 1_500;
/// An agent asks for its orders anew after 30 s, whatever it hears.
const DEAF_MS: u64 = 32_000;

impl World<'_> {
    pub(super) async fn harm(&mut self, what: &Action) -> Result<(), Error> {
        let now = self.laws.now;
        let is_revoked = |site: &Site| lately(site.revoked_at, now, REVOCATION_MS);
        match *what {
            // Who cannot learn in time that a lease was taken away runs what others run, and no fence helps. No
            // lease ends like that by itself.
            Action::NoQuorum { .. } if self.sites.iter().any(is_revoked) => {}
            Action::Cut { node, .. } | Action::Freeze { node, .. } if is_revoked(&self.sites[node]) => {}
            Action::NoQuorum { for_ms } => {
                self.registry.set_fault(Fault::NoQuorum);
                self.has_stopped.store(true, Ordering::Relaxed);
                self.quorum_returns = self.quorum_returns.max(now + for_ms);
            }
            Action::Compact => self.registry.compact(),
            Action::Revoke { node } => {
                let site = &mut self.sites[node];
                let page = self.registry.read(&[Key::Machine(site.node.id.clone()).to_string()]).await?;
                if let Some(entry) = page.entries.first().filter(|_| !site.node.line.is_cut()) {
                    site.isolated_at = Some(now);
                    site.revoked_at = Some(now);
                    self.registry.revoke(entry.lease).await?;
                }
            }
            _ => {
                let Some(node) = what.node() else { return Ok(()) };
                self.sites[node].strike(what, now);
                self.sites[node].disturb(what, now);
            }
        }
        Ok(())
    }

    pub(super) fn next_end(&self) -> Option<u64> {
        let now = self.laws.now;
        let ends = self.sites.iter().flat_map(|site| {
            let ends = &site.ends;
            [ends.cut, ends.slow, ends.repeat, ends.disk, ends.frozen, ends.down]
        });
        ends.chain([self.quorum_returns]).filter(|end| *end > now).min()
    }

    pub(super) fn end_troubles(&mut self) {
        let now = self.laws.now;
        if self.has_stopped.load(Ordering::Relaxed) && now >= self.quorum_returns {
            self.registry.set_fault(Fault::None);
            self.has_stopped.store(false, Ordering::Relaxed);
            self.laws.outage_at = Some(now);
            self.laws.note(|| "  the quorum is back".to_owned());
        }
        for site in &mut self.sites {
            end_troubles_of(site, now, &mut self.laws, self.wiring);
        }
    }
}

impl Site {
    /// Ends or stops what runs on the machine.
    fn strike(&mut self, what: &Action, now: u64) {
        match *what {
            Action::CrashDaemon { for_ms, .. } if self.may_crash() => {
                self.node.crash_daemon();
                self.has_crashed = true;
                self.ends.down = now + for_ms;
            }
            Action::CrashNode { for_ms, .. } => {
                self.node.lose_power();
                self.ends.frozen = 0;
                self.isolated_at = Some(now);
                self.is_orphaned = true;
                self.ends.down = for_ms.map_or(u64::MAX, |for_ms| now + for_ms);
            }
            Action::Freeze { for_ms, .. } if self.node.is_up() => {
                self.node.gate.freeze();
                self.ends.frozen = self.ends.frozen.max(now + for_ms);
            }
            _ => {}
        }
    }

    /// A daemon that crashes again and again without ever having contact cannot know how long it has been cut
    /// off; each time it is sure of its lease for a moment. So it crashes once.
    fn may_crash(&self) -> bool {
        self.node.is_up() && !self.has_crashed && self.node.gate.is_moving()
    }

    /// Makes the machine slow, or its connection.
    fn disturb(&mut self, what: &Action, now: u64) {
        match *what {
            Action::Cut { how, for_ms, .. } => {
                self.node.line.cut(how);
                self.ends.cut = self.ends.cut.max(now + for_ms);
                self.be_slower(if how == Cut::Late { 3000 } else { 0 });
                self.ends.slow = self.ends.slow.max(now + for_ms);
            }
            Action::Slow { answer_ms, news_ms, for_ms, .. } => {
                self.node.line.slow_down(answer_ms, news_ms);
                self.ends.slow = self.ends.slow.max(now + for_ms);
                self.be_slower(6 * answer_ms + 3 * news_ms);
            }
            Action::Repeat { for_ms, .. } => {
                self.node.line.repeat(true);
                self.ends.repeat = self.ends.repeat.max(now + for_ms);
            }
            Action::EndWatches { .. } => self.node.line.end_watches(),
            Action::Deafen { .. } => {
                self.node.line.deafen();
                self.deafened_at = Some(now);
                self.ends.deaf = now + DEAF_MS;
            }
            Action::SlowDisk { load_ms, stop_ms, for_ms, .. } => {
                let [load, stop] = [load_ms, stop_ms].map(Duration::from_millis);
                self.node.units.set_script(Script { load, stop });
                self.ends.disk = self.ends.disk.max(now + for_ms);
                self.be_slower(3 * load_ms + 2 * stop_ms);
            }
            _ => {}
        }
    }

    fn be_slower(&mut self, by_ms: u64) {
        self.slowness_ms = self.slowness_ms.max(by_ms);
    }
}

/// How long trouble is still felt when it is over.
const ECHO_MS: u64 = 6_000;

fn end_troubles_of(site: &mut Site, now: u64, laws: &mut Laws, wiring: &Wiring) {
    let ends = &site.ends;
    if site.node.line.is_cut() && now >= ends.cut {
        site.node.line.mend();
        laws.note(|| format!("  {} is connected again", site.node.id));
    }
    if now == ends.slow {
        site.node.line.slow_down(0, 0);
    }
    if now == ends.repeat {
        site.node.line.repeat(false);
    }
    if now == ends.disk {
        site.node.units.set_script(Script::default());
    }
    if now > ends.slow.max(ends.disk) + site.slowness_ms + ECHO_MS {
        site.slowness_ms = 0;
    }
    if site.node.gate.is_frozen() && now >= ends.frozen {
        site.node.gate.thaw();
        laws.note(|| format!("  {} thaws", site.node.id));
    }
    if !site.node.is_up() && now >= ends.down {
        site.node.start(wiring);
        laws.note(|| format!("  {} starts its daemon", site.node.id));
    }
}
