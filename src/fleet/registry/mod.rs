//! Where the cluster's state lives: keys with revisions, transactions, leases and watches. Two bodies: etcd,
//! and memory for tests and simulations. Both pass the same contract.

mod etcd;
mod fsck;
mod keys;
mod memory;

use std::error::Error as StdError;
use std::time::Duration;

pub use crate::etcd::{Compare, Entry, Event, Op, Outcome, Page};
pub use etcd::EtcdRegistry;
pub use fsck::{Finding, fsck};
pub use keys::Key;
pub use memory::{Fault, MemoryRegistry};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers, or those who do have no quorum. Whether a commit took place is not known.
    #[error("the registry does not answer")]
    Unreachable { source: Box<dyn StdError + Send + Sync> },
    /// What happened since is not kept any more: read anew.
    #[error("the registry has forgotten what happened since revision {revision}")]
    Forgotten { revision: u64 },
    #[error("the registry refused")]
    Refused { source: Box<dyn StdError + Send + Sync> },
    #[error("what stands at `{key}` in the registry could not be read")]
    Corrupt { key: String, source: serde_json::Error },
}

/// What the fleet asks of a registry. A key that ends with a slash means all keys that begin with it.
pub trait Registry: Clone + Send + Sync + 'static {
    type Watch: Watch;

    /// Returns all that stands at these keys, at one revision. What was committed before is seen.
    fn read(&self, keys: &[String]) -> impl Future<Output = Result<Page, Error>> + Send;

    /// Does all of `ops` if all of `compares` hold, else nothing.
    fn commit(
        &self,
        compares: Vec<Compare>,
        ops: Vec<Op>,
    ) -> impl Future<Output = Result<Outcome, Error>> + Send;

    /// Tells of every change from a revision on, in order.
    fn watch(&self, keys: &[String], from: u64) -> impl Future<Output = Result<Self::Watch, Error>> + Send;

    /// Returns a new lease: keys that are bound to it go when it is not kept alive for that long.
    fn grant(&self, ttl: Duration) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Returns how long the lease lasts from now on; `None` if it is gone.
    fn keep_alive(&self, lease: u64) -> impl Future<Output = Result<Option<Duration>, Error>> + Send;

    fn revoke(&self, lease: u64) -> impl Future<Output = Result<(), Error>> + Send;
}

pub trait Watch: Send + 'static {
    /// Waits for the next changes. After an error the watch is of no more use.
    fn next(&mut self) -> impl Future<Output = Result<Vec<Event>, Error>> + Send;
}

/// Reads the value of an entry.
pub fn parse<T: serde::de::DeserializeOwned>(entry: &Entry) -> Result<T, Error> {
    serde_json::from_str(&entry.value).map_err(|source| Error::Corrupt { key: entry.key.clone(), source })
}

/// Returns the order to write a value at a key.
pub fn put(key: &Key, value: &impl serde::Serialize, lease: Option<u64>) -> Op {
    let value = serde_json::to_string(value).expect("records are plain data");
    Op::Put { key: key.to_string(), value, lease }
}

pub fn delete(key: &Key) -> Op {
    Op::Delete { key: key.to_string() }
}

/// Demands that a key has not changed since it was read; 0 demands that there is none.
pub fn unchanged(key: &Key, revision: u64) -> Compare {
    Compare::Revision { key: key.to_string(), is: revision }
}

#[cfg(test)]
mod contract;
