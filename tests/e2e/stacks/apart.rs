//! Stacks that cannot be together, and ports that somebody has already: both are told before anything is made.

use crate::kit::TestLab;

const UNIT: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

fn write_stack(lab: &TestLab, name: &str, port: u16) {
    let stack =
        format!("description = \"A stack of a test.\"\n[[units]]\nname = \"{name}\"\nports = [{port}]\n");
    lab.write(&format!("services/{name}/stack.toml"), stack);
    lab.write(&format!("services/{name}/{name}.service"), UNIT);
}

#[test]
fn stacks_that_cannot_be_together_are_refused_before_anything_is_made() {
    let lab = TestLab::new("apart");
    let twice = lab.run(["up", "--nodes", "3", "--stack", "zookeeper", "--stack", "mesos-ha"]);
    twice
        .ends_with(2)
        .says("the stacks `zookeeper` and `mesos-ha` cannot be in one lab")
        .says("a role `zookeeper`");
    write_stack(&lab, "squatter", 2181);
    let clash = lab.run(["up", "--nodes", "3", "--stack", "zookeeper,squatter"]);
    clash.ends_with(2).says("both take port 2181, and both may come to core-01");
    write_stack(&lab, "ssh", 22);
    lab.run(["up", "--nodes", "1", "--stack", "ssh"]).ends_with(2).says("takes port 22, which sshd has");
    assert_eq!(lab.engine().left_of(lab.name()), [""; 0]);
}

#[test]
fn a_port_that_somebody_has_on_a_node_is_told_before_anything_starts() {
    let lab = TestLab::with_nodes("port-taken", 2);
    write_stack(&lab, "web", 7070);
    let listen = "for (IO::Socket::INET->new(LocalPort => 7070, Listen => 1) or die) { sleep }";
    lab.sh("core-02", &format!("sudo systemd-run --unit=squatter perl -MIO::Socket::INET -e '{listen}'"));
    crate::kit::wait_until("the port is taken", || {
        (lab.try_sh("core-02", "ss --no-header --listening --tcp 'sport = :7070' | grep -q LISTEN").code
            == Some(0))
        .then_some(())
    });
    let refused = lab.run(["up", "--stack", "web"]);
    refused.ends_with(2).says("`web.service` takes port 7070, which is taken on core-02 by perl");
    assert_eq!(lab.fleet("core-01").names(), [""; 0], "nothing was handed to fleet");
    lab.sh("core-02", "sudo systemctl stop squatter");
    lab.ok(["up", "--stack", "web"]);
    lab.fleet("core-01").settled(&["web.service"]);
    // What has the port now is the unit's own business.
    lab.run(["up", "--stack", "web"]).ends_with(0).says("nothing to do");
}
