//! Who makes nodes. Everything after "ssh answers" is the same code for every provider.

mod any;
pub mod container;
mod host;
pub mod vagrant;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::docker;
use crate::fs;
use crate::images;
use crate::model::image::SharedImage;
use crate::model::{LabName, NodeName, Seed, Subnet, Topology};
use crate::progress::{Progress, Step};
use crate::{exec, oci, vagrant as vendor};

pub use any::AnyProvider;

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
    #[error("VirtualBox does not allow the network `{wanted}` between this host and its machines")]
    SubnetRefused { wanted: Subnet },
    #[error(transparent)]
    Vagrant(Arc<vendor::Error>),
    #[error("the lab `{lab}` is made by `{has}`, not by `{wanted}`")]
    OtherProvider { lab: LabName, has: String, wanted: String },
    #[error("machines that are containers need a Docker engine, and none answers")]
    NoEngine,
    #[error(transparent)]
    Make(images::MakeError),
    #[error(transparent)]
    Store(#[from] oci::Error),
    #[error("the image `{image}` has no `{program}`")]
    NoProgram { program: &'static str, image: String },
    #[error("Vagrant booted the machine of `{node}`, which is not found running")]
    Forgotten { node: NodeName },
    #[error("this host does not let you use KVM")]
    NoKvm { source: std::io::Error },
    #[error("the machine of `{node}` could not be made a node")]
    NotTaken { node: NodeName, source: exec::Error },
    #[error("what the machine of `{node}` says of itself cannot be understood: {said}")]
    Unreadable { node: NodeName, said: String },
}

impl From<vendor::Error> for Error {
    fn from(source: vendor::Error) -> Self {
        Self::Vagrant(Arc::new(source))
    }
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Docker(source) => source.hint(),
            Self::Image(source) => source.hint(),
            Self::File(source) => source.hint(),
            Self::Turn { .. } => None,
            Self::Make(source) => source.hint(),
            Self::Store(source) => source.hint(),
            Self::NoEngine => Some("start the engine; `lab doctor` tells how it is".to_owned()),
            Self::NoProgram { .. } => Some("name an image that has it: `[images.etcd]` in lab.toml".to_owned()),
            Self::Forgotten { .. } => Some("run the command again".to_owned()),
            Self::Capability { .. } => Some(
                "the Docker engine runs inside something that keeps these rights back; give them to it, or use another host"
                    .to_owned(),
            ),
            Self::SubnetTaken { .. } => {
                Some("leave `--subnet` and `network.subnet` out, and a free network is chosen".to_owned())
            }
            Self::SubnetRefused { .. } => Some(
                "choose one in 192.168.56.0/21, leave it out, or list yours in /etc/vbox/networks.conf".to_owned(),
            ),
            Self::Vagrant(source) => source.hint(),
            Self::OtherProvider { lab, has, .. } => {
                Some(format!("go on with `{has}`, or remove the lab first: `lab down --lab {lab}`"))
            }
            Self::NoKvm { .. } => Some(
                "add yourself to the group `kvm` and log in again, or set `driver = \"qemu\"` in [vagrant]".to_owned(),
            ),
            Self::NotTaken { .. } | Self::Unreadable { .. } => {
                Some("`lab up` tries again; a box of another system may be needed: `box` in [vagrant]".to_owned())
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
    pub provider: String,
    pub nodes: usize,
    pub running: usize,
    pub subnet: Option<Subnet>,
    pub project: Option<String>,
}

/// What holds of all nodes that a provider makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nature {
    /// Whether nodes give themselves their address in the lab's network.
    pub has_own_nics: bool,
    /// The networks that a lab may have; any that is free, if there is none here.
    pub subnets: Vec<Subnet>,
    /// How long a machine may take from its start until its labd answers, and again until it serves.
    pub boot_limit: Duration,
}

impl Default for Nature {
    fn default() -> Self {
        Self { has_own_nics: false, subnets: Vec::new(), boot_limit: Duration::from_secs(90) }
    }
}

/// Makes, starts, stops, finds and removes machines, by labels or names of its own.
///
/// Each verb may be repeated: what is already so is no error. `create` and `start` of different
/// nodes may run at the same time.
#[expect(async_fn_in_trait, reason = "used generically by ops, on one thread")]
pub trait Provider {
    fn name(&self) -> &'static str;

    fn nature(&self) -> Nature {
        Nature::default()
    }

    /// Finds all that exists of a lab; a lab that does not exist is seen as nothing.
    async fn observe(&self, lab: &LabName) -> Result<Seen, Error>;

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

    /// Starts a machine that is stopped. One that is no node yet becomes it, born with `seed`.
    async fn start(&self, seed: &Seed, step: &Step) -> Result<(), Error>;

    /// Thaws a machine that is frozen.
    async fn thaw(&self, lab: &LabName, node: &NodeName) -> Result<(), Error>;

    /// Returns where ssh is reached from this host; `None` if the machine does not run.
    async fn ssh_address(&self, lab: &LabName, node: &NodeName) -> Result<Option<SocketAddr>, Error>;

    /// Shuts a machine down and keeps all that is in it.
    async fn stop(&self, lab: &LabName, node: &NodeName) -> Result<(), Error>;

    /// Changes what a machine may use; returns whether it had to be shut down for that.
    async fn limit(&self, lab: &LabName, node: &NodeName, limits: Limits) -> Result<bool, Error>;

    /// Removes a machine and keeps its data.
    async fn remove_machine(&self, lab: &LabName, node: &NodeName) -> Result<(), Error>;

    /// Removes what a node kept on disk.
    async fn remove_data(&self, lab: &LabName, node: &NodeName) -> Result<(), Error>;

    /// Removes what all nodes shared.
    async fn remove_network(&self, lab: &LabName) -> Result<(), Error>;

    /// Returns the last lines that the machine printed while it booted.
    async fn console(&self, lab: &LabName, node: &NodeName, lines: u32) -> Result<String, Error>;

    /// Waits for what is still under way, of this command or of one that ended before it was done.
    async fn finish(&self, _lab: &LabName) -> Result<(), Error> {
        Ok(())
    }

    /// Ends what is still under way, in order.
    async fn abandon(&self, lab: &LabName) -> Result<(), Error> {
        self.finish(lab).await
    }
}
