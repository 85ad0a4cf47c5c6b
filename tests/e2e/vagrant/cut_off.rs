//! `lab`, or Vagrant below it, is interrupted or dies while machines are made, and the next run repairs that.

use lab::checkpoint::Checkpoint;
use lab::config::VagrantProvider;
use rustix::process::Signal;

use crate::kit::{Running, TestLab, wait_until};

/// The points at which something else is left behind than where nodes are containers; what comes before the third
/// only has to be removed.
const POINTS: [Checkpoint; 6] = [
    Checkpoint::Locked,
    Checkpoint::StateWritten,
    Checkpoint::NetworkMade,
    Checkpoint::NodeCreated,
    Checkpoint::NodeStarted,
    Checkpoint::NodeReady,
];

#[test]
fn a_boot_by_vagrant_that_was_killed_is_finished() {
    let lab = TestLab::vagrant("vg-kill", VagrantProvider::Docker);
    for at in &POINTS[2..] {
        lab.kill_at(*at, ["up", "--nodes", "2"]);
        lab.ok(["up", "--nodes", "2"]);
        lab.healthy(2);
        lab.run(["up"]).ends_with(0).says("nothing to do");
        lab.ok(["down", "-y"]);
        lab.gone();
    }
}

#[test]
fn a_boot_by_vagrant_that_was_killed_is_removed() {
    let lab = TestLab::vagrant("vg-kill-down", VagrantProvider::Docker);
    for at in POINTS {
        lab.kill_at(at, ["up", "--nodes", "2"]);
        lab.ok(["down", "-y"]);
        lab.gone();
    }
}

/// What may happen while Vagrant makes machines.
type Blow = fn(&TestLab, &mut Running);

const BLOWS: [(&str, Blow, Option<i32>); 4] = [
    ("one Ctrl-C", |_, up| signal(up, &[Signal::INT]), Some(130)),
    ("two of them", |_, up| signal(up, &[Signal::INT, Signal::INT]), Some(130)),
    ("the death of lab", |_, up| signal(up, &[Signal::KILL]), None),
    ("the death of Vagrant", |lab, _| lab.kill_vagrant(), Some(1)),
];

fn signal(up: &mut Running, signals: &[Signal]) {
    for signal in signals {
        up.signal(*signal);
    }
}

#[test]
fn what_was_cut_off_while_vagrant_worked_goes_on() {
    let lab = TestLab::vagrant("vg-cut", VagrantProvider::Docker);
    for (name, blow, code) in BLOWS {
        let mut up = lab.start(["up", "--nodes", "2"]);
        up.wait_until_says("core-01  making");
        let second = lab.run(["up"]);
        second.ends_with(5).says(&up.id().to_string());
        wait_until("a container appears", || {
            let left = lab.engine().left_of(lab.name());
            left.iter().any(|machine| machine.ends_with("-core-01")).then_some(())
        });
        blow(&lab, &mut up);
        let ended = up.finish();
        assert_eq!(ended.code, code, "after {name}: {ended}");
        lab.ok(["up"]);
        lab.healthy(2);
        lab.ok(["down", "-y"]);
        lab.gone();
    }
}
