//! `lab why`: why a unit is where it is, or nowhere.

use serde::Serialize;

use crate::fleet::client::Engine;
use crate::fleet::records::{MachineId, Phase};
use crate::fleet::unit::UnitName;
use crate::ops::{Error, Lab};
use crate::provider::Provider;

use super::cluster::Cluster;
use super::goal::words;
use super::sight::Sight;
use super::systemd;

/// How many lines of a journal show what happened.
const LINES: usize = 10;

/// All that explains a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    pub unit: UnitName,
    pub engine: Engine,
    pub desired: Phase,
    /// In one sentence.
    pub summary: String,
    /// More sentences, where more is to be said.
    pub remarks: Vec<String>,
    /// What each machine is to the unit.
    pub machines: Vec<MachineWhy>,
    /// The last words of a unit that failed.
    pub last_words: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineWhy {
    pub machine: String,
    pub is_home: bool,
    pub is_able: bool,
    pub verdict: String,
    /// What systemd says there, if the unit is there.
    pub state: Option<String>,
}

/// Asks fleet of everything, and the node of a unit that failed.
pub async fn explain_unit<P: Provider>(lab: &Lab<'_, P>, name: &UnitName) -> Result<Why, Error> {
    let cluster = Cluster::open(lab).await?;
    let sight = cluster.look().await?;
    if !sight.units.contains_key(name) && sight.states_of(name).is_empty() {
        return Err(Error::NoUnit { units: format!("`{name}`") });
    }
    let mut why = explain(&sight, name, cluster.engine());
    for id in failed_on(&sight, name) {
        why.last_words.extend(systemd::last_words(&cluster, &sight, name, &id, LINES).await);
    }
    Ok(why)
}

fn failed_on(sight: &Sight, name: &UnitName) -> Vec<MachineId> {
    let failed = sight.states_of(name).iter().filter(|state| state.systemd_active_state == "failed");
    failed.filter_map(|state| state.machine_id.clone()).collect()
}

fn explain(sight: &Sight, name: &UnitName, engine: Engine) -> Why {
    Why {
        unit: name.clone(),
        engine,
        desired: sight.desired(name),
        summary: summary(sight, name),
        remarks: remarks(sight, name),
        machines: machines(sight, name),
        last_words: Vec::new(),
    }
}

fn machines(sight: &Sight, name: &UnitName) -> Vec<MachineWhy> {
    let homes = sight.homes(name);
    let verdicts = sight.verdicts(name).unwrap_or_default();
    let mut rows: Vec<MachineWhy> = verdicts
        .iter()
        .map(|(id, verdict)| MachineWhy {
            machine: sight.names.label(id),
            is_home: homes.contains(id),
            is_able: verdict.is_able(),
            verdict: verdict.to_string(),
            state: sight.state_on(name, id).map(words),
        })
        .collect();
    rows.sort_by(|a, b| a.machine.cmp(&b.machine));
    rows
}

fn summary(sight: &Sight, name: &UnitName) -> String {
    let Some(unit) = sight.units.get(name) else {
        return format!("{name} was destroyed, and still runs");
    };
    let desired = sight.desired(name);
    if name.is_template() {
        return format!("{name} is a template: its instances run, it does not");
    }
    if desired == Phase::Inactive {
        return format!("{name} is inactive: nobody has asked for it to run");
    }
    if sight.is_global(name) {
        let homes = sight.homes(name);
        let active = homes.iter().filter(|id| {
            sight.state_on(name, id).is_some_and(|state| state.systemd_active_state == "active")
        });
        return format!(
            "{name} is global: it fits {} machines, and is active on {}",
            homes.len(),
            active.count()
        );
    }
    let Some(id) = &unit.machine_id else {
        return match sight.verdicts(name) {
            Err(why) => format!("{name} is on no machine: its file cannot be used: {why}"),
            Ok(verdicts) if verdicts.is_empty() => format!("{name} is on no machine: there is none"),
            Ok(verdicts) if verdicts.values().any(crate::fleet::placement::Verdict::is_able) => {
                format!("{name} is on no machine yet, and will be: the engine has not placed it")
            }
            Ok(_) => format!("{name} is on no machine: none takes it"),
        };
    };
    let on = sight.names.name(id);
    let state = sight.state_on(name, id).map(words);
    match (sight.is_here(id), state) {
        (false, _) => format!("{name} is on {on}, which is away"),
        (true, None) => format!("{name} is to be on {on}, and systemd there does not know it yet"),
        (true, Some(state)) => format!("{name} is on {on}: {state}"),
    }
}

fn remarks(sight: &Sight, name: &UnitName) -> Vec<String> {
    let Some(unit) = sight.units.get(name) else { return Vec::new() };
    let split = sight.split(name).map(|text| {
        format!("{text}; `[X-Lab]` with `Fence=true` in its file stops it on a machine that is cut off")
    });
    let wish = unit.wish.as_ref().map(|id| format!("it was asked to move to {}", sight.names.name(id)));
    let loaded = (sight.desired(name) == Phase::Loaded)
        .then(|| format!("it is to be loaded and not started: `lab unit start {name}` starts it"));
    let verdicts = sight.verdicts(name).unwrap_or_default();
    let home = unit.machine_id.as_ref().and_then(|id| Some((id, verdicts.get(id)?)));
    let misfit = home.filter(|(_, verdict)| !verdict.is_able());
    let misfit = misfit
        .map(|(id, verdict)| format!("{} is no place for it any more: {verdict}", sight.names.name(id)));
    split.into_iter().chain(wish).chain(loaded).chain(misfit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::v1::Unit;
    use crate::ops::units::sight::tests::{name, sight, state, unit};

    fn told(unit: Unit, states: Vec<crate::fleet::v1::UnitState>) -> Why {
        let name = name(&unit.name);
        explain(&sight(vec![unit], states), &name, Engine::Unknown)
    }

    #[test]
    fn a_sentence_says_how_it_is() {
        let launched = |text: &str, on| unit("a.service", text, Phase::Launched, on);
        let summary = |unit, states| told(unit, states).summary;
        let running = vec![state("a.service", "m1", "active", "running")];
        assert_eq!(summary(launched("", Some("m1")), running), "a.service is on core-01: active (running)");
        assert_eq!(summary(launched("", Some("m9")), Vec::new()), "a.service is on m9, which is away");
        assert_eq!(
            summary(launched("[X-Fleet]\nMachineMetadata=disk=ssd\n", None), Vec::new()),
            "a.service is on no machine: none takes it"
        );
        assert!(
            summary(launched("[X-Fleet]\nMachineMetadata=disk\n", None), Vec::new()).contains("KEY=VALUE")
        );
        assert!(summary(launched("", None), Vec::new()).contains("has not placed it"));
        assert!(summary(launched("[X-Fleet]\nGlobal=true\n", None), Vec::new()).contains("fits 3 machines"));
        let inactive = unit("a.service", "", Phase::Inactive, None);
        assert!(summary(inactive, Vec::new()).contains("nobody has asked"));
        assert!(summary(unit("a@.service", "", Phase::Inactive, None), Vec::new()).contains("template"));
    }

    #[test]
    fn every_machine_has_its_verdict() {
        let why = told(
            unit("a.service", "[X-Fleet]\nMachineID=m2\n", Phase::Launched, Some("m2")),
            vec![state("a.service", "m2", "activating", "start")],
        );
        let lines: Vec<String> = why
            .machines
            .iter()
            .map(|row| format!("{} {} {}", row.machine, row.is_home, row.verdict))
            .collect();
        assert_eq!(
            lines,
            [
                "core-01 false MachineID=m2 is another machine",
                "core-02 true it may run here",
                "core-03 false MachineID=m2 is another machine",
            ]
        );
        assert_eq!(why.machines[1].state.as_deref(), Some("activating (start)"));
    }

    #[test]
    fn what_runs_twice_is_told_in_words() {
        let twice = vec![
            state("a.service", "m1", "active", "running"),
            state("a.service", "m2", "active", "running"),
        ];
        let why = told(unit("a.service", "", Phase::Launched, Some("m2")), twice);
        assert!(why.remarks[0].starts_with("a.service runs on core-01 and core-02 at once"), "{why:?}");
        assert!(why.remarks[0].contains("Fence=true"));
    }
}
