//! Where units go, case by case.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::fleet::placement::{Machine, rebalance};
use crate::fleet::records::Phase;
use crate::fleet::unit::UnitFile;

fn name(text: &str) -> UnitName {
    UnitName::parse(&format!("{text}.service")).unwrap()
}

fn machine(metadata: &[(&str, &str)]) -> Machine {
    Machine {
        name: String::new(),
        metadata: metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        scheduling: Scheduling::Open,
        memory_bytes: None,
        standing: Standing::Here,
    }
}

/// A cluster of machines `a`, `b`, `c` that are all the same.
fn cluster() -> Snapshot {
    let machines =
        ["a", "b", "c"].map(|id| (MachineId::new(id), Machine { name: id.into(), ..machine(&[]) }));
    Snapshot { machines: machines.into(), ..Snapshot::default() }
}

impl Snapshot {
    fn with(mut self, unit: &str, lines: &str, on: Option<&str>) -> Self {
        let name = name(unit);
        let file = UnitFile::parse(&format!("[X-Fleet]\n{lines}\n")).unwrap();
        let unit = Unit {
            needs: Needs::of(&name, &file).map(Arc::new).map_err(|error| error.to_string()),
            desired: Phase::Launched,
            machine: on.map(MachineId::new),
            wish: None,
            reported_on: on.map(MachineId::new).into_iter().collect(),
        };
        self.units.insert(name, unit);
        self
    }

    fn machine(mut self, id: &str, change: impl FnOnce(&mut Machine)) -> Self {
        change(self.machines.get_mut(id).unwrap());
        self
    }

    fn unit(mut self, unit: &str, change: impl FnOnce(&mut Unit)) -> Self {
        change(self.units.get_mut(&name(unit)).unwrap());
        self
    }

    fn standing(self, id: &str, standing: Standing) -> Self {
        self.machine(id, |machine| machine.standing = standing)
    }
}

/// Shows assignments as `unit: from -> to`.
fn shown(tasks: &[Assignment]) -> Vec<String> {
    let id = |id: &Option<MachineId>| id.as_ref().map_or("-".to_owned(), ToString::to_string);
    let show = |task: &Assignment| format!("{}: {} -> {}", task.unit.stem(), id(&task.from), id(&task.to));
    tasks.iter().map(show).collect()
}

#[track_caller]
fn check(snapshot: &Snapshot, want: &[&str]) {
    assert_eq!(shown(&plan(snapshot)), want);
}

/// Checks where every unit is when nothing is left to do.
#[track_caller]
fn settles(snapshot: Snapshot, want: &[(&str, &str)]) {
    let (end, _) = settle(snapshot);
    assert_eq!(plan(&end), [], "it never settles");
    let found: Vec<(&str, &str)> = end
        .units
        .iter()
        .filter(|(_, unit)| !unit.is_global())
        .map(|(name, unit)| (name.stem(), unit.machine.as_ref().map_or("-", MachineId::as_str)))
        .collect();
    assert_eq!(found, want);
}

#[test]
fn the_least_loaded_machine_is_taken_and_of_equals_the_lowest_id() {
    check(&cluster().with("u1", "", None), &["u1: - -> a"]);
    check(&cluster().with("u1", "", Some("a")).with("u2", "", None), &["u2: - -> b"]);
    let four = (1..=4).fold(cluster(), |cluster, n| cluster.with(&format!("u{n}"), "", None));
    check(&four, &["u1: - -> a", "u2: - -> b", "u3: - -> c", "u4: - -> a"]);
    check(&cluster().with("u1", "[X-Lab]\nWeight=3", Some("a")).with("u2", "", Some("b")), &[]);
}

#[test]
fn what_is_placed_stays_where_it_is() {
    // Nothing is moved for the sake of balance.
    let heap = (1..=4).fold(cluster(), |cluster, n| cluster.with(&format!("u{n}"), "", Some("a")));
    check(&heap, &[]);
}

#[test]
fn metadata_pins_and_memory_are_obeyed() {
    let cluster =
        || cluster().machine("b", |machine| drop(machine.metadata.insert("disk".into(), "ssd".into())));
    settles(cluster().with("u", "MachineMetadata=disk=ssd", None), &[("u", "b")]);
    settles(cluster().with("u", "MachineMetadata=disk=ssd\nMachineMetadata=disk=hdd", None), &[("u", "b")]);
    settles(cluster().with("u", "MachineMetadata=disk=tape", None), &[("u", "-")]);
    settles(cluster().with("u", "MachineID=c", None), &[("u", "c")]);
    // A machine that is not fit any more gives the unit away.
    let moved = cluster().with("u", "MachineMetadata=disk=ssd", Some("a"));
    check(&moved, &["u: a -> -"]);
    settles(moved, &[("u", "b")]);
    let small = cluster().machine("a", |machine| machine.memory_bytes = Some(100 << 20));
    settles(small.with("u", "[X-Lab]\nMemory=200MiB", None), &[("u", "b")]);
}

#[test]
fn units_that_conflict_are_kept_apart() {
    let conflicts = |n: usize| {
        (1..=n).fold(cluster(), |cluster, n| cluster.with(&format!("x@{n}"), "Conflicts=x@*.service", None))
    };
    settles(conflicts(3), &[("x@1", "a"), ("x@2", "b"), ("x@3", "c")]);
    // The loser is always the last by name.
    settles(conflicts(4), &[("x@1", "a"), ("x@2", "b"), ("x@3", "c"), ("x@4", "-")]);
    let one_way = cluster().standing("b", Standing::Gone).standing("c", Standing::Gone);
    settles(
        one_way.with("p", "Conflicts=q.service", Some("a")).with("q", "", None),
        &[("p", "a"), ("q", "-")],
    );
}

#[test]
fn global_units_take_part_in_conflicts_and_load() {
    let global = cluster().with("g", "Global=true\nMachineID=\nConflicts=x.service", None);
    let global = global.unit("g", |unit| {
        unit.needs = Ok(Arc::new(Needs { is_global: true, ..cluster_needs("Conflicts=x.service") }));
    });
    settles(global.with("x", "", None), &[("x", "-")]);
}

fn cluster_needs(lines: &str) -> Needs {
    let file = UnitFile::parse(&format!("[X-Fleet]\n{lines}\n")).unwrap();
    Needs::of(&name("any"), &file).unwrap()
}

#[test]
fn followers_go_where_their_peer_goes() {
    let pair =
        |on: Option<&str>| cluster().with("follower", "MachineOf=leader.service", on).with("leader", "", on);
    settles(pair(None), &[("follower", "a"), ("leader", "a")]);
    let moving = pair(Some("b")).standing("b", Standing::Gone);
    settles(moving, &[("follower", "a"), ("leader", "a")]);
    let lost = pair(Some("b")).unit("leader", |unit| unit.desired = Phase::Inactive);
    settles(lost, &[("follower", "-"), ("leader", "-")]);
    let chain = pair(None).with("a-last", "MachineOf=follower.service", None);
    settles(chain, &[("a-last", "a"), ("follower", "a"), ("leader", "a")]);
    let circle = cluster().with("p", "MachineOf=q.service", None).with("q", "MachineOf=p.service", None);
    settles(circle, &[("p", "-"), ("q", "-")]);
}

#[test]
fn a_unit_that_replaces_another_takes_its_machine() {
    let one = || cluster().machine("a", |machine| drop(machine.metadata.insert("here".into(), "1".into())));
    let both =
        one().with("old", "", Some("a")).with("new", "MachineMetadata=here=1\nReplaces=old.service", None);
    settles(both, &[("new", "a"), ("old", "b")]);
    // Elsewhere they do not meet.
    settles(
        cluster().with("old", "", Some("a")).with("new", "Replaces=old.service", None),
        &[("new", "b"), ("old", "a")],
    );
    let mutual = one().with("p", "MachineMetadata=here=1\nReplaces=q.service", None).with(
        "q",
        "MachineMetadata=here=1\nReplaces=p.service",
        None,
    );
    settles(mutual, &[("p", "a"), ("q", "a")]);
}

#[test]
fn units_of_a_dead_machine_move_at_once_and_fenced_ones_when_it_is_safe() {
    let dead = |standing, lines: &str| cluster().with("u", lines, Some("a")).standing("a", standing);
    check(&dead(Standing::Awaited, ""), &[]);
    check(&dead(Standing::Fencing, ""), &["u: a -> b"]);
    check(&dead(Standing::Fencing, "[X-Lab]\nFence=true"), &[]);
    check(&dead(Standing::Gone, "[X-Lab]\nFence=true"), &["u: a -> b"]);
    let all = Snapshot { fence: true, ..dead(Standing::Fencing, "") };
    check(&all, &[]);
    let stopped = all.unit("u", |unit| unit.desired = Phase::Inactive);
    check(&stopped, &[]);
    check(&dead(Standing::Gone, "MachineID=a"), &["u: a -> -"]);
}

#[test]
fn a_unit_is_not_started_before_the_machine_it_was_on_has_stopped_it() {
    let leaving = cluster().with("u", "", None).unit("u", |unit| {
        unit.reported_on = [MachineId::new("c")].into();
    });
    check(&leaving, &[]);
    check(&leaving.standing("c", Standing::Gone), &["u: - -> a"]);
}

#[test]
fn after_an_outage_nothing_is_given_to_the_first_that_is_there() {
    let early = cluster().with("u", "", None).standing("b", Standing::Awaited);
    check(&Snapshot { holds: true, ..early.clone() }, &[]);
    check(&early, &["u: - -> a"]);
}

#[test]
fn cordoned_machines_keep_and_drained_ones_give() {
    let at = |scheduling| {
        let cluster = cluster().with("new", "", None).with("old", "", Some("a"));
        cluster.machine("a", |machine| machine.scheduling = scheduling)
    };
    settles(at(Scheduling::Cordoned), &[("new", "b"), ("old", "a")]);
    settles(at(Scheduling::Drained), &[("new", "b"), ("old", "c")]);
}

#[test]
fn a_wish_is_granted_where_it_can_be() {
    let asked = |on: Option<&str>, lines: &str| {
        cluster().with("u", lines, on).unit("u", |unit| unit.wish = Some(MachineId::new("c")))
    };
    check(&asked(Some("a"), ""), &["u: a -> -"]);
    settles(asked(Some("a"), ""), &[("u", "c")]);
    // A machine that is away cannot be meant.
    check(&asked(Some("a"), "").standing("c", Standing::Gone), &[]);
}

#[test]
fn every_machine_says_why_it_does_not_take_a_unit() {
    let snapshot = cluster()
        .machine("a", |machine| machine.scheduling = Scheduling::Cordoned)
        .standing("b", Standing::Gone)
        .with("other", "", Some("c"))
        .with("u", "Conflicts=other.service", None);
    let told: Vec<String> =
        explain(&snapshot, &name("u")).unwrap().values().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "the machine takes no units: it is cordoned",
            "the machine is away",
            "Conflicts=other.service: other.service is here",
        ]
    );
    let bad = cluster().with("u", "MachineMetadata=nonsense", None);
    assert!(explain(&bad, &name("u")).unwrap_err().contains("is not KEY=VALUE"));
    check(&bad, &[]);
}

#[test]
fn a_rebalance_moves_no_more_than_it_must() {
    let heap = (1..=4).fold(cluster(), |cluster, n| cluster.with(&format!("u{n}"), "", Some("a")));
    let moves: Vec<String> = rebalance(&heap)
        .iter()
        .map(|step| format!("{} {} {}", step.unit.stem(), step.from, step.to))
        .collect();
    assert_eq!(moves, ["u1 a b", "u2 a c"]);
    let pinned =
        (1..=4).fold(cluster(), |cluster, n| cluster.with(&format!("u{n}"), "MachineID=a", Some("a")));
    assert_eq!(rebalance(&pinned), []);
}

/// Ten thousand units on a thousand machines settle: the figure for how long it takes is in the benchmark.
#[test]
fn a_large_cluster_is_planned_in_full() {
    let machines = (0..1000).map(|n| {
        let disk = if n % 10 == 0 { "ssd" } else { "hdd" };
        (MachineId::new(format!("m{n:04}")), machine(&[("disk", disk)]))
    });
    let empty = Snapshot { machines: machines.collect(), ..Snapshot::default() };
    let full = (0..10_000).fold(empty, |cluster, n| {
        let lines = if n % 2 == 0 { "MachineMetadata=disk=ssd" } else { "" };
        cluster.with(&format!("u{n}"), lines, None)
    });
    let tasks = plan(&full);
    let units: BTreeSet<&UnitName> = tasks.iter().map(|task| &task.unit).collect();
    assert_eq!((tasks.len(), units.len()), (10_000, 10_000));
}
