//! Units on real nodes: what the tests of the fleet of old asked of it, and what happens when things break.

mod api;
mod client;
mod daemon;
mod failures;
mod schedule;
mod stack;
mod units;

use crate::kit::{TestLab, suite};

/// One lab for all that leaves its nodes alive.
#[test]
fn the_fleet_is_what_it_was() {
    let lab = TestLab::with_nodes("fleet", 3);
    suite(&lab, &[api::CHECKS, schedule::CHECKS, units::CHECKS, client::CHECKS, daemon::CHECKS].concat());
    lab.healthy(3);
}
