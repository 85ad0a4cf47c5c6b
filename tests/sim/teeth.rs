//! Deliberate bugs. The laws have to find each of them, or they would prove nothing.

use std::time::Duration;

use lab::fleet::heart::Timing;

use crate::bugs::{self, Wiring};
use crate::first_failure;
use crate::laws::Law;
use crate::line::Twist;
use crate::node::Lie;

/// Plays histories until the bug shows itself, and demands that it does so as a breach of one of these laws.
#[track_caller]
fn finds(wiring: Wiring, histories: u64, laws: &[Law]) {
    let found = first_failure(0..histories, &wiring);
    let (seed, law) = found.unwrap_or_else(|| panic!("{histories} histories do not show it"));
    assert!(laws.contains(&law), "seed {seed} breaks {law:?}");
}

#[test]
fn an_engine_that_overlooks_conflicts_is_found() {
    finds(Wiring { place: bugs::place_beside_conflicts, ..Wiring::default() }, 500, &[Law::Misplaced]);
}

#[test]
fn an_engine_that_does_not_wait_for_a_stop_is_found() {
    finds(Wiring { place: bugs::place_over_residue, ..Wiring::default() }, 2000, &[Law::Twice]);
}

#[test]
fn an_engine_that_gives_away_what_is_fenced_is_found() {
    finds(Wiring { place: bugs::place_without_fencing, ..Wiring::default() }, 2000, &[Law::Twice]);
}

#[test]
fn an_engine_without_grace_is_found() {
    let laws = [Law::Grace, Law::Unreasonable, Law::Twice];
    finds(Wiring { place: bugs::place_without_grace, ..Wiring::default() }, 5000, &laws);
}

#[test]
fn an_agent_that_does_not_claim_is_found() {
    let laws = [Law::Twice, Law::Unclaimed, Law::Unreasonable];
    finds(Wiring { obey: bugs::obey_without_claim, ..Wiring::default() }, 1000, &laws);
}

#[test]
fn an_agent_that_misses_restarts_is_found() {
    finds(Wiring { obey: bugs::obey_without_restarts, ..Wiring::default() }, 1000, &[Law::Unsettled]);
}

#[test]
fn an_agent_that_keeps_what_it_has_to_give_away_is_found() {
    let laws = [Law::Misplaced, Law::Unsettled];
    finds(Wiring { obey: bugs::obey_and_keep, ..Wiring::default() }, 1000, &laws);
}

#[test]
fn an_agent_that_starts_what_is_only_to_be_loaded_is_found() {
    let laws = [Law::Unreasonable, Law::Misplaced];
    finds(Wiring { obey: bugs::obey_too_eagerly, ..Wiring::default() }, 500, &laws);
}

#[test]
fn a_commit_without_its_guard_is_found() {
    let laws = [Law::Lost, Law::Contradiction];
    finds(Wiring { twist: Twist::LostUpdates, ..Wiring::default() }, 5000, &laws);
}

#[test]
fn a_claim_without_its_guard_is_found() {
    finds(Wiring { twist: Twist::LateClaims, ..Wiring::default() }, 5000, &[Law::Twice]);
}

#[test]
fn a_lease_that_never_ends_is_found() {
    finds(Wiring { twist: Twist::Endless, ..Wiring::default() }, 1000, &[Law::Unsettled]);
}

#[test]
fn a_daemon_that_forgets_its_lease_is_found() {
    let laws = [Law::Unreasonable, Law::Missed, Law::Twice];
    finds(Wiring { is_forgetful: true, ..Wiring::default() }, 1000, &laws);
}

#[test]
fn a_node_that_takes_every_silence_for_an_outage_is_found() {
    finds(Wiring { lie: Lie::AlwaysStopped, ..Wiring::default() }, 2000, &[Law::Twice]);
}

#[test]
fn a_node_that_stops_its_units_in_an_outage_is_found() {
    finds(Wiring { lie: Lie::NeverStopped, ..Wiring::default() }, 2000, &[Law::Unreasonable]);
}

#[test]
fn a_margin_that_is_too_small_is_found() {
    let timing = Timing { margin: Duration::ZERO, ..Timing::default() };
    finds(Wiring { timing, ..Wiring::default() }, 2000, &[Law::Twice]);
}
