//! Watches: what happens to keys, from some revision on.
//!
//! Several keys are watched as one range that holds them all, and what is not meant is left out here. etcd
//! would take several watches at once, but they are not in order with each other: one may be at revision
//! 6 when another has yet to tell of 4. Whoever went on from 7 after a broken connection would miss that,
//! and a transaction would come in parts.

use tokio::time::timeout;

use super::client::{Client, Error, LED, refusal};
use super::wire::{Event, Notice, Range, parse_notice, render_watch};
use crate::http::{self, Answer, Bytes, Lines};

/// A watch; it ends when it is dropped. After an error it is of no more use.
#[derive(Debug)]
pub struct Watch {
    lines: Lines,
    keys: Vec<Range>,
}

impl Client {
    /// Watches keys, and all that is below those that end in `/`, from this revision on; 0 stands for the
    /// next. When this returns, the watch has begun. That the revision is too old is said by the first
    /// [`Watch::next`].
    pub async fn watch(mut self, keys: &[&str], from_revision: u64) -> Result<Watch, Error> {
        let keys: Vec<Range> = keys.iter().map(|key| Range::named(key)).collect();
        let question = render_watch(&Range::over(&keys), from_revision);
        let lines = match self.connection.post_lines("/v3/watch", &[LED], question).await? {
            Answer::Lines(lines) => lines,
            Answer::Refused(reply) => return Err(refusal(reply.status, &reply.body)),
        };
        let mut watch = Watch { lines, keys };
        let limit = self.connection.limit();
        timeout(limit, watch.begin()).await.map_err(|_| http::Error::TimedOut { limit })??;
        Ok(watch)
    }
}

impl Watch {
    /// Returns what happened next: all of one or more revisions, in order, and never nothing. There is no
    /// limit. A call that is dropped before it returns has lost nothing.
    ///
    /// A member that dies or loses its leader ends the watch. One that cannot be reached any more does not:
    /// only questions on another connection tell.
    pub async fn next(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            if let Notice::Events(events) = self.notice().await?
                && !events.is_empty()
            {
                return Ok(events);
            }
        }
    }

    async fn begin(&mut self) -> Result<(), Error> {
        while self.notice().await? != Notice::Created {}
        Ok(())
    }

    async fn notice(&mut self) -> Result<Notice, Error> {
        let line = match self.lines.next().await? {
            Some(line) => line,
            // etcd's last word has no end of line.
            None => Bytes::copy_from_slice(self.lines.rest()),
        };
        match parse_notice(&line, &self.keys) {
            Ok(Notice::Compacted { revision }) => Err(Error::Compacted { revision }),
            Ok(Notice::Canceled { reason }) => Err(Error::WatchEnded { reason }),
            Ok(Notice::Failed) => Err(failure(&line)),
            Ok(notice) => Ok(notice),
            Err(_) if line.is_empty() => {
                Err(Error::WatchEnded { reason: "it closed the connection".to_owned() })
            }
            Err(source) => Err(Error::Unreadable { source }),
        }
    }
}

fn failure(complaint: &[u8]) -> Error {
    // The status went out long before; it stood for success.
    match refusal(200, complaint) {
        Error::Refused { complaint, .. } => Error::WatchEnded { reason: complaint },
        known => known,
    }
}
