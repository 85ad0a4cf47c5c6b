//! Two commands on one lab.

use crate::kit::TestLab;

#[test]
fn the_second_up_is_told_who_the_first_is() {
    let lab = TestLab::new("lock");
    let mut first = lab.start(["up", "--nodes", "3"]);
    first.wait_until_says("core-01  making");
    let second = lab.run(["up", "--nodes", "3"]);
    second.ends_with(5).says("`lab up`").says(&first.id().to_string());
    lab.run(["down", "-y"]).ends_with(5).says("`lab up`");
    first.finish().ok();
    lab.healthy(3);
}

#[test]
fn an_up_that_waits_for_its_turn_succeeds_too() {
    let lab = TestLab::new("wait-lock");
    let mut first = lab.start(["up", "--nodes", "3"]);
    first.wait_until_says("core-01  making");
    lab.run(["up", "--wait-lock", "60"]).ends_with(0).says("nothing to do");
    first.finish().ok();
    lab.healthy(3);
}
