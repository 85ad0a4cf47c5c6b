//! The registry that stands in etcd.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Compare, Error, Event, Op, Outcome, Page, Registry, Watch};
use crate::etcd::{self, Client};

/// How long one question may take. Less than a third of a lease, so that another member can be asked in time.
const LIMIT: Duration = Duration::from_millis(900);
const CONNECT_LIMIT: Duration = Duration::from_millis(400);

/// Asks one member after the other until one answers; connections are kept.
#[derive(Debug, Clone)]
pub struct EtcdRegistry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `host:port` of members; the one that answered last comes first.
    endpoints: Vec<String>,
    kept: Vec<(String, Client)>,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("no member of etcd is known")]
    Nobody,
    #[error("`{endpoint}` cannot be reached")]
    Connect { endpoint: String, source: std::io::Error },
    #[error("`{endpoint}` does not let itself be reached in time")]
    Late { endpoint: String },
}

type Asking<'c, T> = BoxFuture<'c, Result<T, etcd::Error>>;

impl EtcdRegistry {
    /// `endpoints` are `host:port`, the nearest first.
    pub fn new(endpoints: Vec<String>) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::new(State { endpoints, kept: Vec::new() }) }) }
    }

    /// Asks these from now on.
    pub fn set_endpoints(&self, endpoints: Vec<String>) {
        let mut state = self.lock();
        state.kept.retain(|(endpoint, _)| endpoints.contains(endpoint));
        state.endpoints = endpoints;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `ask` done over a connection that works. A connection that was kept may have broken since, and a
    /// member may be cut off from the others: then the next one is asked.
    async fn ask<T>(&self, ask: impl for<'c> Fn(&'c mut Client) -> Asking<'c, T>) -> Result<T, Error> {
        let endpoints = self.lock().endpoints.clone();
        let mut trouble = Error::Unreachable { source: Trouble::Nobody.into() };
        for endpoint in &endpoints {
            let kept = self.take(endpoint);
            let was_kept = kept.is_some();
            let fresh = match kept {
                Some(client) => Ok(client),
                None => connect(endpoint).await,
            };
            let answer = match fresh {
                Ok(client) => self.ask_over(endpoint, client, &ask).await,
                Err(error) => Err(error),
            };
            let answer = match answer {
                Err(Error::Unreachable { .. }) if was_kept => match connect(endpoint).await {
                    Ok(client) => self.ask_over(endpoint, client, &ask).await,
                    Err(error) => Err(error),
                },
                answer => answer,
            };
            match answer {
                Err(error @ Error::Unreachable { .. }) => {
                    self.put_last(endpoint);
                    trouble = error;
                }
                end => return end,
            }
        }
        Err(trouble)
    }

    async fn ask_over<T>(
        &self,
        endpoint: &str,
        mut client: Client,
        ask: &impl for<'c> Fn(&'c mut Client) -> Asking<'c, T>,
    ) -> Result<T, Error> {
        let answer = ask(&mut client).await;
        // After silence the answer to this question could be taken for that to the next.
        if !matches!(answer, Err(etcd::Error::Connection(_))) {
            self.lock().kept.push((endpoint.to_owned(), client));
        }
        answer.map_err(translate)
    }

    fn take(&self, endpoint: &str) -> Option<Client> {
        let mut state = self.lock();
        let index = state.kept.iter().position(|(of, _)| of == endpoint)?;
        Some(state.kept.swap_remove(index).1)
    }

    fn put_last(&self, endpoint: &str) {
        let mut state = self.lock();
        if let Some(index) = state.endpoints.iter().position(|own| own == endpoint) {
            let last = state.endpoints.remove(index);
            state.endpoints.push(last);
        }
    }
}

async fn connect(endpoint: &str) -> Result<Client, Error> {
    let failed = |source: Trouble| Error::Unreachable { source: source.into() };
    let named = || endpoint.to_owned();
    let stream = timeout(CONNECT_LIMIT, TcpStream::connect(endpoint)).await;
    let stream = stream.map_err(|_| failed(Trouble::Late { endpoint: named() }))?;
    let stream = stream.map_err(|source| failed(Trouble::Connect { endpoint: named(), source }))?;
    Ok(Client::over(stream).await.map_err(translate)?.with_limit(LIMIT))
}

fn translate(error: etcd::Error) -> Error {
    match error {
        etcd::Error::Compacted { revision } => Error::Forgotten { revision },
        error if error.may_pass() => Error::Unreachable { source: error.into() },
        error => Error::Refused { source: error.into() },
    }
}

impl Registry for EtcdRegistry {
    type Watch = EtcdWatch;

    async fn read(&self, keys: &[String]) -> Result<Page, Error> {
        let keys: Arc<[String]> = keys.into();
        self.ask(move |client| {
            let keys = Arc::clone(&keys);
            Box::pin(async move {
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                client.prefixes(&keys).await
            })
        })
        .await
    }

    async fn commit(&self, compares: Vec<Compare>, ops: Vec<Op>) -> Result<Outcome, Error> {
        let what = Arc::new((compares, ops));
        self.ask(move |client| {
            let what = Arc::clone(&what);
            Box::pin(async move { client.txn(&what.0, &what.1).await })
        })
        .await
    }

    async fn watch(&self, keys: &[String], from: u64) -> Result<EtcdWatch, Error> {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let endpoints = self.lock().endpoints.clone();
        let mut trouble = Error::Unreachable { source: Trouble::Nobody.into() };
        for endpoint in &endpoints {
            let watching = async { connect(endpoint).await?.watch(&keys, from).await.map_err(translate) };
            match watching.await {
                Ok(watch) => return Ok(EtcdWatch(watch)),
                Err(error @ Error::Unreachable { .. }) => trouble = error,
                Err(error) => return Err(error),
            }
        }
        Err(trouble)
    }

    async fn grant(&self, ttl: Duration) -> Result<u64, Error> {
        self.ask(move |client| Box::pin(client.grant(ttl))).await
    }

    async fn keep_alive(&self, lease: u64) -> Result<Option<Duration>, Error> {
        self.ask(move |client| Box::pin(client.keep_alive(lease))).await
    }

    async fn revoke(&self, lease: u64) -> Result<(), Error> {
        self.ask(move |client| Box::pin(client.revoke(lease))).await
    }
}

#[derive(Debug)]
pub struct EtcdWatch(etcd::Watch);

impl Watch for EtcdWatch {
    async fn next(&mut self) -> Result<Vec<Event>, Error> {
        self.0.next().await.map_err(translate)
    }
}
