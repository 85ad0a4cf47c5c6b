//! Nodes that Vagrant makes, where Vagrant and the hypervisor below it are scripts that say what real ones said.

use std::fmt::Write as _;

use super::kit::Sandbox;

/// VirtualBox without any machine, and with one network that somebody else made.
const VBOXMANAGE: &str = r#"#!/bin/sh
echo "$*" >> "$0.asked"
case "$*" in
    "list hostonlyifs") printf 'Name:            vboxnet0\nIPAddress:       192.168.56.1\n' ;;
    "hostonlyif create") echo "Interface 'vboxnet1' was successfully created" ;;
    showvminfo*)
        echo "VBoxManage: error: Could not find a registered machine named '$2'" >&2
        echo "VBoxManage: error: Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)" >&2
        exit 1
        ;;
esac
"#;

/// libvirt without any machine.
const VIRSH: &str = r#"#!/bin/sh
case "$*" in
    *domstate*) echo "error: failed to get domain" >&2; exit 1 ;;
esac
"#;

/// A Vagrant that says of `up` what was recorded, and does nothing else.
const REPLAY: &str = r#"#!/bin/sh
echo "$*" >> "$0.asked"
case $1 in
    --version) echo "Vagrant 2.3.4" ;;
    up) cat "$0.says"; cat "$0.complains" >&2; exit 1 ;;
esac
"#;

const UP: [&str; 7] = ["up", "--nodes", "1", "--provider", "vagrant", "--vagrant-provider", "virtualbox"];

/// Scripts by their names.
type Programs<'a> = &'a [(&'a str, &'a str)];

/// A host on which these are the only programs besides those of the system.
fn host(programs: Programs) -> Sandbox {
    let sandbox = Sandbox::new().inside("bin");
    for (name, script) in programs {
        sandbox.write(name, script);
        sandbox.mode(&format!("bin/{name}"), 0o755);
    }
    // What a host may have of these is not to be found.
    for name in ["sh", "cat"] {
        std::os::unix::fs::symlink(format!("/bin/{name}"), sandbox.path(name)).unwrap();
    }
    let path = sandbox.path("");
    // The box is there, as fetching it takes a time that no snapshot knows.
    for provider in ["virtualbox", "libvirt"] {
        let folder = sandbox.path("../home/.vagrant.d/boxes/it-VAGRANTSLASH-vm/0").join(provider);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::File::create(folder.join("metadata.json")).unwrap();
    }
    let sandbox = sandbox.inside("home/shop");
    sandbox.write("lab.toml", "[vagrant]\nbox = \"it/vm\"\n");
    sandbox.env("PATH", path.as_str()).env("LAB_STACK", "none")
}

/// A host whose Vagrant fails as it was recorded.
fn failing(says: &str, complains: &str) -> Sandbox {
    let sandbox = host(&[("VBoxManage", VBOXMANAGE), ("virsh", VIRSH), ("vagrant", REPLAY)]).inside("bin");
    sandbox.write("vagrant.says", says).write("vagrant.complains", complains);
    sandbox.inside("home/shop")
}

fn recorded(name: &str) -> String {
    let path = format!("{}/tests/data/vagrant/{name}.log", env!("CARGO_MANIFEST_DIR"));
    String::from_utf8(std::fs::read(path).unwrap()).unwrap()
}

fn asked(sandbox: &Sandbox, program: &str) -> Vec<String> {
    let text = sandbox.read(&format!("../../bin/{program}.asked"));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn each_failure_is_told_with_the_node_the_words_the_log_and_the_cure() {
    let mut all = String::new();
    for (name, last_words) in [
        ("virtualbox-aborted", "This is very rarely a Vagrant issue."),
        ("virtualbox-disk-full-clone", "VERR_DISK_FULL"),
        ("virtualbox-disk-full-import", "VERR_DISK_FULL"),
        ("virtualbox-hostonly-range", "VBoxManageHostonly.cpp"),
        ("virtualbox-hostonly-range-vagrant", "Ranges: 192.168.56.0/21"),
        ("virtualbox-no-vtx", "VERR_VMX_NO_VMX"),
        ("virtualbox-port-collision", "23011"),
        ("virtualbox-ssh-timeout", "config.vm.boot_timeout"),
        ("virtualbox-vtx-held", "VERR_VMX_IN_VMX_ROOT_MODE"),
    ] {
        let text = recorded(name);
        let sandbox = failing(&text, "");
        let run = sandbox.lab(&UP);
        let told = &run.stderr;
        assert_eq!(run.code, 1, "{name}: {}", run.shown());
        for part in ["core-01", last_words, "hint: ", "/top/home/shop/.lab/shop/vagrant/log/up-core-01.log"] {
            assert!(told.contains(part), "{name} does not tell `{part}`: {told}");
        }
        let log = sandbox.read(".lab/shop/vagrant/log/up-core-01.log");
        let (first, rest) = log.split_once('\n').unwrap();
        assert!(first.starts_with("$ ") && first.ends_with("up --no-provision --machine-readable core-01"));
        assert_eq!(rest, text, "{name}");
        let ups = asked(&sandbox, "vagrant").iter().filter(|line| line.starts_with("up ")).count();
        assert_eq!(ups, if name.ends_with("port-collision") { 2 } else { 1 }, "{name}");
        let hint = told.lines().find(|line| line.starts_with("hint: ")).unwrap();
        writeln!(all, "{name}\n    {hint}").unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_failure_is_shown_like_this() {
    let sandbox = failing(&recorded("virtualbox-no-vtx"), "");
    insta::assert_snapshot!(sandbox.lab(&UP).shown());
    // What was begun is removed without Vagrant, as it never knew a machine.
    let down = sandbox.lab(&["down", "-y"]);
    assert_eq!(down.code, 0, "{}", down.shown());
    assert_eq!(sandbox.tree().iter().filter(|path| path.contains("shop/.lab")).count(), 0);
    let asked = asked(&sandbox, "VBoxManage");
    assert!(
        asked
            .iter()
            .any(|line| line == "hostonlyif ipconfig vboxnet1 --ip 192.168.57.1 --netmask 255.255.255.0")
    );
}

#[test]
fn what_one_vagrant_says_of_several_nodes_is_told_once() {
    let text = "1,core-01,action,up,start\n1,core-02,action,up,start\n\
        2,,error-exit,Vagrant::Errors::BoxNotFound,The box could not be found.\n";
    let up = ["up", "--nodes", "2", "--provider", "vagrant", "--vagrant-provider", "libvirt"];
    let run = failing(text, "").lab(&up);
    insta::assert_snapshot!(run.shown());
    assert_eq!(run.stderr.matches("The box could not be found.").count(), 1, "{}", run.shown());
}

#[test]
fn a_vagrant_that_cannot_begin_is_told_by_rubys_own_words() {
    let early = "Vagrant failed to initialize at a very early stage:\n\nThere is a syntax error.\n";
    insta::assert_snapshot!(failing("", early).lab(&UP).shown());
}

#[test]
fn programs_that_are_missing_or_too_old_are_told_with_their_cure() {
    let old = REPLAY.replace("2.3.4", "2.2.9");
    let odd = REPLAY.replace("Vagrant 2.3.4", "hello");
    let hosts: [(&str, Programs, i32); 4] = [
        ("no Vagrant", &[("VBoxManage", VBOXMANAGE)], 6),
        ("no VirtualBox", &[("vagrant", REPLAY)], 6),
        ("an old Vagrant", &[("VBoxManage", VBOXMANAGE), ("vagrant", &old)], 6),
        ("something else", &[("VBoxManage", VBOXMANAGE), ("vagrant", &odd)], 1),
    ];
    let mut all = String::new();
    for (name, programs, code) in hosts {
        let run = host(programs).lab(&UP);
        assert_eq!(run.code, code, "{name}: {}", run.shown());
        writeln!(all, "{name}\n{}", run.shown()).unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn virtualbox_does_not_get_a_network_that_it_refuses() {
    let sandbox = failing("", "");
    let run = sandbox.lab(&[UP.as_slice(), &["--subnet", "10.213.7.0/24"]].concat());
    assert_eq!(run.code, 2, "{}", run.shown());
    insta::assert_snapshot!(run.shown());
    assert!(!asked(&sandbox, "VBoxManage").iter().any(|line| line.starts_with("hostonlyif")));
}

#[test]
fn a_damaged_nodes_file_is_told_with_a_way_out() {
    let sandbox = failing(&recorded("virtualbox-no-vtx"), "");
    assert_eq!(sandbox.lab(&UP).code, 1);
    sandbox.write(".lab/shop/vagrant/nodes.json", "{");
    for verb in [&["status"][..], &["down", "-y"]] {
        let run = sandbox.lab(verb);
        assert!(run.code == 1 && run.stderr.contains("hint: "), "{}", run.shown());
    }
}
