//! What tables show of units and machines. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::fleet::client::{Engine, file_of};
use crate::fleet::records::{MachineId, Phase, Scheduling};
use crate::fleet::unit::UnitName;
use crate::fleet::v1::UnitState;
use crate::ops::{Error, Lab};
use crate::provider::Provider;

use super::cluster::Cluster;
use super::sight::Sight;

/// A list, and who told it.
#[derive(Debug, Clone, Serialize)]
pub struct Listed<T> {
    pub engine: Engine,
    pub rows: Vec<T>,
    /// What nobody should overlook.
    pub warnings: Vec<String>,
}

/// A unit on one machine, or on none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnitRow {
    pub unit: UnitName,
    pub machine_id: Option<MachineId>,
    /// The machine as people know it.
    pub machine: Option<String>,
    pub load: String,
    pub active: String,
    pub sub: String,
    pub hash: String,
    pub desired: Phase,
}

/// A unit file that the cluster knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileRow {
    pub unit: UnitName,
    pub description: String,
    pub hash: String,
    pub desired: Phase,
    /// How far it has come; nobody knows that of a unit that is on many machines.
    pub current: Option<Phase>,
    pub is_global: bool,
    pub machine_id: Option<MachineId>,
    pub machine: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineRow {
    pub id: String,
    pub name: Option<String>,
    pub address: String,
    pub metadata: BTreeMap<String, String>,
    pub is_present: bool,
    pub scheduling: Scheduling,
}

/// Lists units with what systemd says of them.
pub async fn units<P: Provider>(lab: &Lab<'_, P>) -> Result<Listed<UnitRow>, Error> {
    let (engine, sight) = look(lab).await?;
    let warnings = sight.states.keys().filter_map(|name| sight.split(name)).collect();
    Ok(Listed { engine, rows: unit_rows(&sight), warnings })
}

/// Lists the unit files that the cluster knows.
pub async fn unit_files<P: Provider>(lab: &Lab<'_, P>) -> Result<Listed<FileRow>, Error> {
    let (engine, sight) = look(lab).await?;
    Ok(Listed { engine, rows: file_rows(&sight), warnings: Vec::new() })
}

pub async fn machines<P: Provider>(lab: &Lab<'_, P>) -> Result<Listed<MachineRow>, Error> {
    let (engine, sight) = look(lab).await?;
    Ok(Listed { engine, rows: machine_rows(&sight), warnings: Vec::new() })
}

async fn look<P: Provider>(lab: &Lab<'_, P>) -> Result<(Engine, Sight), Error> {
    let cluster = Cluster::open(lab).await?;
    let sight = cluster.look().await?;
    Ok((cluster.engine(), sight))
}

/// Returns a row for each unit and machine, also for what runs and is not known any more; units that should
/// be somewhere and are nowhere have a row without a machine.
fn unit_rows(sight: &Sight) -> Vec<UnitRow> {
    let mut rows: Vec<UnitRow> = Vec::new();
    for (name, states) in &sight.states {
        rows.extend(states.iter().map(|state| state_row(sight, name, state)));
    }
    for (name, unit) in &sight.units {
        let has_state = sight.states.get(name).is_some_and(|states| !states.is_empty());
        let is_meant = sight.desired(name) != Phase::Inactive && !name.is_template();
        if has_state || !is_meant {
            continue;
        }
        let row = blank(sight, name, unit.machine_id.clone());
        rows.push(row);
    }
    rows.sort_by(|a, b| (&a.unit, &a.machine).cmp(&(&b.unit, &b.machine)));
    rows
}

fn blank(sight: &Sight, name: &UnitName, id: Option<MachineId>) -> UnitRow {
    let file = sight.units.get(name).and_then(|unit| file_of(unit).ok());
    UnitRow {
        unit: name.clone(),
        machine: id.as_ref().map(|id| sight.names.label(id)),
        machine_id: id,
        load: String::new(),
        active: String::new(),
        sub: String::new(),
        hash: file.map(|file| file.hash().to_string()).unwrap_or_default(),
        desired: sight.desired(name),
    }
}

fn state_row(sight: &Sight, name: &UnitName, state: &UnitState) -> UnitRow {
    let row = blank(sight, name, state.machine_id.clone());
    UnitRow {
        load: state.systemd_load_state.clone(),
        active: state.systemd_active_state.clone(),
        sub: state.systemd_sub_state.clone(),
        hash: state.hash.as_ref().map_or(row.hash, ToString::to_string),
        ..row
    }
}

fn file_rows(sight: &Sight) -> Vec<FileRow> {
    let row = |(name, unit): (&UnitName, &crate::fleet::v1::Unit)| {
        let file = file_of(unit).ok();
        let is_global = sight.is_global(name);
        FileRow {
            unit: name.clone(),
            description: file.as_ref().map(|file| file.description().to_owned()).unwrap_or_default(),
            hash: file.map(|file| file.hash().to_string()).unwrap_or_default(),
            desired: sight.desired(name),
            current: unit.current_state.filter(|_| !is_global),
            is_global,
            machine: unit.machine_id.as_ref().map(|id| sight.names.label(id)),
            machine_id: unit.machine_id.clone(),
        }
    };
    sight.units.iter().map(row).collect()
}

fn machine_rows(sight: &Sight) -> Vec<MachineRow> {
    let row = |machine: &crate::fleet::v1::Machine| {
        let id = MachineId::new(machine.id.as_str());
        let name = sight.names.name(&id);
        MachineRow {
            name: (name != id.short()).then_some(name),
            id: machine.id.clone(),
            address: sight.names.address(&id).to_owned(),
            metadata: machine.metadata.clone(),
            is_present: machine.present != Some(false),
            scheduling: machine.scheduling.unwrap_or_default(),
        }
    };
    let mut rows: Vec<MachineRow> = sight.machines.iter().map(row).collect();
    rows.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    rows
}

/// What `lab status` says of units.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub active: usize,
    pub failed: Vec<UnitName>,
    pub not_placed: Vec<UnitName>,
    /// Units that run on several machines at once and should not.
    pub twice: Vec<UnitName>,
}

impl Counts {
    pub fn are_well(&self) -> bool {
        self.failed.is_empty() && self.not_placed.is_empty() && self.twice.is_empty()
    }
}

pub fn count(sight: &Sight) -> Counts {
    let is = |name: &&UnitName, wanted: &str| {
        sight.states_of(name).iter().any(|state| state.systemd_active_state == wanted)
    };
    Counts {
        active: sight.states.keys().filter(|name| is(name, "active")).count(),
        failed: sight.states.keys().filter(|name| is(name, "failed")).cloned().collect(),
        not_placed: sight.units.keys().filter(|name| sight.is_unplaced(name)).cloned().collect(),
        twice: sight.states.keys().filter(|name| !sight.twice(name).is_empty()).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::units::sight::tests::{name, sight, state, unit};

    fn cluster() -> Sight {
        sight(
            vec![
                unit("a.service", "[Unit]\nDescription=An A\n", Phase::Launched, Some("m1")),
                unit("b.service", "[X-Fleet]\nMachineMetadata=x=y\n", Phase::Launched, None),
                unit("c.service", "", Phase::Inactive, None),
                unit("d.service", "", Phase::Launched, Some("m2")),
                unit("g.service", "[X-Fleet]\nGlobal=true\n", Phase::Launched, None),
                unit("t@.service", "", Phase::Inactive, None),
            ],
            vec![
                state("a.service", "m1", "active", "running"),
                state("a.service", "m3", "active", "running"),
                state("g.service", "m1", "active", "running"),
                state("g.service", "m2", "failed", "failed"),
                state("z.service", "m2", "active", "running"),
            ],
        )
    }

    #[test]
    fn every_unit_that_is_somewhere_or_should_be_has_a_row() {
        let rows = unit_rows(&cluster());
        let told: Vec<String> = rows
            .iter()
            .map(|row| {
                format!("{} {} {}", row.unit.stem(), row.machine.as_deref().unwrap_or("-"), row.active)
            })
            .collect();
        assert_eq!(
            told,
            [
                "a core-01 active",
                "a core-03 active",
                "b - ",
                "d core-02 ",
                "g core-01 active",
                "g core-02 failed",
                "z core-02 active"
            ]
        );
    }

    #[test]
    fn every_file_has_a_row() {
        let rows = file_rows(&cluster());
        assert_eq!(rows.len(), 6);
        assert_eq!((rows[0].description.as_str(), rows[0].current), ("An A", Some(Phase::Launched)));
        assert_eq!((rows[4].is_global, rows[4].current), (true, None));
    }

    #[test]
    fn machines_are_listed_with_whether_they_take_units() {
        let rows = machine_rows(&cluster());
        assert_eq!(rows[0].name.as_deref(), Some("core-01"));
        assert!(rows.iter().all(|row| row.is_present && row.scheduling == Scheduling::Open));
    }

    #[test]
    fn a_status_counts_what_matters() {
        let counts = count(&cluster());
        assert_eq!(counts.active, 3);
        assert_eq!(counts.failed, [name("g.service")]);
        assert_eq!(counts.not_placed, [name("b.service")]);
        assert_eq!(counts.twice, [name("a.service")]);
    }
}
