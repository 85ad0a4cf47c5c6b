//! What the agent does next, case by case.

use std::sync::Arc;

use super::*;
use crate::fleet::agent::units::Status;
use crate::fleet::records::MachineId;
use crate::fleet::registry::Key;
use crate::fleet::unit::{Hash, Needs};

const LEASE: u64 = 7;

fn name(text: &str) -> UnitName {
    UnitName::parse(&format!("{text}.service")).unwrap()
}

fn file(lines: &str) -> UnitFile {
    UnitFile::parse(&format!("[Unit]\n{lines}\n")).unwrap()
}

fn hash(lines: &str) -> Hash {
    file(lines).hash()
}

fn order(unit: &str, lines: &str, desired: Phase) -> (UnitName, Order) {
    let (file, unit) = (file(lines), name(unit));
    let order = Order {
        hash: file.hash(),
        needs: Arc::new(Needs::of(&unit, &file).unwrap()),
        file: Arc::new(file),
        desired,
        stops: 0,
        key: Key::Target(MachineId::new("m"), unit.clone()),
        revision: 1,
    };
    (unit, order)
}

fn launched(unit: &str) -> (UnitName, Order) {
    order(unit, "A=b", Phase::Launched)
}

/// A unit that is loaded and claimed.
fn loaded(unit: &str) -> (UnitName, Held) {
    (name(unit), Held { claim: Claim::Made { lease: LEASE }, ..Held::new(hash("A=b"), None) })
}

fn running(unit: &str) -> (UnitName, Held) {
    let (unit, held) = loaded(unit);
    (unit, Held { launched: Some(0), status: Status::new("loaded", "active", "running"), ..held })
}

fn shown(step: &Step) -> String {
    let names = |names: &[UnitName]| names.iter().map(UnitName::stem).collect::<Vec<_>>().join(" ");
    match step {
        Step::Load(units) => format!("load {}", names(units)),
        Step::Start { unit, .. } => format!("start {}", unit.stem()),
        Step::Stop(unit) => format!("stop {}", unit.stem()),
        Step::Unload(units) => format!("unload {}", names(units)),
    }
}

#[track_caller]
fn check(orders: &[(UnitName, Order)], holding: &[(UnitName, Held)], want: &[&str]) {
    assert_eq!(steps(orders, holding, false, Some(LEASE)), want);
}

fn steps(
    orders: &[(UnitName, Order)],
    holding: &[(UnitName, Held)],
    is_filing: bool,
    lease: Option<u64>,
) -> Vec<String> {
    let (orders, holding) = (orders.iter().cloned().collect(), holding.iter().cloned().collect());
    let scene = Scene { orders: &orders, holding: &holding, is_filing, lease, now: Instant::now() };
    plan(&scene).iter().map(shown).collect()
}

#[test]
fn everything_is_loaded_before_anything_starts() {
    check(&[launched("a"), launched("b")], &[], &["load a b"]);
    check(&[launched("a"), launched("b")], &[loaded("a")], &["load b"]);
    check(&[launched("a"), launched("b")], &[loaded("a"), loaded("b")], &["start a", "start b"]);
    assert_eq!(steps(&[launched("a")], &[loaded("a")], true, Some(LEASE)), [""; 0]);
    check(&[launched("a")], &[running("a")], &[]);
    check(&[order("a", "A=b", Phase::Loaded)], &[loaded("a")], &[]);
}

#[test]
fn units_start_behind_those_that_they_need() {
    let orders =
        |first: &str, second: &str| [order("a", first, Phase::Launched), order("b", second, Phase::Launched)];
    let holding = |first: &str, second: &str| {
        [("a", first), ("b", second)].map(|(unit, lines)| {
            let (unit, held) = loaded(unit);
            (unit, Held { hash: hash(lines), ..held })
        })
    };
    for (first, second, want) in [
        ("After=b.service", "A=b", ["start b", "start a"]),
        ("Requires=x.service b.service", "A=b", ["start b", "start a"]),
        ("A=b", "Before=a.service", ["start b", "start a"]),
        ("A=b", "After=a.service", ["start a", "start b"]),
        // A circle begins somewhere.
        ("After=b.service", "After=a.service", ["start a", "start b"]),
    ] {
        check(&orders(first, second), &holding(first, second), &want);
    }
}

#[test]
fn what_is_not_wanted_stops_before_it_goes() {
    check(&[], &[running("a")], &["stop a"]);
    check(&[], &[loaded("a"), loaded("b")], &["unload a b"]);
    check(&[order("a", "A=b", Phase::Loaded)], &[running("a")], &["stop a"]);
    let busy = Held { is_busy: true, ..running("a").1 };
    check(&[], &[(name("a"), busy)], &[]);
    // Something else may have started it.
    let (unit, held) = loaded("a");
    let pulled_in = Held { status: Status::new("loaded", "active", "running"), ..held };
    check(&[], &[(unit.clone(), pulled_in.clone())], &["stop a"]);
    check(&[order("a", "A=b", Phase::Loaded)], &[(unit, pulled_in)], &[]);
}

#[test]
fn other_content_replaces_the_file_when_the_unit_has_stopped() {
    let other = || order("a", "A=c", Phase::Launched);
    check(&[other()], &[running("a")], &["stop a"]);
    check(&[other()], &[loaded("a")], &["unload a"]);
    check(&[other()], &[], &["load a"]);
}

#[test]
fn a_stop_that_was_overtaken_by_a_start_is_a_restart() {
    let (unit, again) = launched("a");
    check(&[(unit, Order { stops: 1, ..again })], &[running("a")], &["stop a"]);
}

#[test]
fn nothing_starts_without_a_claim_that_holds() {
    let (unit, held) = loaded("a");
    for claim in [Claim::None, Claim::Failed { revision: 1 }, Claim::Made { lease: LEASE - 1 }] {
        check(&[launched("a")], &[(unit.clone(), Held { claim, ..held.clone() })], &[]);
    }
    assert_eq!(steps(&[launched("a")], &[loaded("a")], false, None), [""; 0]);
    // What runs goes on, whatever becomes of the lease.
    assert_eq!(steps(&[launched("a")], &[running("a")], false, None), [""; 0]);
}

#[test]
fn a_unit_that_systemd_refused_is_given_to_it_again_later() {
    let now = Instant::now();
    let broken = |until| (name("a"), Held::broken(hash("A=b"), until));
    check(&[launched("a")], &[broken(now + std::time::Duration::from_mins(1))], &[]);
    check(&[launched("a")], &[broken(now)], &["unload a"]);
}
