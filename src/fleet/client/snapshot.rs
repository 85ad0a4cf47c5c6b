//! What the API tells, as the picture that placement decides on: so a client finds the same reasons as an
//! engine, whoever wrote that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::fleet::placement::{Machine, Snapshot, Standing, Unit};
use crate::fleet::records::MachineId;
use crate::fleet::unit::{BadUnitFile, Needs, UnitFile, UnitName};
use crate::fleet::v1;

/// Returns the file of a unit: as it was written, where the server knows that.
pub fn file_of(unit: &v1::Unit) -> Result<UnitFile, BadUnitFile> {
    match &unit.text {
        Some(text) => UnitFile::parse(text),
        None => UnitFile::from_options(unit.options.clone()),
    }
}

/// Returns what people call a machine: its name, or its short id.
pub fn name_of(machine: &v1::Machine) -> String {
    let name = machine.name.clone().filter(|name| !name.is_empty());
    name.unwrap_or_else(|| MachineId::new(machine.id.as_str()).short().to_owned())
}

/// Builds the picture. Units with names that no server may have are left out.
pub fn snapshot(units: &[v1::Unit], states: &[v1::UnitState], machines: &[v1::Machine]) -> Snapshot {
    let units: BTreeMap<UnitName, Unit> = units
        .iter()
        .filter_map(|unit| {
            let name = UnitName::parse(&unit.name).ok()?;
            let unit = read(&name, unit, states);
            Some((name, unit))
        })
        .collect();
    let mut all: BTreeMap<MachineId, Machine> = machines.iter().map(machine).collect();
    // A unit may be on a machine that nobody remembers.
    for id in units.values().filter_map(|unit| unit.machine.as_ref()) {
        all.entry(id.clone()).or_insert_with(|| stranger(id));
    }
    let fence = machines.iter().any(|machine| machine.fence == Some(true));
    Snapshot { machines: all, units, fence, holds: false }
}

fn read(name: &UnitName, unit: &v1::Unit, states: &[v1::UnitState]) -> Unit {
    let file = file_of(unit).map_err(|error| error.to_string());
    let needs = file.and_then(|file| Needs::of(name, &file).map_err(|error| error.to_string()));
    let reports = states.iter().filter(|state| state.name == unit.name);
    let reported_on: BTreeSet<MachineId> = reports.filter_map(|state| state.machine_id.clone()).collect();
    Unit {
        needs: needs.map(Arc::new),
        desired: unit.desired_state.unwrap_or_default(),
        machine: unit.machine_id.clone(),
        wish: unit.wish.clone(),
        reported_on,
    }
}

fn machine(told: &v1::Machine) -> (MachineId, Machine) {
    let machine = Machine {
        name: name_of(told),
        metadata: told.metadata.clone(),
        scheduling: told.scheduling.unwrap_or_default(),
        memory_bytes: told.memory_bytes,
        standing: if told.present == Some(false) { Standing::Gone } else { Standing::Here },
    };
    (MachineId::new(told.id.as_str()), machine)
}

fn stranger(id: &MachineId) -> Machine {
    Machine {
        name: id.short().to_owned(),
        metadata: BTreeMap::new(),
        scheduling: crate::fleet::records::Scheduling::Open,
        memory_bytes: None,
        standing: Standing::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::placement::{Verdict, explain, settle};
    use crate::fleet::records::Phase;

    fn unit(name: &str, text: &str, machine: Option<&str>) -> v1::Unit {
        let file = UnitFile::parse(text).unwrap();
        v1::Unit {
            name: name.to_owned(),
            options: file.options().to_vec(),
            desired_state: Some(Phase::Launched),
            machine_id: machine.map(MachineId::new),
            ..v1::Unit::default()
        }
    }

    fn machine(id: &str, disk: &str) -> v1::Machine {
        let metadata = [("disk".to_owned(), disk.to_owned())].into();
        v1::Machine { id: id.to_owned(), metadata, ..v1::Machine::default() }
    }

    #[test]
    fn what_plain_servers_tell_is_enough_to_explain() {
        let units = [unit("a.service", "[X-Fleet]\nMachineMetadata=disk=ssd\n", None)];
        let seen = snapshot(&units, &[], &[machine("1111111122", "ssd"), machine("2222222233", "hdd")]);
        let verdicts = explain(&seen, &UnitName::parse("a.service").unwrap()).unwrap();
        let texts: Vec<String> =
            verdicts.iter().map(|(id, why)| format!("{}: {why}", seen.machines[id].name)).collect();
        assert_eq!(
            texts,
            ["11111111: it may run here", "22222222: it wants disk=ssd, the machine has disk=hdd"]
        );
    }

    #[test]
    fn a_machine_that_is_away_or_forgotten_is_left_by_its_units() {
        let units = [unit("a.service", "", Some("m3")), unit("b.service", "", Some("m2"))];
        let away = v1::Machine { present: Some(false), ..machine("m2", "ssd") };
        let seen = snapshot(&units, &[], &[machine("m1", "ssd"), away]);
        assert_eq!(seen.machines.len(), 3);
        let verdicts = explain(&seen, &UnitName::parse("a.service").unwrap()).unwrap();
        assert_eq!(verdicts[&MachineId::new("m2")], Verdict::Away);
        let (end, _) = settle(seen);
        assert!(end.units.values().all(|unit| unit.machine == Some(MachineId::new("m1"))));
    }

    #[test]
    fn a_text_wins_over_options_and_a_bad_file_is_told() {
        let mut bad = unit("a.service", "[X-Fleet]\nMachineMetadata=x\n", None);
        let seen = snapshot(std::slice::from_ref(&bad), &[], &[]);
        assert!(seen.units["a.service"].needs.as_ref().unwrap_err().contains("KEY=VALUE"));
        bad.text = Some("[X-Fleet]\nMachineMetadata=a=b\n".to_owned());
        let seen = snapshot(&[bad], &[], &[]);
        assert!(seen.units["a.service"].needs.is_ok());
    }

    #[test]
    fn a_machine_reports_units_that_it_may_be_running() {
        let report = |on: &str| v1::UnitState {
            name: "a.service".to_owned(),
            machine_id: Some(MachineId::new(on)),
            ..v1::UnitState::default()
        };
        let seen = snapshot(&[unit("a.service", "", None)], &[report("m1"), report("m2")], &[]);
        assert_eq!(seen.units["a.service"].reported_on.len(), 2);
    }
}
