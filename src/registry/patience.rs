//! How long a registry is waited for, and how often it is asked again.

use std::time::Duration;

use super::Error;

/// The limits of a conversation; tests have shorter ones.
#[derive(Debug, Clone)]
pub struct Patience {
    /// For a connection to come about.
    pub connect: Duration,
    /// For the next byte.
    pub stall: Duration,
    /// How often something is asked for in all, as long as nothing comes of it.
    pub tries: u32,
    /// Before the second try; doubled before each one after it.
    pub first_pause: Duration,
    /// The longest pause, also if a registry asks for a longer one.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            tries: 5,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// Who cannot be reached at all is seldom there a moment later.
const TRIES_TO_REACH: u32 = 2;

/// The tries of one request.
pub(super) struct Tries<'a> {
    patience: &'a Patience,
    made: u32,
    pause: Duration,
}

impl<'a> Tries<'a> {
    pub(super) fn new(patience: &'a Patience) -> Self {
        Self { patience, made: 0, pause: patience.first_pause }
    }

    /// Begins to count anew, as something came of the last try.
    pub(super) fn renew(&mut self) {
        *self = Self::new(self.patience);
    }

    /// Waits until it is time for the next try, or returns the error if that would be of no use.
    pub(super) async fn after(&mut self, error: Error) -> Result<(), Error> {
        match self.next(&error) {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                Ok(())
            }
            None => Err(error),
        }
    }

    fn next(&mut self, error: &Error) -> Option<Duration> {
        let most = match error {
            Error::Unreachable { .. } => TRIES_TO_REACH.min(self.patience.tries),
            _ => self.patience.tries,
        };
        self.made += 1;
        if !error.may_pass() || self.made >= most {
            return None;
        }
        let pause = error.retry_after().unwrap_or(self.pause).min(self.patience.longest_pause);
        self.pause = (self.pause * 2).min(self.patience.longest_pause);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, retry_after: Option<u64>) -> Error {
        let retry_after = retry_after.map(Duration::from_secs);
        let (registry, what) = ("r".to_owned(), "x".to_owned());
        let may_pass = status >= 429;
        Error::Refused { registry, what, status, message: String::new(), retry_after, may_pass }
    }

    #[test]
    fn pauses_double_up_to_a_cap_and_tries_end() {
        let patience = Patience { longest_pause: Duration::from_secs(1), ..Patience::default() };
        let mut tries = Tries::new(&patience);
        let pauses: Vec<_> =
            std::iter::from_fn(|| tries.next(&refused(500, None))).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 1000, 1000]);
        tries.renew();
        assert_eq!(tries.next(&refused(500, None)), Some(Duration::from_millis(500)));
    }

    #[test]
    fn a_registry_may_ask_for_a_pause_but_not_for_any() {
        let patience = Patience::default();
        let pause = |seconds| Tries::new(&patience).next(&refused(429, Some(seconds)));
        assert_eq!(pause(0), Some(Duration::ZERO));
        assert_eq!(pause(7), Some(Duration::from_secs(7)));
        assert_eq!(pause(86_400), Some(patience.longest_pause));
    }

    #[test]
    fn what_will_not_pass_is_not_waited_for() {
        assert_eq!(Tries::new(&Patience::default()).next(&refused(400, None)), None);
    }
}
