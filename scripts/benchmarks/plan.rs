//! Prints how long placement takes for growing clusters: `UNITS MACHINES MILLISECONDS` a line.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use lab::fleet::placement::{Machine, Snapshot, Standing, Unit, plan};
use lab::fleet::records::{MachineId, Phase, Scheduling};
use lab::fleet::unit::{Needs, UnitFile, UnitName};

const SIZES: [(u32, u32); 4] = [(1_000, 1_000), (2_500, 1_000), (5_000, 1_000), (10_000, 1_000)];
const RUNS: usize = 5;

fn machine(number: u32) -> (MachineId, Machine) {
    let disk = if number.is_multiple_of(10) { "ssd" } else { "hdd" };
    let metadata = BTreeMap::from([("disk".to_owned(), disk.to_owned())]);
    let name = format!("m{number:04}");
    let machine = Machine {
        name: name.clone(),
        metadata,
        scheduling: Scheduling::Open,
        memory_bytes: None,
        standing: Standing::Here,
    };
    (MachineId::new(name), machine)
}

/// Every second unit is choosy, every fifth conflicts with one other.
fn unit(number: u32) -> (UnitName, Unit) {
    let name = UnitName::parse(&format!("u{number}.service")).expect("it is a name");
    let metadata = if number.is_multiple_of(2) { "MachineMetadata=disk=ssd\n" } else { "" };
    let conflict =
        if number.is_multiple_of(5) { format!("Conflicts=u{}.service\n", number + 5) } else { String::new() };
    let file =
        UnitFile::parse(&format!("[X-Fleet]\n{metadata}{conflict}Global=false\n")).expect("it is a file");
    let unit = Unit {
        needs: Needs::of(&name, &file).map(Arc::new).map_err(|error| error.to_string()),
        desired: Phase::Launched,
        machine: None,
        wish: None,
        reported_on: std::collections::BTreeSet::new(),
    };
    (name, unit)
}

#[expect(clippy::print_stdout, reason = "its figures are read by scripts/bench")]
fn main() {
    for (units, machines) in SIZES {
        let snapshot = Snapshot {
            machines: (0..machines).map(machine).collect(),
            units: (0..units).map(unit).collect(),
            ..Snapshot::default()
        };
        let mut times: Vec<f64> = (0..RUNS)
            .map(|_| {
                let since = Instant::now();
                assert_eq!(plan(&snapshot).len(), snapshot.units.len(), "every unit finds a place");
                since.elapsed().as_secs_f64() * 1000.0
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{units} {machines} {:.1}", times[RUNS / 2]);
    }
}
