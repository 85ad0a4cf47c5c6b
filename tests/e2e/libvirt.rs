//! One lab of two machines: the contract, and what only machines with a kernel of their own show.

use lab::config::VagrantProvider;
use lab::exec::Cmd;

use crate::contract::contract_of_machines;
use crate::kit::fleet::sleeper;
use crate::kit::images::{id_on, reload, write_image};
use crate::kit::{Check, Run, TestLab, suite, wait_until};

const NODES: [&str; 2] = ["core-01", "core-02"];

const CHECKS: [Check; 8] = [
    ("images of the lab run on each node", images_run),
    ("a changed image reaches all nodes", a_changed_image_is_sent),
    ("units go where their metadata says", units_are_placed),
    ("each node has a kernel, a disk and memory of its own", machines_have_their_own),
    ("plain vagrant knows the nodes and enters them", plain_vagrant_works),
    ("a node that restarts by itself keeps all", a_restart_keeps_all),
    ("a node that is destroyed by hand is made again", a_destroyed_node_is_made_again),
    ("a halted lab comes back with its data", a_halted_lab_comes_back),
];

#[test]
fn machines_of_libvirt_are_nodes() {
    let mut lab = TestLab::vagrant("vm", VagrantProvider::Libvirt);
    // The box is where whoever made it gave it to Vagrant.
    lab.tell("VAGRANT_HOME", &setting("VAGRANT_HOME"));
    lab.write("lab.toml", settings(&setting("LAB_TEST_VM_DRIVER")));
    write_image(&lab, "web", 100_000);
    lab.run(["up", "--nodes", "2"]).ends_with(0).says("by `vagrant` with `libvirt`");
    contract_of_machines(&lab);
    lab.healthy(2);
    suite(&lab, &CHECKS);
    lab.healthy(2);
    lab.run(["up"]).ends_with(0).says("nothing to do");
    lab.ok(["down", "-y"]);
    lab.gone();
    assert_eq!(left_of(&lab), [""; 0]);
}

/// Returns what whoever runs the tests has to say.
#[expect(clippy::disallowed_methods, reason = "a setting of the tests, not a flag of ours")]
#[track_caller]
fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("`{name}` is not set: `scripts/test-vm` does that"))
}

fn settings(driver: &str) -> String {
    format!("[vagrant]\nbox = \"lab/node\"\ndriver = \"{driver}\"\nboot_timeout = 600\nserial_log = true\n")
}

/// Names the machines, disks and networks that libvirt has of a lab.
#[track_caller]
fn left_of(lab: &TestLab) -> Vec<String> {
    let lists = [
        &["list", "--all", "--name"] as &[&str],
        &["net-list", "--all", "--name"],
        &["vol-list", "--pool", "default"],
    ];
    let list = |words: &&[&str]| {
        let cmd = Cmd::new("virsh").args(["--quiet", "--connect", "qemu:///system"]);
        Run::of(&cmd.args(words.iter().copied()), "/".as_ref()).ok()
    };
    let listed: Vec<String> = lists.iter().map(list).collect();
    let lines = listed.iter().flat_map(|text| text.lines());
    lines.filter(|line| line.contains(lab.name())).map(str::to_owned).collect()
}

fn images_run(lab: &TestLab) {
    for node in NODES {
        assert!(lab.sh(node, "docker run --rm web").starts_with("labd "));
    }
}

fn a_changed_image_is_sent(lab: &TestLab) {
    let before = id_on(lab, "core-02", "web");
    lab.write("images/web/text", "two");
    let sent = reload(lab, &[]);
    assert_eq!((sent.made.len(), sent.nodes.len()), (1, 2), "{sent:?}");
    let after = NODES.map(|node| id_on(lab, node, "web"));
    assert!(after.iter().all(|id| *id == after[0] && *id != before), "{before} {after:?}");
}

fn units_are_placed(lab: &TestLab) {
    let fleet = lab.fleet("core-01");
    for node in NODES {
        let unit = format!("on@{node}.service");
        fleet.start(&unit, &sleeper("MachineMetadata=hostname=%i"));
        assert!(fleet.active()[&unit].contains(node), "{unit}");
    }
    fleet.clear();
}

fn machines_have_their_own(lab: &TestLab) {
    let boots = NODES.map(|node| boot_of(lab, node));
    assert_ne!(boots[0], boots[1]);
    for node in &lab.healthy(2).nodes {
        let memory = node.health().memory.as_ref().expect("a machine knows its memory");
        // What the kernel keeps to itself is not counted.
        assert!((800 << 20..1025 << 20).contains(&memory.total_bytes), "{memory:?}");
        assert!(memory.used_bytes > 0 && memory.used_bytes < memory.total_bytes, "{memory:?}");
        let device = lab.sh(&node.node, "findmnt --noheadings --output SOURCE /");
        assert_eq!(device, "/dev/vda2");
    }
}

/// Returns what is another at each boot of a kernel.
fn boot_of(lab: &TestLab, node: &str) -> String {
    lab.sh(node, "cat /proc/sys/kernel/random/boot_id")
}

fn plain_vagrant_works(lab: &TestLab) {
    let told = lab.plain_vagrant(["status", "--machine-readable"]).ok();
    for node in NODES {
        assert!(told.contains(&format!(",{node},state,running")), "{told}");
    }
    assert_eq!(lab.plain_vagrant(["ssh", "core-02", "-c", "hostname"]).ok().trim(), "core-02");
}

fn a_restart_keeps_all(lab: &TestLab) {
    lab.sh(
        "core-01",
        "etcdctl put /e2e/restarted kept; echo mine > /home/core/note; docker volume create kept",
    );
    let (before, boot) = (lab.status().addresses(), boot_of(lab, "core-01"));
    // The connection ends with the node, in whatever way.
    lab.run(["exec", "core-01", "--", "sudo systemctl reboot"]);
    wait_until("the node has restarted", || {
        let now = lab.run(["exec", "core-01", "--output=json", "--", "cat /proc/sys/kernel/random/boot_id"]);
        (now.code == Some(0) && !now.stdout.contains(&boot)).then_some(())
    });
    lab.ok(["up"]);
    assert_eq!(lab.healthy(2).addresses(), before);
    assert_eq!(lab.sh("core-01", "cat /home/core/note; docker volume ls -q"), "mine\nkept");
    assert_eq!(lab.sh("core-02", "etcdctl get --print-value-only /e2e/restarted"), "kept");
    images_run(lab);
}

#[track_caller]
fn states(lab: &TestLab) -> Vec<String> {
    let run = lab.run(["status", "--output=json"]);
    run.ends_with(3);
    crate::kit::Status::of(&run).nodes.into_iter().map(|node| node.state).collect()
}

fn a_destroyed_node_is_made_again(lab: &TestLab) {
    let (before, id) = (lab.status().addresses(), id_on(lab, "core-02", "web"));
    lab.plain_vagrant(["destroy", "-f", "core-02"]).ok();
    assert_eq!(states(lab), ["running", "missing"]);
    lab.ok(["up"]);
    assert_eq!(lab.healthy(2).addresses(), before);
    assert_eq!(id_on(lab, "core-02", "web"), id);
}

fn a_halted_lab_comes_back(lab: &TestLab) {
    lab.sh("core-01", "etcdctl put /e2e/halted kept");
    let before = lab.status().addresses();
    lab.ok(["halt"]);
    assert_eq!(states(lab), ["stopped"; 2]);
    lab.run(["halt"]).ends_with(0).says("nothing to do");
    lab.ok(["up"]);
    assert_eq!(lab.healthy(2).addresses(), before);
    assert_eq!(lab.sh("core-02", "etcdctl get --print-value-only /e2e/halted"), "kept");
    images_run(lab);
}
