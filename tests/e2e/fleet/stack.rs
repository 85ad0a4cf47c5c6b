//! The units that `lab up` starts last.

use crate::kit::TestLab;

const UNITS: [&str; 3] = ["demo-buddy.service", "demo-hello@1.service", "demo-hello@2.service"];

/// From nothing to a lab whose units run; again, nothing is to be done; with more nodes or fewer they go along.
#[test]
fn the_demo_stack_runs_when_up_ends() {
    let lab = TestLab::new("stack");
    let up = lab.run(["up", "--nodes", "3", "--stack", "demo"]);
    up.ends_with(0).says("demo-hello@1.service");
    let fleet = lab.fleet("core-01");
    let active = fleet.active();
    let listed = lab.ok(["units"]);
    for unit in UNITS {
        assert_eq!(active[unit].len(), 1, "{active:?}");
        assert!(listed.lines().any(|line| line.starts_with(unit) && line.contains("active")), "{listed}");
    }
    assert_eq!(active["demo-everywhere.service"].len(), 3);
    assert_eq!(active["demo-buddy.service"], active["demo-hello@1.service"]);
    let node = active["demo-hello@1.service"].first().expect("it runs").clone();
    assert_eq!(lab.sh("core-01", "ETCDCTL_API=3 etcdctl get --print-value-only /demo/hello-1"), node);
    lab.run(["up", "--stack", "demo"]).ends_with(0).says("nothing to do");

    // What was stopped by hand is started again, and a file that changed is taken.
    lab.ok(["unit", "stop", "demo-buddy"]);
    let dry = lab.ok(["up", "--stack", "demo", "--dry-run"]);
    assert!(dry.contains("start the units of the stack demo") && dry.contains("demo-buddy.service"), "{dry}");
    lab.ok(["up", "--stack", "demo"]);
    assert!(fleet.active().contains_key("demo-buddy.service"));

    lab.ok(["up", "--nodes", "4", "--stack", "demo"]);
    assert_eq!(fleet.active()["demo-everywhere.service"].len(), 4);
    lab.ok(["up", "--nodes", "1", "--stack", "demo", "-y"]);
    let fleet = lab.fleet("core-01");
    let nodes = fleet.ask("GET", "/fleet/v1/nodes", None).is(200).json();
    assert_eq!(
        nodes["machines"].as_array().map_or(0, Vec::len),
        1,
        "removed machines are forgotten: {nodes}"
    );
    fleet.settled(&[
        "demo-buddy.service",
        "demo-everywhere.service",
        "demo-hello@1.service",
        "demo-hello@2.service",
    ]);
    lab.run(["up", "--stack", "demo"]).ends_with(0).says("nothing to do");
    fleet.is_sound();

    // A stack of the project, with a mistake in it and without.
    lab.write("services/mine/one.service", "[X-Fleet]\nMachineMetadata=a b\n");
    lab.run(["up", "--stack", "mine"]).ends_with(2).says("one.service");
    lab.write("services/mine/one.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    lab.ok(["up", "--stack", "mine"]);
    assert!(fleet.active().contains_key("one.service"));
}
