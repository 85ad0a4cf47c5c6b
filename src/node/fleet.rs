//! The node as a machine of the fleet: from its configuration to what runs units here.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use camino::Utf8Path;
use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{serve, usage};
use crate::etcd;
use crate::fleet::agent::SystemdUnits;
use crate::fleet::heart::{Notebook, Peers, Timing};
use crate::fleet::records::{MachineId, Presence};
use crate::fleet::registry::EtcdRegistry;
use crate::fleet::v1::SOCKET;
use crate::fleet::{Member, member};
use crate::fs::{self, Access};
use crate::model::NodeConfig;

/// Gone with the node's memory, and kept when labd restarts: then the node goes on under the same lease.
const LEASE: &str = "/run/fleet/lease";
const ASK_LIMIT: Duration = Duration::from_millis(700);
const PAUSE: Duration = Duration::from_secs(1);

/// The part of labd that runs units, or none where the lab has another engine.
pub(super) struct Fleet {
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Fleet {
    pub(super) fn start(config: &NodeConfig) -> Self {
        Self { task: Mutex::new(spawn(config)) }
    }

    /// Begins anew with another configuration. Units are not touched, and the lease is kept.
    pub(super) async fn restart(&self, config: &NodeConfig) {
        let old = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(old) = old {
            old.abort();
            // The socket is free when it has ended; that it was cut off is no error.
            drop(old.await);
        }
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = spawn(config);
    }
}

fn spawn(config: &NodeConfig) -> Option<JoinHandle<()>> {
    let config = config.clone();
    config.fleet.is_some().then(|| {
        tokio::spawn(async move {
            loop {
                if let Err(error) = run(&config).await {
                    tracing::error!(error = &*error as &dyn std::error::Error, "no units can be run here");
                }
                sleep(PAUSE).await;
            }
        })
    })
}

async fn run(config: &NodeConfig) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let Some(fleet) = &config.fleet else { return Ok(()) };
    let (_changes, presence) = watch::channel(presence(config, &fleet.metadata));
    let (api, work) = member(Member {
        registry: EtcdRegistry::new(endpoints(config)),
        units: SystemdUnits::connect().await?,
        notebook: LeaseFile,
        peers: Members { addresses: addresses(config) },
        machine: MachineId::new(config.machine_id.clone()),
        presence,
        timing: Timing::default(),
        fence: fleet.fence,
    });
    let listener = serve::listen(SOCKET)?;
    tokio::select! {
        () = work => Ok(()),
        served = axum::serve(listener, api).into_future() => Ok(served?),
    }
}

fn presence(config: &NodeConfig, metadata: &BTreeMap<String, String>) -> Presence {
    Presence {
        name: config.node.to_string(),
        address: config.address.to_string(),
        metadata: metadata.clone(),
        memory_bytes: usage::memory().map(|memory| memory.total_bytes),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The node's own way to etcd comes first; the members are asked directly when that fails.
fn endpoints(config: &NodeConfig) -> Vec<String> {
    let near = ["127.0.0.1:2379".to_owned()];
    near.into_iter().chain(addresses(config)).collect()
}

fn addresses(config: &NodeConfig) -> Vec<String> {
    let members = config.nodes.iter().filter(|peer| peer.is_etcd_member);
    members.map(|peer| format!("{}:2379", peer.address)).collect()
}

struct LeaseFile;

impl Notebook for LeaseFile {
    fn lease(&self) -> Option<u64> {
        fs::read_if_present(Utf8Path::new(LEASE)).ok()??.trim().parse().ok()
    }

    fn note_lease(&self, lease: u64) {
        if let Err(error) = fs::write(Utf8Path::new(LEASE), lease.to_string(), Access::Private) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "after a restart this node will have to wait for its lease to run out");
        }
    }
}

/// The members of etcd, asked one by one.
struct Members {
    addresses: Vec<String>,
}

impl Peers for Members {
    async fn registry_has_stopped(&self) -> bool {
        let asked = self
            .addresses
            .iter()
            .map(async |address| timeout(ASK_LIMIT, is_idle(address)).await.unwrap_or(false));
        let idle = join_all(asked).await.into_iter().filter(|is_idle| *is_idle).count();
        // Any leader needs one of these.
        idle > self.addresses.len() / 2
    }
}

/// Returns whether a member surely follows no leader: it says so, or it does not run. One whose machine does
/// not answer may do anything.
async fn is_idle(address: &str) -> bool {
    let stream = match TcpStream::connect(address).await {
        Ok(stream) => stream,
        Err(error) => return error.kind() == io::ErrorKind::ConnectionRefused,
    };
    let asking = async { etcd::Client::over(stream).await?.status().await };
    asking.await.is_ok_and(|status| status.leader.is_none())
}
