//! What a verb can fail with, and what to do about it.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::units::Failure;
use super::{BoxError, StackError};
use crate::config::{NoFolder, StateError};
use crate::fleet::client;
use crate::fleet::unit::{BadNeeds, BadUnitFile, UnitName};
use crate::model::image::BadImageName;
use crate::model::{BadName, BadSubnet, LabName, NoFreeSubnet, NoRoom, NodeName};
use crate::{etcd, exec, fs, http, images, oci, provider, ssh};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Provider(#[from] provider::Error),
    #[error(transparent)]
    Ssh(#[from] ssh::Error),
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Folder(#[from] NoFolder),
    #[error(transparent)]
    Name(#[from] BadName),
    #[error(transparent)]
    ImageName(#[from] BadImageName),
    #[error(transparent)]
    Subnet(#[from] BadSubnet),
    #[error(transparent)]
    NoFreeSubnet(#[from] NoFreeSubnet),
    #[error(transparent)]
    Command(#[from] exec::Error),
    #[error(transparent)]
    Image(#[from] images::MakeError),
    #[error(transparent)]
    Store(#[from] oci::Error),
    #[error(transparent)]
    Base(#[from] images::Error),
    #[error(transparent)]
    Stack(#[from] Arc<StackError>),
    #[error(transparent)]
    Box(#[from] BoxError),
    #[error("the image `{image}` does not come from a registry")]
    NotPulled { image: String },
    #[error("the lab `{lab}` has no image `{image}`; it has {images}")]
    NoImage { image: String, lab: LabName, images: String },
    #[error("could not {what} `{node}`")]
    Node { node: NodeName, what: &'static str, source: Box<Error> },
    #[error("`{node}` ended while it booted; its last words were:{console}")]
    Died { node: NodeName, console: String },
    #[error("`{node}` does not answer ssh after {} s", limit.as_secs())]
    Silent { node: NodeName, limit: Duration },
    #[error("`{node}` does not serve after {} s: {trouble}", limit.as_secs())]
    NotServing { node: NodeName, limit: Duration, trouble: String },
    #[error("`{node}` does not run")]
    NotRunning { node: NodeName },
    #[error("labd on `{node}` did not answer")]
    Labd { node: NodeName, source: http::Error },
    #[error("labd on `{node}` refused: {complaint}")]
    LabdRefused { node: NodeName, complaint: String },
    #[error("labd on `{node}` is too old to ask services whether they serve")]
    LabdTooOld { node: NodeName },
    #[error("could not change the members of etcd")]
    Members { source: etcd::Error },
    #[error("there is no lab `{lab}`")]
    NoLab { lab: LabName },
    #[error("the lab `{lab}` has no node `{node}`; it has {nodes}")]
    NoNode { node: NodeName, lab: LabName, nodes: String },
    #[error("the lab `{lab}` was made from `{project}`")]
    OtherProject { lab: LabName, project: String },
    #[error("the keys of the lab `{lab}` are gone, so its nodes cannot be entered")]
    KeysGone { lab: LabName },
    #[error("the nodes of the lab `{lab}` are called otherwise: `{node}` exists")]
    OtherPrefix { lab: LabName, node: NodeName },
    #[error("`{path}` is neither here nor on a node")]
    BadCopy { path: String },
    #[error("could not copy `{path}`")]
    Copy { path: String, source: std::io::Error },
    #[error("the node could not copy `{path}`: {complaint}")]
    CopyThere { path: String, complaint: String },
    #[error("{} of {of} nodes failed", errors.len())]
    Several { errors: Vec<Error>, of: usize },
    #[error(transparent)]
    Fleet(#[from] client::Error),
    #[error("no node of the lab `{lab}` runs")]
    NothingRuns { lab: LabName },
    #[error("fleet answers on no node of the lab `{lab}`")]
    NoFleet { lab: LabName, reasons: Vec<(NodeName, Self)> },
    #[error("fleet did not answer")]
    FleetBroken { source: http::Error },
    #[error("fleet has lost the cluster: {told}")]
    FleetCutOff { told: String },
    #[error("could not change `{unit}`")]
    Unit { unit: String, source: client::Error },
    #[error("could not use `{path}`")]
    UnitFile { path: Utf8PathBuf, source: BadUnitFile },
    #[error("could not use `{path}`")]
    UnitNeeds { path: Utf8PathBuf, source: BadNeeds },
    #[error("could not read what the cluster has of `{unit}`")]
    UnitText { unit: UnitName, source: BadUnitFile },
    #[error("the cluster does not know {units}")]
    NoUnit { units: String },
    #[error("neither the cluster nor this folder has {units}")]
    NoUnitFile { units: String },
    #[error("`{unit}` is on no machine")]
    NotLoaded { unit: UnitName },
    #[error("there is no machine `{machine}`, or more than one; there are {machines}")]
    NoMachine { machine: String, machines: String },
    #[error("the machine {machine} is no node of the lab `{lab}`, so it cannot be entered")]
    NotOfLab { machine: String, lab: LabName },
    #[error("the engine is still at work on {units}")]
    Unsettled { units: String },
    #[error("{} of {of} units {what}", failures.len())]
    Unfinished { what: &'static str, failures: Vec<Failure>, of: usize },
    #[error("could not listen on a port of this host")]
    Listen { source: std::io::Error },
    #[error("interrupted")]
    Interrupted,
}

impl From<NoRoom> for Error {
    fn from(error: NoRoom) -> Self {
        StackError::from(error).into()
    }
}

impl From<StackError> for Error {
    fn from(error: StackError) -> Self {
        Self::Stack(Arc::new(error))
    }
}

impl Error {
    /// Returns one thing to do about it, where the cause tells.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Provider(source) => source.hint(),
            Self::Ssh(source) => source.hint(),
            Self::File(source) => source.hint(),
            Self::State(source) => source.hint(),
            Self::NotPulled { image } => {
                Some(format!("`lab images build {image}` makes it again if it changed"))
            }
            Self::Image(source) => source.hint(),
            Self::Store(source) => source.hint(),
            Self::Base(source) => source.hint(),
            Self::Stack(source) => source.hint(),
            Self::Box(source) => source.hint(),
            Self::Folder(source) => Some(source.hint()),
            Self::Members { source } => source.hint(),
            Self::Node { source, .. } => source.hint(),
            Self::Several { errors, .. } => errors.iter().find_map(Self::hint),
            Self::Died { node, .. } | Self::Silent { node, .. } => Some(format!(
                "`lab logs {node} --console` shows what it printed; `lab doctor` checks this host"
            )),
            Self::NotServing { node, .. } => {
                Some(format!("`lab logs {node}` shows its journal; `lab up` goes on waiting"))
            }
            Self::LabdTooOld { .. } => {
                Some("`lab up` gives the nodes the labd that belongs to this `lab`".to_owned())
            }
            Self::NotRunning { .. } => Some("`lab up` starts it".to_owned()),
            Self::NoLab { .. } => Some("`lab up` makes it; `lab ls` lists the labs of this host".to_owned()),
            Self::OtherProject { project, .. } => {
                Some(format!("work on it from `{project}`, or choose another name with `--lab`"))
            }
            Self::KeysGone { .. } => Some("`lab down` and then `lab up` make the lab anew".to_owned()),
            Self::OtherPrefix { .. } => Some("`lab down` first, or take `node.prefix` back".to_owned()),
            Self::BadCopy { .. } => {
                Some("write one of the two as NODE:PATH, as in `lab cp a.txt core-01:/tmp/`".to_owned())
            }
            Self::Fleet(source) | Self::Unit { source, .. } => source.hint(),
            Self::NothingRuns { .. } => Some("`lab up` starts its nodes".to_owned()),
            Self::NoFleet { .. } => {
                Some("`lab status` tells how the nodes are, `lab logs NODE -u labd` why".to_owned())
            }
            Self::NoUnit { .. } => Some("`lab unit ls` lists the units that it knows".to_owned()),
            Self::NoUnitFile { .. } => Some(
                "name a file, as in `lab unit start units/web.service`; `lab unit ls` lists units".to_owned(),
            ),
            Self::NotLoaded { unit } => Some(format!("`lab why {unit}` tells why")),
            Self::Unsettled { .. } => Some("wait a moment; `lab plan` shows what it does".to_owned()),
            Self::Unfinished { failures, .. } => {
                failures.first().map(|failure| format!("`lab why {}` tells more", failure.unit))
            }
            Self::NoFreeSubnet(_) => {
                Some("choose one with `--subnet`, as in `--subnet 192.168.77.0/24`".to_owned())
            }
            _ => None,
        }
    }

    /// Returns whether another lab took the addresses that were chosen for this one.
    pub fn is_subnet_race(&self) -> bool {
        matches!(self, Self::Provider(provider::Error::Docker(error)) if error.is_subnet_taken())
    }

    /// Returns the node that ended while it booted, if that is all that went wrong.
    pub fn died(&self) -> Option<&NodeName> {
        match self {
            Self::Died { node, .. } => Some(node),
            Self::Node { source, .. } => source.died(),
            _ => None,
        }
    }

    /// Names the node that an error is about.
    pub(super) fn at(node: &NodeName, what: &'static str) -> impl FnOnce(Self) -> Self {
        let node = node.clone();
        move |source| match source {
            // These say it themselves.
            Self::Node { .. }
            | Self::Died { .. }
            | Self::Silent { .. }
            | Self::NotServing { .. }
            | Self::Interrupted => source,
            source => Self::Node { node, what, source: Box::new(source) },
        }
    }

    /// Returns whether both are of one and the same run of a program.
    fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Node { source, .. }, Self::Node { source: other, .. }) => source.is_same_as(other),
            (
                Self::Provider(provider::Error::Vagrant(one)),
                Self::Provider(provider::Error::Vagrant(other)),
            ) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Returns the first error of several, or all of them as one.
    pub(super) fn gather(results: Vec<Result<(), Self>>) -> Result<(), Self> {
        let of = results.len();
        let mut errors: Vec<Self> = Vec::new();
        for error in results.into_iter().filter_map(Result::err) {
            // One Vagrant for several nodes fails once, and names them.
            if !errors.iter().any(|other| other.is_same_as(&error)) {
                errors.push(error);
            }
        }
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ if errors.iter().all(|error| matches!(error, Self::Interrupted)) => Err(Self::Interrupted),
            _ => Err(Self::Several { errors, of }),
        }
    }
}
