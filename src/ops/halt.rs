//! `lab halt`: shuts nodes down and keeps all that is in them.

use futures_util::future::join_all;

use crate::model::NodeName;
use crate::provider::{MachineState, Provider};

use super::{Error, Lab};

/// Shuts down the nodes named, or all; returns those that ran.
pub async fn halt<P: Provider>(lab: &Lab<'_, P>, only: &[NodeName]) -> Result<Vec<NodeName>, Error> {
    lab.provider.finish(&lab.settings.lab).await?;
    let seen = lab.observe_existing().await?;
    for node in only {
        lab.machine(&seen, node)?;
    }
    let alive = |state| matches!(state, MachineState::Running | MachineState::Paused);
    let nodes: Vec<NodeName> = seen
        .machines
        .iter()
        .filter(|(node, machine)| alive(machine.state) && (only.is_empty() || only.contains(node)))
        .map(|(node, _)| node.clone())
        .collect();
    let stopping = nodes.iter().map(async |node| {
        let step = lab.progress.begin(node.as_str(), "shutting down");
        lab.provider
            .stop(&lab.settings.lab, node)
            .await
            .map_err(Error::from)
            .map_err(Error::at(node, "halt"))?;
        step.done("halted");
        Ok(())
    });
    Error::gather(join_all(stopping).await)?;
    Ok(nodes)
}
