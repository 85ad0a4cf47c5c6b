//! Ctrl-C during `up`.

use rustix::process::Signal;

use crate::kit::TestLab;
use crate::kit::images::noise;

#[test]
fn an_interrupted_up_says_how_to_go_on_and_does() {
    let lab = TestLab::new("interrupt");
    let mut up = lab.start(["up", "--nodes", "3"]);
    up.wait_until_says("core-01  booting").signal(Signal::INT);
    up.finish().ends_with(130).says("`lab up` goes on, `lab down` removes it");
    lab.ok(["up"]);
    lab.healthy(3);
}

#[test]
fn two_interrupts_end_up_at_once() {
    let lab = TestLab::new("interrupt-twice");
    let mut up = lab.start(["up", "--nodes", "3"]);
    up.wait_until_says("core-01  making").signal(Signal::INT).signal(Signal::INT);
    up.finish().ends_with(130);
    lab.ok(["up"]);
    lab.healthy(3);
}

#[test]
fn an_interrupted_up_can_be_removed() {
    let lab = TestLab::new("interrupt-down");
    let mut up = lab.start(["up", "--nodes", "3"]);
    up.wait_until_says("core-01  making").signal(Signal::TERM);
    up.finish().ends_with(130);
    lab.ok(["down", "-y"]);
    lab.gone();
}

/// Images that are built, images that travel, units that start, units that start again: whatever was interrupted, the
/// next `up` goes on.
#[test]
fn a_stack_comes_up_although_each_stage_was_interrupted() {
    let lab = TestLab::new("interrupt-stack");
    let change_image = |seed: usize| {
        lab.write("images/web/filler", noise(30_000_000 + seed));
        lab.write("images/web/Dockerfile", "FROM lab/debian:bookworm\nCOPY filler /\nRUN sleep 2\n");
    };
    let stop_at = |stage: &str| {
        let mut up = lab.start(["up", "--nodes", "2", "--stack", "small"]);
        up.wait_until_says(stage).signal(Signal::INT);
        up.finish().ends_with(130).says("`lab up` goes on, `lab down` removes it");
    };
    change_image(0);
    lab.write_small_stack("one");
    stop_at("web  making");
    stop_at("small@1.service  on its way");
    lab.ok(["up", "--stack", "small"]);
    lab.healthy(2);
    lab.runs_small_stack("one");

    change_image(1);
    lab.write_small_stack("two");
    stop_at("web  making");
    stop_at("loading web:latest");
    // One of them is started again, and the other waits for it.
    stop_at("service  on its way");
    lab.ok(["up", "--stack", "small"]);
    lab.runs_small_stack("two");
}
