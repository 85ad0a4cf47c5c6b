//! Leases: keys that were put with one end with it.

use std::time::Duration;

use super::client::{Client, Error};
use super::wire::{parse_granted, parse_kept, render_grant, render_lease};

impl Client {
    /// Returns a new lease. It lasts for at least this time, and never less than etcd's minimum, which is
    /// one and a half of its election timeouts; in full again whenever another member becomes the leader.
    pub async fn grant(&mut self, ttl: Duration) -> Result<u64, Error> {
        let body = self.ask_cluster("/v3/lease/grant", render_grant(ttl)).await?;
        parse_granted(&body).map_err(|source| Error::Unreadable { source })
    }

    /// Has a lease last for its whole time from now on, and returns this time; `None` if it is gone.
    ///
    /// It is the leader alone who answers. One that has just lost its quorum still does, for as long as an
    /// election timeout.
    pub async fn keep_alive(&mut self, lease: u64) -> Result<Option<Duration>, Error> {
        let body = self.ask_cluster("/v3/lease/keepalive", render_lease(lease)).await?;
        parse_kept(&body).map_err(|source| Error::Unreadable { source })
    }

    /// Ends a lease and deletes its keys; one that is gone counts as ended.
    pub async fn revoke(&mut self, lease: u64) -> Result<(), Error> {
        match self.ask_cluster("/v3/lease/revoke", render_lease(lease)).await {
            Err(Error::LeaseGone) => Ok(()),
            other => other.map(drop),
        }
    }
}
