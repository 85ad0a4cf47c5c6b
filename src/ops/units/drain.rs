//! `lab cordon`, `uncordon` and `drain`: whether machines take units, and keep those they have.

use std::time::Duration;

use crate::fleet::records::{MachineId, Scheduling};
use crate::fleet::unit::UnitName;
use crate::ops::{Error, Lab};
use crate::provider::Provider;

use super::cluster::Cluster;
use super::goal::Goal;
use super::sight::Sight;

/// Says whether machines take units, and returns what people call them.
pub async fn set_scheduling<P: Provider>(
    lab: &Lab<'_, P>,
    machines: &[String],
    scheduling: Scheduling,
) -> Result<Vec<String>, Error> {
    let cluster = Cluster::open(lab).await?;
    let sight = cluster.look().await?;
    let ids = all(&cluster, &sight, machines)?;
    for id in &ids {
        cluster.client.set_scheduling(id, scheduling).await?;
    }
    Ok(ids.iter().map(|id| sight.names.label(id)).collect())
}

/// Has machines give away what they have, and waits until they have. Returns how many units moved. Those
/// that find no place are told with the reasons.
pub async fn drain<P: Provider>(
    lab: &Lab<'_, P>,
    machines: &[String],
    wait: Option<Duration>,
) -> Result<usize, Error> {
    let cluster = Cluster::open(lab).await?;
    let sight = cluster.look().await?;
    let ids = all(&cluster, &sight, machines)?;
    for id in &ids {
        cluster.client.set_scheduling(id, Scheduling::Drained).await?;
    }
    // What came to them while they were told is not overlooked.
    let sight = cluster.look_again(&sight).await?;
    let goals: Vec<(UnitName, Goal)> = ids.iter().flat_map(|id| guests(&sight, id)).collect();
    let count = goals.len();
    if let Some(limit) = wait.filter(|_| count > 0) {
        cluster.wait(goals, limit, "have no other place").await?;
    }
    Ok(count)
}

fn all<P: Provider>(
    cluster: &Cluster<'_, P>,
    sight: &Sight,
    machines: &[String],
) -> Result<Vec<MachineId>, Error> {
    machines.iter().map(|text| cluster.machine(sight, text)).collect()
}

/// Returns the units that have to leave a machine. Global ones stay: they are on every machine that fits.
fn guests(sight: &Sight, id: &MachineId) -> Vec<(UnitName, Goal)> {
    let here = sight.units.keys().filter(|name| {
        let is_on = sight.units[*name].machine_id.as_ref() == Some(id) || sight.state_on(name, id).is_some();
        is_on && !sight.is_global(name)
    });
    here.map(|name| (name.clone(), Goal::Gone { from: id.clone() })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::records::Phase;
    use crate::ops::units::sight::tests::{sight, state, unit};

    #[test]
    fn all_but_global_units_have_to_leave() {
        let seen = sight(
            vec![
                unit("a.service", "", Phase::Launched, Some("m1")),
                unit("b.service", "", Phase::Launched, Some("m2")),
                unit("g.service", "[X-Fleet]\nGlobal=true\n", Phase::Launched, None),
            ],
            vec![
                state("b.service", "m1", "deactivating", "stop"),
                state("g.service", "m1", "active", "running"),
            ],
        );
        let guests = guests(&seen, &MachineId::new("m1"));
        let names: Vec<&str> = guests.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.service", "b.service"]);
    }
}
