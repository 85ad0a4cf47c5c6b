//! Whichever provider a lab has.

use std::net::SocketAddr;

use super::container::Containers;
use super::vagrant::Vagrants;
use super::{Error, Limits, Nature, Provider, Seen};
use crate::docker::Engine;
use crate::model::image::SharedImage;
use crate::model::{LabName, NodeName, Seed, Topology};
use crate::progress::{Progress, Step};

pub enum AnyProvider {
    Containers(Box<Containers>),
    Vagrants(Box<Vagrants>),
}

/// Hands a call on to the provider that there is.
macro_rules! of {
    ($any:expr, $provider:ident => $call:expr) => {
        match $any {
            AnyProvider::Containers($provider) => $call,
            AnyProvider::Vagrants($provider) => $call,
        }
    };
}

impl AnyProvider {
    /// Returns the engine whose containers nodes are, if they are any.
    pub fn engine(&self) -> Option<&Engine> {
        match self {
            Self::Containers(containers) => Some(containers.engine()),
            Self::Vagrants(vagrants) => vagrants.engine(),
        }
    }

    /// Returns who runs the machines of a provider that has several to choose from.
    pub fn below(&self) -> Option<&'static str> {
        match self {
            Self::Containers(_) => None,
            Self::Vagrants(vagrants) => Some(vagrants.kind().name()),
        }
    }
}

impl Provider for AnyProvider {
    fn name(&self) -> &'static str {
        of!(self, provider => provider.name())
    }

    fn nature(&self) -> Nature {
        of!(self, provider => provider.nature())
    }

    async fn observe(&self, lab: &LabName) -> Result<Seen, Error> {
        of!(self, provider => provider.observe(lab).await)
    }

    async fn prepare(
        &self,
        topology: &Topology,
        images: &[SharedImage],
        progress: &Progress,
    ) -> Result<(), Error> {
        of!(self, provider => provider.prepare(topology, images, progress).await)
    }

    async fn create(&self, seed: &Seed, limits: Limits) -> Result<(), Error> {
        of!(self, provider => provider.create(seed, limits).await)
    }

    async fn start(&self, seed: &Seed, step: &Step) -> Result<(), Error> {
        of!(self, provider => provider.start(seed, step).await)
    }

    async fn thaw(&self, lab: &LabName, node: &NodeName) -> Result<(), Error> {
        of!(self, provider => provider.thaw(lab, node).await)
    }

    async fn ssh_address(&self, lab: &LabName, node: &NodeName) -> Result<Option<SocketAddr>, Error> {
        of!(self, provider => provider.ssh_address(lab, node).await)
    }

    async fn stop(&self, lab: &LabName, node: &NodeName) -> Result<(), Error> {
        of!(self, provider => provider.stop(lab, node).await)
    }

    async fn limit(&self, lab: &LabName, node: &NodeName, limits: Limits) -> Result<bool, Error> {
        of!(self, provider => provider.limit(lab, node, limits).await)
    }

    async fn remove_machine(&self, lab: &LabName, node: &NodeName) -> Result<(), Error> {
        of!(self, provider => provider.remove_machine(lab, node).await)
    }

    async fn remove_data(&self, lab: &LabName, node: &NodeName) -> Result<(), Error> {
        of!(self, provider => provider.remove_data(lab, node).await)
    }

    async fn remove_network(&self, lab: &LabName) -> Result<(), Error> {
        of!(self, provider => provider.remove_network(lab).await)
    }

    async fn console(&self, lab: &LabName, node: &NodeName, lines: u32) -> Result<String, Error> {
        of!(self, provider => provider.console(lab, node, lines).await)
    }

    async fn finish(&self, lab: &LabName) -> Result<(), Error> {
        of!(self, provider => provider.finish(lab).await)
    }

    async fn abandon(&self, lab: &LabName) -> Result<(), Error> {
        of!(self, provider => provider.abandon(lab).await)
    }
}
