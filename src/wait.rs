//! Waits: each has a name, a limit and an end that says how long it took.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// The user's wish to stop, passed down to whatever waits.
pub type Stop = tokio_util::sync::CancellationToken;

#[derive(Debug, thiserror::Error)]
#[error("gave up waiting until {what} after {} s", limit.as_secs_f32().round())]
pub struct TimedOut {
    what: String,
    limit: Duration,
}

/// Asks `probe` again and again until it returns something, at most for `limit`.
pub async fn wait_until<T>(
    what: impl Into<String>,
    limit: Duration,
    every: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> Result<T, TimedOut> {
    let deadline = Instant::now() + limit;
    let asking = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            sleep(every).await;
        }
    };
    timeout_at(deadline, asking).await.map_err(|_| TimedOut { what: what.into(), limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_ends_with_what_it_found() {
        let mut asked = 0;
        let found = wait_until("the third time", Duration::from_secs(5), Duration::ZERO, async || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(found.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_probe_that_hangs_is_cut_at_the_limit() {
        let never = wait_until("pigs fly", Duration::from_millis(5), Duration::ZERO, async || {
            std::future::pending::<Option<()>>().await
        });
        assert_eq!(never.await.unwrap_err().to_string(), "gave up waiting until pigs fly after 0 s");
    }
}
