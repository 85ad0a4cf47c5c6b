//! `lab plan`: where units would go if machines died, by the rules that the engine has.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::fleet::placement::{Assignment, Snapshot, Standing, explain, settle};
use crate::fleet::records::MachineId;
use crate::fleet::unit::UnitName;
use crate::ops::{Error, Lab};
use crate::provider::Provider;

use super::cluster::Cluster;
use super::names::Names;

/// What would happen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Forecast {
    pub moves: Vec<ForecastMove>,
    /// Units that would find no place, with what each machine has against them.
    pub homeless: BTreeMap<UnitName, Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForecastMove {
    pub unit: UnitName,
    pub from: Option<String>,
    pub to: Option<String>,
    pub why: String,
}

/// Carries the engine's plans out in thought, without some machines.
pub async fn forecast<P: Provider>(lab: &Lab<'_, P>, without: &[String]) -> Result<Forecast, Error> {
    let cluster = Cluster::open(lab).await?;
    let sight = cluster.look().await?;
    let without: Result<BTreeSet<MachineId>, Error> =
        without.iter().map(|text| cluster.machine(&sight, text)).collect();
    Ok(foresee(sight.snapshot().clone(), &without?, &sight.names))
}

fn foresee(mut snapshot: Snapshot, without: &BTreeSet<MachineId>, names: &Names) -> Forecast {
    for (_, machine) in snapshot.machines.iter_mut().filter(|(id, _)| without.contains(*id)) {
        machine.standing = Standing::Gone;
    }
    let (end, done) = settle(snapshot);
    Forecast { moves: moves(&done, names), homeless: homeless(&end, names) }
}

/// Brings together the steps of each unit: it leaves a machine, and later comes to another one.
fn moves(done: &[Assignment], names: &Names) -> Vec<ForecastMove> {
    let mut all: Vec<(&Assignment, Option<&MachineId>)> = Vec::new();
    for step in done {
        match all.iter_mut().find(|(first, _)| first.unit == step.unit) {
            Some((_, to)) => *to = step.to.as_ref(),
            None => all.push((step, step.to.as_ref())),
        }
    }
    let moved = all.into_iter().filter(|(first, to)| first.from.as_ref() != *to);
    moved
        .map(|(first, to)| ForecastMove {
            unit: first.unit.clone(),
            from: first.from.as_ref().map(|id| names.label(id)),
            to: to.map(|id| names.label(id)),
            why: first.why.to_string(),
        })
        .collect()
}

fn homeless(end: &Snapshot, names: &Names) -> BTreeMap<UnitName, Vec<String>> {
    let lost = end.units.iter().filter(|(name, unit)| {
        unit.is_wanted() && unit.machine.is_none() && !unit.is_global() && !name.is_template()
    });
    let reasons = |name: &UnitName| match explain(end, name) {
        Err(why) => vec![format!("its file cannot be used: {why}")],
        Ok(verdicts) => verdicts.iter().map(|(id, why)| format!("{}: {why}", names.name(id))).collect(),
    };
    lost.map(|(name, _)| (name.clone(), reasons(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::records::Phase;
    use crate::ops::units::sight::tests::{sight, unit};

    #[test]
    fn what_a_dead_machine_leaves_finds_places_or_reasons() {
        let seen = sight(
            vec![
                unit("a.service", "", Phase::Launched, Some("m1")),
                unit("b.service", "[X-Fleet]\nMachineID=m1\n", Phase::Launched, Some("m1")),
                unit("c.service", "", Phase::Launched, Some("m2")),
            ],
            Vec::new(),
        );
        let forecast = foresee(seen.snapshot().clone(), &[MachineId::new("m1")].into(), &seen.names);
        let moves: Vec<String> = forecast
            .moves
            .iter()
            .map(|step| {
                let at = |machine: &Option<String>| machine.clone().unwrap_or_default();
                format!("{} {}>{}: {}", step.unit, at(&step.from), at(&step.to), step.why)
            })
            .collect();
        assert_eq!(
            moves,
            ["b.service core-01>: its machine is gone", "a.service core-01>core-03: its machine is gone"]
        );
        let reasons: Vec<&Vec<String>> = forecast.homeless.values().collect();
        assert_eq!(reasons[0][0], "core-01: the machine is away");
        assert_eq!(reasons[0][1], "core-02: MachineID=m1 is another machine");
    }

    #[test]
    fn nothing_happens_where_all_is_well() {
        let seen = sight(vec![unit("a.service", "", Phase::Launched, Some("m1"))], Vec::new());
        assert_eq!(foresee(seen.snapshot().clone(), &BTreeSet::new(), &seen.names), Forecast::default());
    }
}
