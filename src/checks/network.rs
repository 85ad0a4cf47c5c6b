//! Asks over the network.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::{MOST, excerpt, find, judge, too_late, with_reason};
use crate::http::{self, Connection, Pieces};
use crate::model::{Outcome, Statuses};

/// Whom to ask, and what has to stand in the answer.
pub(super) struct Question<'a> {
    pub(super) address: Ipv4Addr,
    pub(super) answer: Option<&'a str>,
    pub(super) limit: Duration,
}

impl Question<'_> {
    pub(super) async fn connect(&self, port: u16) -> Outcome {
        let connected = timeout(self.limit, self.stream(port)).await;
        connected.unwrap_or_else(|_| Err(too_late(self.limit)))?;
        Ok("takes connections".to_owned())
    }

    pub(super) async fn http(&self, port: u16, path: &str, good: Statuses) -> Outcome {
        let deadline = Instant::now() + self.limit;
        let begun = timeout_at(deadline, self.begin_http(port, path)).await;
        let mut pieces = begun.unwrap_or_else(|_| Err(too_late(self.limit)))?;
        let status = pieces.status;
        if good.contains(status) && self.answer.is_none() {
            // A page may be without an end.
            return Ok(format!("answered {status}"));
        }
        let mut heard = Heard::default();
        let reading = async {
            while !heard.is_enough(self.answer)
                && let Ok(Some(piece)) = pieces.next().await
            {
                heard.add(&piece);
            }
        };
        // What came in time counts.
        timeout_at(deadline, reading).await.ok();
        if good.contains(status) {
            return judge(&heard.bytes, self.answer);
        }
        let said = excerpt(&heard.bytes, None);
        // A page or a document for programs says less than its status, and something else each time.
        let reason = if said.starts_with(['{', '[', '<']) { "" } else { &said };
        Err(with_reason(format!("answered {status}"), reason))
    }

    async fn begin_http(&self, port: u16, path: &str) -> Result<Pieces, String> {
        let broken = |_| "gives no HTTP answer".to_owned();
        let connection = Connection::over(self.stream(port).await?).await.map_err(broken)?;
        let connection = connection.with_limit(self.limit);
        let mut connection = connection.with_host(format!("{}:{port}", self.address));
        connection.pieces(path).await.map_err(|error| match error {
            http::Error::BadPath { .. } => error.to_string(),
            http::Error::TimedOut { limit } => too_late(limit),
            other => broken(other),
        })
    }

    pub(super) async fn send(&self, port: u16, text: &str) -> Outcome {
        let mut heard = Heard::default();
        let asking = async {
            let mut stream = self.stream(port).await?;
            stream.write_all(format!("{text}\n").as_bytes()).await.map_err(|error| plain(&error))?;
            let mut buffer = vec![0; 8 << 10];
            while !heard.is_enough(self.answer) {
                match stream.read(&mut buffer).await {
                    Ok(0) if heard.bytes.is_empty() => return Err("hung up without an answer".to_owned()),
                    Err(error) if heard.bytes.is_empty() => return Err(plain(&error)),
                    // Who hangs up before all was read, as the line's end, resets the connection.
                    Ok(0) | Err(_) => break,
                    Ok(count) => heard.add(&buffer[..count]),
                }
            }
            Ok(())
        };
        match timeout(self.limit, asking).await {
            Ok(Err(error)) => Err(error),
            Err(_) if heard.bytes.is_empty() => Err(too_late(self.limit)),
            // It may leave the connection open for the next question.
            Ok(Ok(())) | Err(_) => judge(&heard.bytes, self.answer),
        }
    }

    async fn stream(&self, port: u16) -> Result<TcpStream, String> {
        TcpStream::connect((self.address, port)).await.map_err(|error| plain(&error))
    }
}

/// Returns what went wrong without the number that systems give it.
fn plain(error: &io::Error) -> String {
    error.kind().to_string()
}

/// What came of an answer up to now.
#[derive(Default)]
pub(super) struct Heard {
    bytes: Vec<u8>,
    /// How much of it was searched in vain.
    searched: usize,
    has_answer: bool,
}

impl Heard {
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.bytes.extend(&piece[..piece.len().min(MOST - self.bytes.len())]);
    }

    /// Without anything that is wanted, whatever comes is an answer.
    pub(super) fn is_enough(&mut self, wanted: Option<&str>) -> bool {
        let Some(wanted) = wanted else { return !self.bytes.is_empty() };
        // What is wanted may have come in two pieces.
        let from = self.searched.saturating_sub(wanted.len());
        self.has_answer = self.has_answer || find(&self.bytes[from..], wanted).is_some();
        self.searched = self.bytes.len();
        self.has_answer || self.bytes.len() == MOST
    }
}
