//! Units on their way, as fleet tells of them.

use super::*;
use crate::fleet::v1::Unit;
use crate::ops::units::names::Names;
use crate::ops::units::sight::tests::{machine, name, sight, state, unit};

const GLOBAL: &str = "[X-Fleet]\nGlobal=true\n";

fn launched(machine: Option<&str>) -> Unit {
    unit("a.service", "[Service]\nExecStart=/a\n", Phase::Launched, machine)
}

#[track_caller]
fn check(goal: &Goal, units: Vec<Unit>, states: Vec<UnitState>, want: &Progress) {
    assert_eq!(judge(&sight(units, states), &name("a.service"), goal), *want);
}

fn done(text: &str) -> Progress {
    Progress::Done(text.to_owned())
}

fn waiting(text: &str) -> Progress {
    Progress::Waiting(text.to_owned())
}

#[test]
fn a_unit_that_starts_is_done_when_systemd_says_active() {
    let of = |machine, states, want: &Progress| check(&Goal::Active, vec![launched(machine)], states, want);
    let on = |active: &str, sub: &str| vec![state("a.service", "m1", active, sub)];
    of(None, Vec::new(), &waiting("waits for a machine"));
    of(Some("m1"), Vec::new(), &waiting("comes to core-01"));
    of(Some("m1"), on("activating", "start-pre"), &waiting("activating (start-pre) on core-01"));
    of(Some("m1"), on("active", "running"), &done("active (running) on core-01"));
    of(Some("m1"), on("inactive", "dead"), &Progress::Ended { on: MachineId::new("m1") });
    let why = "failed (failed) on core-01".to_owned();
    of(Some("m1"), on("failed", "failed"), &Progress::Failing { on: Some(MachineId::new("m1")), why });
    // What another machine says does not count.
    of(Some("m2"), on("active", "running"), &waiting("comes to core-02"));
    of(Some("m9"), Vec::new(), &waiting("its machine m9 is away"));
}

#[test]
fn a_unit_that_was_not_told_to_start_has_not_ended() {
    let loaded = Unit { current_state: Some(Phase::Loaded), ..launched(Some("m1")) };
    let states = vec![state("a.service", "m1", "inactive", "dead")];
    check(&Goal::Active, vec![loaded], states, &waiting("on core-01, not started yet"));
}

#[test]
fn what_runs_with_its_former_file_is_waited_for() {
    let hash = |text: &str| Some(crate::fleet::unit::UnitFile::parse(text).unwrap().hash());
    let told = |text| UnitState { hash: hash(text), ..state("a.service", "m1", "active", "running") };
    let old = vec![told("[Service]\nExecStart=/b\n")];
    let want = waiting("on core-01, still with its former file");
    check(&Goal::Active, vec![launched(Some("m1"))], old, &want);
    let new = vec![told("# The same.\n[Service]\nExecStart=/a\n")];
    check(&Goal::Active, vec![launched(Some("m1"))], new, &done("active (running) on core-01"));
}

#[test]
fn a_unit_that_nobody_takes_is_told_from_one_that_waits() {
    let picky = unit("a.service", "[X-Fleet]\nMachineMetadata=disk=ssd\n", Phase::Launched, None);
    check(&Goal::Active, vec![picky], Vec::new(), &Progress::Unplaced("no machine takes it".to_owned()));
    let odd = unit("a.service", "[X-Fleet]\nMachineMetadata=x\n", Phase::Launched, None);
    let why = "its file cannot be used".to_owned();
    check(&Goal::Active, vec![odd], Vec::new(), &Progress::Unplaced(why));
}

#[test]
fn a_unit_that_somebody_else_stops_is_not_waited_for() {
    let stopped = unit("a.service", "", Phase::Loaded, Some("m1"));
    let why = "somebody else wants it to be loaded".to_owned();
    check(&Goal::Active, vec![stopped], Vec::new(), &Progress::Failing { on: None, why });
    let why = "it is not known any more".to_owned();
    check(&Goal::Active, Vec::new(), Vec::new(), &Progress::Failing { on: None, why });
}

#[test]
fn systemd_may_be_unable_to_load_a_file() {
    let bad = UnitState {
        systemd_load_state: "bad-setting".to_owned(),
        ..state("a.service", "m1", "inactive", "dead")
    };
    let why = "systemd on core-01 cannot load it: bad-setting".to_owned();
    let want = Progress::Failing { on: Some(MachineId::new("m1")), why };
    check(&Goal::Active, vec![launched(Some("m1"))], vec![bad], &want);
}

#[test]
fn a_global_unit_has_to_run_on_every_machine_that_it_fits() {
    let global = || vec![unit("a.service", GLOBAL, Phase::Launched, None)];
    let on = |id: &str| state("a.service", id, "active", "running");
    check(&Goal::Active, global(), vec![on("m1"), on("m3")], &waiting("comes to core-02"));
    let all = vec![on("m1"), on("m2"), on("m3")];
    check(&Goal::Active, global(), all, &done("active (running) on core-01 and 2 more"));
}

#[test]
fn a_unit_has_stopped_when_systemd_says_so() {
    let of = |states, want: &Progress| {
        check(&Goal::Stopped(StopProof::Systemd), vec![launched(Some("m1"))], states, want);
    };
    of(vec![state("a.service", "m1", "active", "running")], &waiting("active (running) on core-01"));
    of(
        vec![state("a.service", "m1", "deactivating", "stop-sigterm")],
        &waiting("deactivating (stop-sigterm) on core-01"),
    );
    of(vec![state("a.service", "m1", "failed", "failed")], &done("stopped"));
    of(vec![state("a.service", "m1", "inactive", "dead")], &done("stopped"));
    of(Vec::new(), &done("stopped"));
    // What a machine that is away said last may be long ago.
    of(vec![state("a.service", "m9", "active", "running")], &done("stopped"));
}

#[test]
fn where_stops_can_be_missed_the_agent_has_to_say_it_too() {
    let goal = Goal::Stopped(StopProof::Agent);
    let want = waiting("its machine has not been told yet");
    check(&goal, vec![launched(Some("m1"))], Vec::new(), &want);
    let loaded = Unit { current_state: Some(Phase::Loaded), ..launched(Some("m1")) };
    check(&goal, vec![loaded], Vec::new(), &done("stopped"));
}

#[test]
fn a_unit_on_a_machine_that_is_away_cannot_be_stopped() {
    let goal = Goal::Stopped(StopProof::Systemd);
    check(&goal, vec![launched(Some("m9"))], Vec::new(), &waiting("its machine m9 is away"));
}

#[test]
fn unloading_and_destroying_end_when_nothing_is_left() {
    let inactive = |machine| unit("a.service", "", Phase::Inactive, machine);
    let running = vec![state("a.service", "m1", "active", "running")];
    check(&Goal::Unloaded, vec![inactive(None)], running.clone(), &waiting("active (running) on core-01"));
    check(&Goal::Unloaded, vec![inactive(None)], Vec::new(), &done("unloaded"));
    check(&Goal::Destroyed, vec![inactive(None)], Vec::new(), &waiting("still known"));
    check(&Goal::Destroyed, Vec::new(), running, &waiting("active (running) on core-01"));
    check(&Goal::Destroyed, Vec::new(), Vec::new(), &done("destroyed"));
}

#[test]
fn a_loaded_unit_is_known_to_systemd_and_does_not_run() {
    let loaded = || vec![unit("a.service", "", Phase::Loaded, Some("m1"))];
    let on = |active: &str| vec![state("a.service", "m1", active, "")];
    check(&Goal::Loaded, loaded(), on("inactive"), &done("loaded on core-01"));
    check(&Goal::Loaded, loaded(), on("deactivating"), &waiting("deactivating on core-01"));
}

#[test]
fn a_drained_unit_is_gone_when_it_has_stopped_and_found_a_place() {
    let goal = Goal::Gone { from: MachineId::new("m1") };
    let running = vec![state("a.service", "m1", "active", "running")];
    check(&goal, vec![launched(Some("m1"))], Vec::new(), &waiting("still on core-01"));
    check(&goal, vec![launched(Some("m2"))], running, &waiting("active (running) on core-01"));
    check(&goal, vec![launched(Some("m2"))], Vec::new(), &done("now on core-02"));
    let pinned = unit("a.service", "[X-Fleet]\nMachineID=m9\n", Phase::Launched, None);
    check(&goal, vec![pinned], Vec::new(), &Progress::Unplaced("no machine takes it".to_owned()));
}

#[test]
fn a_moved_unit_has_to_run_where_it_was_sent() {
    let goal = Goal::On { to: MachineId::new("m2") };
    check(&goal, vec![launched(Some("m1"))], Vec::new(), &waiting("not on core-02 yet"));
    check(&goal, vec![launched(Some("m2"))], Vec::new(), &waiting("comes to core-02"));
    let running = vec![state("a.service", "m2", "active", "running")];
    check(&goal, vec![launched(Some("m2"))], running, &done("active (running) on core-02"));
}

#[test]
fn a_machine_that_is_remembered_is_not_here() {
    let mut away = machine("m1", "core-01");
    away.present = Some(false);
    let seen = Sight::of(vec![launched(Some("m1"))], Vec::new(), vec![away], Names::default());
    let progress = judge(&seen, &name("a.service"), &Goal::Active);
    assert_eq!(progress, waiting("its machine m1 is away"));
}
