//! Labs that Vagrant makes, in numbers: more nodes and fewer, and more labs than one.

use std::thread::scope;

use lab::config::VagrantProvider;

use crate::kit::TestLab;

#[test]
fn a_lab_of_vagrant_grows_and_shrinks() {
    let lab = TestLab::vagrant("vg-resize", VagrantProvider::Docker);
    lab.ok(["up", "--nodes", "2"]);
    lab.sh("core-01", "etcdctl put /e2e/resize kept");
    let get = "etcdctl --endpoints 127.0.0.1:2379 get --print-value-only /e2e/resize";

    lab.ok(["up", "--nodes", "3"]);
    let status = lab.healthy(3);
    assert_eq!(lab.sh("core-03", get), "kept");
    let plain = lab.plain_vagrant(["status", "--machine-readable"]).ok();
    assert!(plain.contains(",core-03,state,running"), "{plain}");

    lab.run(["up", "--nodes", "2"]).ends_with(8).says("core-03 with all data");
    lab.ok(["up", "--nodes", "2", "-y"]);
    assert_eq!(lab.healthy(2).addresses(), status.addresses()[..2]);
    assert_eq!(lab.sh("core-02", get), "kept");
    let left = lab.engine().left_of(lab.name());
    assert!(!left.iter().any(|name| name.contains("core-03")), "{left:?}");
    let plain = lab.plain_vagrant(["status", "--machine-readable"]).ok();
    assert!(!plain.contains("core-03"), "{plain}");
    lab.run(["up"]).ends_with(0).says("nothing to do");
}

#[test]
fn two_labs_of_one_project_boot_at_once() {
    let one = TestLab::vagrant("vg-one", VagrantProvider::Docker);
    let two = one.beside("vg-two");
    scope(|both| {
        both.spawn(|| one.ok(["up", "--nodes", "2"]));
        both.spawn(|| two.ok(["up", "--nodes", "2"]));
    });
    assert_ne!(one.healthy(2).subnet, two.healthy(2).subnet);
    one.ok(["down", "-y"]);
    one.gone();
    two.healthy(2);
    assert_eq!(two.plain_vagrant(["ssh", "core-01", "-c", "hostname"]).ok().trim(), "core-01");
    two.ok(["down", "-y"]);
    two.gone();
}

#[test]
fn vagrant_does_not_take_a_lab_of_containers() {
    let lab = TestLab::with_nodes("vg-foreign", 1);
    for below in VagrantProvider::ALL {
        let up = ["up", "--provider", "vagrant", "--vagrant-provider", below.name()];
        let refused = lab.run(up);
        refused.ends_with(2).says("is made by `container`, not by `vagrant`").says("go on with `container`");
    }
    assert!(!lab.vagrant_folder().exists());
    lab.healthy(1);
}
