//! Many nodes in one process on a clock of their own, thousands of histories of what users do and what goes
//! wrong, and laws that must hold all the while.
//!
//! ```sh
//! cargo test --release --locked --test sim                                 # all of it
//! LAB_SIM_HISTORIES=200000 cargo test --release --locked --test sim laws   # more of it
//! LAB_SIM_SEED=17 cargo test --release --locked --test sim -- replay       # one history, with all that happens
//! ```

mod bugs;
mod catalogue;
mod client;
mod history;
mod laws;
mod line;
mod node;
mod random;
mod shrink;
mod site;
mod teeth;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use bugs::Wiring;
use camino::Utf8PathBuf;
use history::History;
use laws::Law;

const HISTORIES: u64 = 10_000;
const THREADS: u64 = 2;

#[expect(clippy::disallowed_methods, reason = "whoever runs a test says so by its environment")]
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Plays histories of these seeds until one fails; returns its seed and the law that it broke.
fn first_failure(seeds: std::ops::Range<u64>, wiring: &Wiring) -> Option<(u64, Law)> {
    let next = AtomicU64::new(seeds.start);
    let play_some = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return None;
            }
            if let Some(failure) = world::play(&History::of(seed), wiring, false).failure {
                next.store(seeds.end, Ordering::Relaxed);
                return Some((seed, failure.law));
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(play_some)).collect();
        let failures = threads.into_iter().filter_map(|thread| thread.join().expect("no law panics"));
        failures.min_by_key(|(seed, _)| *seed)
    })
}

#[test]
fn laws_hold_in_every_history() {
    let histories = variable("LAB_SIM_HISTORIES").unwrap_or(HISTORIES);
    let wiring = Wiring::default();
    if let Some((seed, law)) = first_failure(0..histories, &wiring) {
        panic!("{}", shrink::tell(&History::of(seed), law, &wiring));
    }
}

/// Plays the history of one seed.
#[test]
fn replay() {
    let history = History::of(variable("LAB_SIM_SEED").unwrap_or(0));
    let wiring = Wiring::default();
    if let Some(failure) = world::play(&history, &wiring, false).failure {
        panic!("{}", shrink::tell(&history, failure.law, &wiring));
    }
}

#[test]
fn a_history_ends_the_same_way_each_time() {
    for seed in 0..20 {
        let trace = || world::play(&History::of(seed), &Wiring::default(), true).trace;
        assert_eq!(trace(), trace(), "seed {seed}");
    }
}

/// Where the clock on the wall may be read: a metric is a moment that people look at.
const WALL_CLOCK: [&str; 1] = ["src/fleet/engine/lead.rs"];

/// A jump of the clock on the wall changes nothing, as nothing that is decided hangs on it.
#[test]
fn nothing_is_decided_by_the_clock_on_the_wall() {
    let mut folders = vec![Utf8PathBuf::from("src/fleet")];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
            let reads_it = ["SystemTime", "std::time::Instant"].iter().any(|clock| text.contains(clock));
            assert!(
                !reads_it || WALL_CLOCK.contains(&path.as_str()),
                "`{path}` reads a clock that tests cannot set"
            );
        }
    }
}
