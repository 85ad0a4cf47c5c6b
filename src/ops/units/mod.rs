//! Units, for whoever types: `lab` speaks with fleet's HTTP API on any node that answers, so the same verbs
//! drive machines of ours and those that run upstream's fleetd.

mod cluster;
mod drain;
mod goal;
mod names;
mod nodes;
mod plan;
mod rebalance;
mod select;
mod serve;
mod show;
mod sight;
mod source;
mod stack;
mod start;
mod stop;
mod systemd;
mod wait;
mod ways;
mod why;

use crate::fleet::client::{Client, Engine};
use crate::provider::Seen;
use crate::ssh::Session;

use super::Error;

pub use drain::{drain, set_scheduling};
pub use nodes::{Place, Query, ask_nodes};
pub use plan::{Forecast, ForecastMove, forecast};
pub use rebalance::{Moving, Shift, shift_units};
pub use select::{BadUnitArg, UnitArg, unit_name};
pub use show::{Counts, FileRow, Listed, MachineRow, UnitRow, machines, unit_files, units};
pub use source::Differing;
pub use stack::{EndpointStatus, StackStatus, UnitStatus, fsck};
pub use start::{Bring, bring, cat};
pub use stop::{destroy, restart, stop, unload};
pub use wait::{Failure, PATIENCE};
pub use why::{MachineWhy, Why, explain_unit};

pub(super) use sight::Sight;
pub(super) use stack::{bring_stacks, forget, lacks, renew_images, serving};

use names::Names;

/// What fleet says of itself and its units, for `lab status`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FleetStatus {
    pub engine: Engine,
    #[serde(flatten)]
    pub units: Counts,
}

/// Takes one look through a session that exists.
pub(super) async fn glance(session: &Session, seen: &Seen) -> Result<(FleetStatus, Sight), Error> {
    let client = Client::new(ways::Through(session));
    let (units, states, machines) = tokio::try_join!(client.units(), client.states(), client.nodes())?;
    let nodes: Vec<_> = seen.machines.iter().map(|(node, machine)| (node.clone(), machine.address)).collect();
    let names = Names::of(seen.lab_id.as_deref(), &nodes, &machines);
    let sight = Sight::of(units, states, machines, names);
    Ok((FleetStatus { engine: client.engine(), units: show::count(&sight) }, sight))
}
