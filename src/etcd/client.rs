//! The questions and orders that we have for etcd.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::wire::{
    Member, Status, parse_added, parse_complaint, parse_members, parse_status, render_add, render_remove,
};
use crate::http::{self, Bytes, Connection, Header, Reply};

/// Has a member that knows no leader say so at once, where it would wait for one otherwise. A watch ends
/// when this happens later, where it would be silent.
pub(super) const LED: Header = ("grpc-metadata-hasleader", "true");

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("etcd did not answer")]
    Connection(#[from] http::Error),
    #[error("etcd has lost its quorum: too few of its members answer")]
    QuorumLost,
    #[error("etcd changes its members only while all of them are connected")]
    Unsettled,
    #[error("etcd refused: {complaint}")]
    Refused { status: u16, complaint: String },
    #[error("etcd's answer could not be read")]
    Unreadable { source: serde_json::Error },
    #[error("the lease is gone")]
    LeaseGone,
    #[error("etcd has forgotten what was before revision {revision}")]
    Compacted { revision: u64 },
    #[error("etcd ended the watch: {reason}")]
    WatchEnded { reason: String },
}

impl Error {
    /// Returns what to do about it, where the cause tells.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::QuorumLost => Some("start the nodes that are down: `lab up`".to_owned()),
            Self::Unsettled => Some(
                "start the nodes that are down: `lab up`; a member that has just started counts after 5 s"
                    .to_owned(),
            ),
            Self::Connection(_)
            | Self::Refused { .. }
            | Self::Unreadable { .. }
            | Self::LeaseGone
            | Self::Compacted { .. }
            | Self::WatchEnded { .. } => None,
        }
    }

    /// Returns whether the same call may succeed a few seconds later without anyone's doing.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connection(_) | Self::QuorumLost | Self::Unsettled | Self::WatchEnded { .. } => true,
            // Thus refuses a member that is about to stop.
            Self::Refused { status, .. } => matches!(status, 408 | 503),
            Self::Unreadable { .. } | Self::LeaseGone | Self::Compacted { .. } => false,
        }
    }
}

/// A client of one member, or of a gateway to them. After [`Error::Connection`] a new one is needed.
#[derive(Debug)]
pub struct Client {
    pub(super) connection: Connection,
}

impl Client {
    pub async fn over<S>(stream: S) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Ok(Self { connection: Connection::over(stream).await? })
    }

    /// Changes how long each call may take; 2 s unless told.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { connection: self.connection.with_limit(limit) }
    }

    /// Returns the member's status if a majority of the members confirms that it would serve a client.
    ///
    /// `GET /health` asks the same, but writes an entry to the log of every member each time.
    pub async fn health(&mut self) -> Result<Status, Error> {
        let status = self.status().await?;
        // Without a leader the read below would wait for one to the limit.
        if status.leader.is_none() {
            return Err(Error::QuorumLost);
        }
        let read = br#"{"key":"AA==","count_only":true}"#.to_vec();
        match self.ask("/v3/kv/range", read).await {
            Ok(_) => Ok(status),
            // The member answered above; what it waits for now is a majority.
            Err(Error::Connection(http::Error::TimedOut { .. })) => Err(Error::QuorumLost),
            Err(error) => Err(error),
        }
    }

    /// Returns all members, also those that are down. It is this member's own view, quorum or not.
    pub async fn members(&mut self) -> Result<Vec<Member>, Error> {
        let body = self.ask("/v3/cluster/member/list", b"{}".to_vec()).await?;
        parse_members(&body).map_err(|source| Error::Unreadable { source })
    }

    /// Tells the cluster to expect a member. One that is expected already is returned as it is.
    pub async fn add_member(&mut self, peer_url: &str) -> Result<Member, Error> {
        let known = self.members().await?;
        if let Some(member) = known.into_iter().find(|member| member.peer_urls == [peer_url]) {
            return Ok(member);
        }
        let body = self.ask("/v3/cluster/member/add", render_add(peer_url)).await?;
        parse_added(&body).map_err(|source| Error::Unreadable { source })
    }

    /// Removes a member; one that is not there counts as removed.
    pub async fn remove_member(&mut self, id: u64) -> Result<(), Error> {
        match self.ask("/v3/cluster/member/remove", render_remove(id)).await {
            Err(Error::Refused { status: 404, .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    pub async fn status(&mut self) -> Result<Status, Error> {
        let body = self.ask("/v3/maintenance/status", b"{}".to_vec()).await?;
        parse_status(&body).map_err(|source| Error::Unreadable { source })
    }

    async fn ask(&mut self, path: &str, question: Vec<u8>) -> Result<Bytes, Error> {
        accepted(self.connection.post(path, question).await?)
    }

    /// Asks for what needs a leader and a majority. etcd is told the limit: so it is the member that says
    /// when it waited in vain, and the connection can be used again.
    pub(super) async fn ask_cluster(&mut self, path: &str, question: Vec<u8>) -> Result<Bytes, Error> {
        // What is left is for the way here and back.
        let limit = self.connection.limit() * 9 / 10;
        // The format has no room for more digits.
        let limit = format!("{}m", limit.as_millis().min(99_999_999));
        accepted(self.connection.post_with(path, &[LED, ("grpc-timeout", &limit)], question).await?)
    }
}

fn accepted(reply: Reply) -> Result<Bytes, Error> {
    if reply.is_success() { Ok(reply.body) } else { Err(refusal(reply.status, &reply.body)) }
}

/// Tells what kind of refusal it is. etcd's texts are part of its protocol; the codes are too coarse.
pub(super) fn refusal(status: u16, body: &[u8]) -> Error {
    let complaint = parse_complaint(body);
    match complaint.as_str() {
        "no leader" | "leader changed" | "not leader" | "context deadline exceeded" => Error::QuorumLost,
        text if text.starts_with("request timed out") => Error::QuorumLost,
        "unhealthy cluster" => Error::Unsettled,
        text if text.contains("not enough started members") => Error::Unsettled,
        "requested lease not found" => Error::LeaseGone,
        _ => Error::Refused { status, complaint },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(complaint: &str, want: &str, hint: Option<&str>) {
        let body = format!(r#"{{"error":"etcdserver: {complaint}","code":14}}"#);
        let error = refusal(503, body.as_bytes());
        assert!(error.to_string().contains(want), "{error}");
        assert_eq!(error.hint().is_some(), hint.is_some(), "{error}");
        assert!(error.hint().unwrap_or_default().contains(hint.unwrap_or_default()));
    }

    #[test]
    fn a_refusal_is_told_by_what_cures_it() {
        check("no leader", "lost its quorum", Some("start the nodes that are down: `lab up`"));
        check("request timed out", "lost its quorum", Some("`lab up`"));
        check("request timed out, possibly due to connection lost", "lost its quorum", Some("`lab up`"));
        check("unhealthy cluster", "all of them are connected", Some("after 5 s"));
        check("re-configuration failed due to not enough started members", "all of them", Some("5 s"));
        check("requested lease not found", "the lease is gone", None);
        check("given member URLs are invalid", "refused: given member URLs are invalid", None);
    }
}
