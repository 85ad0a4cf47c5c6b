//! `lab rebalance`: moves units from full machines to empty ones, one after the other.

use std::time::Duration;

use serde::Serialize;

use crate::fleet::placement::{Move, plan, rebalance};
use crate::fleet::unit::UnitName;
use crate::ops::{Error, Lab};
use crate::provider::Provider;

use super::cluster::Cluster;
use super::goal::Goal;
use super::sight::Sight;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shift {
    pub unit: UnitName,
    pub from: String,
    pub to: String,
}

/// Whether moves are made, and how long each may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moving {
    Rehearse,
    Each { limit: Duration },
}

/// Finds the moves and makes them. A unit runs in its new place before the next one leaves.
pub async fn shift_units<P: Provider>(lab: &Lab<'_, P>, moving: Moving) -> Result<Vec<Shift>, Error> {
    let cluster = Cluster::open(lab).await?;
    let sight = cluster.look().await?;
    let moves = find(&sight)?;
    let shown = moves.iter().map(|step| shift(&sight, step)).collect();
    let Moving::Each { limit } = moving else { return Ok(shown) };
    for step in moves {
        cluster.client.move_unit(&step.unit, &step.to).await?;
        let goal = Goal::On { to: step.to };
        cluster.wait(vec![(step.unit, goal)], limit, "did not come to its new machine").await?;
    }
    Ok(shown)
}

fn shift(sight: &Sight, step: &Move) -> Shift {
    let (from, to) = (sight.names.label(&step.from), sight.names.label(&step.to));
    Shift { unit: step.unit.clone(), from, to }
}

/// Finds the moves. While the engine has work to do, it would undo them.
fn find(sight: &Sight) -> Result<Vec<Move>, Error> {
    let due = plan(sight.snapshot());
    if due.is_empty() {
        return Ok(rebalance(sight.snapshot()));
    }
    let units: std::collections::BTreeSet<String> = due.iter().map(|task| task.unit.to_string()).collect();
    Err(Error::Unsettled { units: units.into_iter().collect::<Vec<_>>().join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::records::Phase;
    use crate::ops::units::sight::tests::{sight, unit};

    #[test]
    fn a_full_machine_gives_to_empty_ones() {
        let heap = (1..=4).map(|n| unit(&format!("u{n}.service"), "", Phase::Launched, Some("m1"))).collect();
        let seen = sight(heap, Vec::new());
        let shifts: Vec<String> = find(&seen)
            .unwrap()
            .iter()
            .map(|step| shift(&seen, step))
            .map(|shift| format!("{} {} {}", shift.unit.stem(), shift.from, shift.to))
            .collect();
        assert_eq!(shifts, ["u1 core-01 core-02", "u2 core-01 core-03"]);
    }

    #[test]
    fn while_the_engine_works_nothing_is_moved() {
        let seen = sight(vec![unit("a.service", "", Phase::Launched, None)], Vec::new());
        assert!(matches!(find(&seen), Err(Error::Unsettled { units }) if units == "a.service"));
    }
}
