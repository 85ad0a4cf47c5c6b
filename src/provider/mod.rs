//! Who makes nodes. Everything after "ssh answers" is the same code for every provider.

pub mod container;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use serde::Serialize;

use crate::docker;
use crate::fs;
use crate::images;
use crate::model::image::SharedImage;
use crate::model::{LabName, NodeName, Seed, Subnet, Topology};
use crate::progress::Progress;

pub use crate::docker::Limits;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Docker(#[from] docker::Error),
    #[error(transparent)]
    Image(#[from] images::Error),
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error("could not lock `{path}`")]
    Turn { path: camino::Utf8PathBuf, source: std::io::Error },
    #[error("this host does not allow {missing}, which nodes need")]
    Capability { missing: String },
    #[error("the network `{wanted}` overlaps {other}")]
    SubnetTaken { wanted: Subnet, other: String },
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Docker(source) => source.hint(),
            Self::Image(source) => source.hint(),
            Self::File(source) => source.hint(),
            Self::Turn { .. } => None,
            Self::Capability { .. } => Some(
                "the Docker engine runs inside something that keeps these rights back; give them to it, or use another host"
                    .to_owned(),
            ),
            Self::SubnetTaken { .. } => {
                Some("leave `--subnet` and `network.subnet` out, and a free network is chosen".to_owned())
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineState {
    /// Made but never started.
    Created,
    Running,
    Paused,
    Stopped,
    /// It can only be removed and made again.
    Broken,
    /// The lab is to have it and it is not there.
    Missing,
}

/// A machine that exists, whatever state it is in.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    pub state: MachineState,
    pub address: Ipv4Addr,
    /// Where ssh is reached from this host, while the machine runs.
    pub ssh: Option<SocketAddr>,
    /// Whether it was made to be a member of etcd; it may have left since.
    pub is_etcd_member: bool,
    pub limits: Limits,
    /// Whether it is still attached to the lab's network.
    pub is_on_network: bool,
}

/// All that exists of a lab.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    pub lab_id: Option<String>,
    /// The folder from which the lab was made.
    pub project: Option<String>,
    pub machines: BTreeMap<NodeName, Machine>,
    /// The nodes whose data is there, with a machine or without.
    pub data: BTreeSet<NodeName>,
    pub subnet: Option<Subnet>,
    /// Networks that a lab must not overlap, and whose they are.
    pub taken: Vec<(Subnet, String)>,
}

impl Seen {
    pub fn is_nothing(&self) -> bool {
        self.machines.is_empty() && self.data.is_empty() && self.subnet.is_none()
    }
}

/// One lab of this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LabSummary {
    pub lab: LabName,
    pub provider: &'static str,
    pub nodes: usize,
    pub running: usize,
    pub subnet: Option<Subnet>,
    pub project: Option<String>,
}

/// Makes, starts, stops, finds and removes machines, by labels or names of its own.
///
/// Each verb may be repeated: what is already so is no error. `create` and `start` of different
/// nodes may run at the same time.
#[expect(async_fn_in_trait, reason = "used generically by ops, on one thread")]
pub trait Provider {
    fn name(&self) -> &'static str;

    /// Finds all that exists of a lab; a lab that does not exist is seen as nothing.
    async fn observe(&self, lab: &LabName) -> Result<Seen, Error>;

    /// Finds all labs of this host.
    async fn labs(&self) -> Result<Vec<LabSummary>, Error>;

    /// Makes what all nodes share: network, the image that they boot from and, where it can, the layers
    /// of `images`. Checks before it touches anything.
    async fn prepare(
        &self,
        topology: &Topology,
        images: &[SharedImage],
        progress: &Progress,
    ) -> Result<(), Error>;

    /// Makes a node's machine, with the data of its former life if there is any, and does not start it.
    async fn create(&self, seed: &Seed, limits: Limits) -> Result<(), Error>;

    /// Starts a machine that is stopped.
    async fn start(&self, lab: &LabName, node: &NodeName) -> Result<(), Error>;

    /// Thaws a machine that is frozen.
    async fn thaw(&self, lab: &LabName, node: &NodeName) -> Result<(), Error>;

    /// Returns where ssh is reached from this host; `None` if the machine does not run.
    async fn ssh_address(&self, lab: &LabName, node: &NodeName) -> Result<Option<SocketAddr>, Error>;

    /// Shuts a machine down and keeps all that is in it.
    async fn stop(&self, lab: &LabName, node: &NodeName) -> Result<(), Error>;

    /// Changes what a machine may use.
    async fn limit(&self, lab: &LabName, node: &NodeName, limits: Limits) -> Result<(), Error>;

    /// Removes a machine and keeps its data.
    async fn remove_machine(&self, lab: &LabName, node: &NodeName) -> Result<(), Error>;

    /// Removes what a node kept on disk.
    async fn remove_data(&self, lab: &LabName, node: &NodeName) -> Result<(), Error>;

    /// Removes what all nodes shared.
    async fn remove_network(&self, lab: &LabName) -> Result<(), Error>;

    /// Returns the last lines that the machine printed while it booted.
    async fn console(&self, lab: &LabName, node: &NodeName, lines: u32) -> Result<String, Error>;
}
