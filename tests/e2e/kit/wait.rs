//! The only place that sleeps.

use std::thread::sleep;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_mins(1);
/// How many times longer everything may take where processors are emulated.
const PATIENCE: &str = "LAB_TEST_PATIENCE";
const EVERY: Duration = Duration::from_millis(20);

/// Asks `probe` again and again until it returns something; a minute in vain is a failure that says `what`.
#[track_caller]
pub fn wait_until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    let limit = patient(LIMIT);
    match try_until(limit, probe) {
        Some(found) => found,
        None => panic!("gave up waiting until {what} after {} s", limit.as_secs()),
    }
}

/// Returns a limit as it is where these tests run.
#[expect(clippy::disallowed_methods, reason = "a setting of the tests, not a flag of ours")]
pub(super) fn patient(limit: Duration) -> Duration {
    let times = std::env::var(PATIENCE).ok();
    limit * times.map_or(1, |times| times.parse().expect("the patience is a number"))
}

/// Asks `probe` at least once, and `None` stands for the limit.
pub(super) fn try_until<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        let found = probe();
        if found.is_some() || Instant::now() >= end {
            return found;
        }
        sleep(EVERY);
    }
}
