//! The only place that sleeps.

use std::thread::sleep;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_mins(1);
const EVERY: Duration = Duration::from_millis(20);

/// Asks `probe` again and again until it returns something; a minute in vain is a failure that says `what`.
#[track_caller]
pub fn wait_until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    match try_until(LIMIT, probe) {
        Some(found) => found,
        None => panic!("gave up waiting until {what} after {} s", LIMIT.as_secs()),
    }
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
