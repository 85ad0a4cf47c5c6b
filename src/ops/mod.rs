//! What `lab` does, one verb a file. Knows the order of things and nothing of terminals or flags.

mod access;
mod box_build;
mod copy;
pub mod doctor;
mod down;
mod error;
mod forward;
mod halt;
mod images;
mod keys;
mod link;
mod logs;
mod run;
pub mod stack;
mod status;
pub mod units;
mod up;

use std::sync::Arc;

use crate::config::{Settings, StateDir};
use crate::model::NodeName;
use crate::progress::Progress;
use crate::provider::{Machine, Provider, Seen};

pub use access::{Access, access};
pub use box_build::{BoxError, BoxMade, BoxOrder, box_build};
pub use copy::{CopyEnd, copy};
pub use down::{Removal, down, removal};
pub use error::Error;
pub use forward::{Way, forward};
pub use halt::halt;
pub use images::{
    CacheRow, ImageRow, Images, Loaded, Pruned, Reload, Reloaded, Size, build, export, import, list,
    list_cache, prune, pull, reload, why,
};
pub use link::Link;
pub use logs::{LogQuery, logs};
pub use run::{NodeOutput, run};
pub use stack::{Stack, StackError, Stacks};
pub use status::{NodeStatus, Status, status};
pub use up::{Action, Plan, Task, apply, plan};

/// One lab, and all that verbs need to work on it.
pub struct Lab<'a, P> {
    pub provider: &'a P,
    pub settings: &'a Settings,
    pub files: StateDir,
    pub progress: &'a Progress,
    pub images: &'a Images,
    /// The lab's stacks; if they make no sense, only the verbs that are about them fail.
    pub stacks: &'a Result<Stacks, Arc<StackError>>,
}

impl<P: Provider> Lab<'_, P> {
    /// Finds what exists of the lab, and refuses to touch one of the same name from another folder.
    pub async fn observe(&self) -> Result<Seen, Error> {
        let seen = self.provider.observe(&self.settings.lab).await?;
        match &seen.project {
            Some(project) if *project != self.settings.project => {
                Err(Error::OtherProject { lab: self.settings.lab.clone(), project: project.clone() })
            }
            _ => Ok(seen),
        }
    }

    /// Returns the lab's stacks, or what is wrong with them.
    pub fn stacks(&self) -> Result<&Stacks, Error> {
        self.stacks.as_ref().map_err(|error| Error::Stack(Arc::clone(error)))
    }

    /// Finds the lab; one of which nothing exists is an error.
    pub async fn observe_existing(&self) -> Result<Seen, Error> {
        let seen = self.observe().await?;
        if seen.machines.is_empty() {
            return Err(Error::NoLab { lab: self.settings.lab.clone() });
        }
        Ok(seen)
    }

    /// Returns a node's machine, or an error that names the nodes there are.
    pub fn machine<'s>(&self, seen: &'s Seen, node: &NodeName) -> Result<&'s Machine, Error> {
        seen.machines.get(node).ok_or_else(|| {
            let nodes: Vec<&str> = seen.machines.keys().map(NodeName::as_str).collect();
            Error::NoNode { node: node.clone(), lab: self.settings.lab.clone(), nodes: nodes.join(", ") }
        })
    }
}
