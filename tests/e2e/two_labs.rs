//! Two labs of one host.

use std::thread::scope;

use crate::kit::TestLab;

#[test]
fn two_labs_boot_at_once_and_know_nothing_of_each_other() {
    let (one, two) = (TestLab::new("one"), TestLab::new("two"));
    scope(|both| {
        both.spawn(|| one.ok(["up", "--nodes", "3"]));
        both.spawn(|| two.ok(["up", "--nodes", "3"]));
    });
    assert_ne!(one.healthy(3).subnet, two.healthy(3).subnet);
    let key = two.files().private_key();
    assert_ne!(lab::fs::read(&one.files().private_key()).ok(), lab::fs::read(&key).ok());

    one.ok(["down", "-y"]);
    one.gone();
    two.healthy(3);
    two.run(["up"]).ends_with(0).says("nothing to do");
}

#[test]
fn a_lab_of_another_folder_is_left_alone() {
    let lab = TestLab::with_nodes("folder", 1);
    let elsewhere = lab.file("elsewhere");
    lab::fs::create_dir(&elsewhere).expect("the temporary folder is ours");
    let up = crate::kit::Run::of(&lab.cmd(["up"]), elsewhere.as_std_path());
    up.ends_with(1).says(lab.project().as_str());
    lab.healthy(1);
}
