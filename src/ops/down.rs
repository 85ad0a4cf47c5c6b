//! `lab down`: removes all that a lab consists of, found by label, however little is left of it.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use crate::checkpoint::Checkpoint;
use crate::model::NodeName;
use crate::provider::Provider;

use super::{Error, Lab};

/// What `down` is going to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    pub nodes: BTreeSet<NodeName>,
    pub has_network: bool,
    pub has_files: bool,
}

impl Removal {
    pub fn is_nothing(&self) -> bool {
        self.nodes.is_empty() && !self.has_network && !self.has_files
    }
}

/// Finds what there is to remove. A lab from another folder has to be meant, by its name.
pub async fn removal<P: Provider>(lab: &Lab<'_, P>) -> Result<Removal, Error> {
    lab.provider.finish(&lab.settings.lab).await?;
    let seen = lab.observe().await?;
    let nodes = seen.machines.keys().chain(&seen.data).cloned().collect();
    let has_files = !crate::fs::list(lab.files.folder())?.is_empty();
    Ok(Removal { nodes, has_network: seen.subnet.is_some(), has_files })
}

/// Removes it, all nodes at once, and goes on where something cannot be removed.
pub async fn down<P: Provider>(lab: &Lab<'_, P>, removal: &Removal) -> Result<(), Error> {
    let name = &lab.settings.lab;
    let machines = removal.nodes.iter().map(async |node| {
        let step = lab.progress.begin(node.as_str(), "removing");
        let removed = lab.provider.remove_machine(name, node).await;
        Checkpoint::NodeRemoved.reached();
        let removed = match removed {
            Ok(()) => lab.provider.remove_data(name, node).await,
            failed => failed,
        };
        Checkpoint::VolumesRemoved.reached();
        match removed.map_err(Error::from).map_err(Error::at(node, "remove")) {
            Ok(()) => {
                step.done("removed");
                Ok(())
            }
            Err(error) => {
                step.failed("could not be removed");
                Err(error)
            }
        }
    });
    Error::gather(join_all(machines).await)?;
    lab.provider.remove_network(name).await?;
    Checkpoint::NetworkRemoved.reached();
    // The keys go last: as long as nodes exist, they are the way in.
    lab.files.remove()?;
    lab.images.cache.forget_uses(&lab.settings.project, name)?;
    Ok(())
}
