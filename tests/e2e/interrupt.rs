//! Ctrl-C during `up`.

use rustix::process::Signal;

use crate::kit::TestLab;

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
