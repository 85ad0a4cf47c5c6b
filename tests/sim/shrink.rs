//! Makes a history that fails as short as possible.

use crate::bugs::Wiring;
use crate::history::{History, Step};
use crate::laws::Law;
use crate::world::play;

const MOST_RUNS: usize = 400;

/// Takes out steps, many at once and then fewer, as long as the same law is broken by what is left.
pub fn shrink(history: &History, law: Law, wiring: &Wiring) -> History {
    let mut best = history.clone();
    let mut runs = 0;
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 {
        let mut first = 0;
        let mut is_smaller = false;
        while first < best.steps.len() && runs < MOST_RUNS {
            let last = (first + size).min(best.steps.len());
            let steps: Vec<Step> = [&best.steps[..first], &best.steps[last..]].concat();
            let shorter = History { steps, ..best.clone() };
            runs += 1;
            if play(&shorter, wiring, false).failure.is_some_and(|failure| failure.law == law) {
                best = shorter;
                is_smaller = true;
            } else {
                first = last;
            }
        }
        if size == 1 && !is_smaller {
            break;
        }
        size = if size == 1 { 1 } else { size / 2 };
        if runs >= MOST_RUNS {
            break;
        }
    }
    best
}

/// Tells of a failure: how to see it again, the shortest way to it, and what happens on that way.
pub fn tell(history: &History, law: Law, wiring: &Wiring) -> String {
    let shortest = shrink(history, law, wiring);
    let ending = play(&shortest, wiring, true);
    let failure = ending.failure.map_or("it passes now".to_owned(), |failure| failure.to_string());
    let steps: Vec<String> = shortest.steps.iter().map(ToString::to_string).collect();
    format!(
        "{failure}\n\nSeen again by: LAB_SIM_SEED={} cargo test --release --test sim -- replay\n{} nodes, fence {}, latency {} ms, \
         the steps that it takes:\n{}\n\nWhat happens:\n{}\n",
        history.seed,
        shortest.nodes,
        shortest.is_fenced,
        shortest.latency_ms,
        steps.join("\n"),
        ending.trace.join("\n"),
    )
}
