//! What is typed: help, mistakes, and output that somebody else reads.

use std::io::Read;
use std::process::Stdio;

use super::engine::{EMPTY, Engine};
use super::kit::Sandbox;

const VERBS: [&str; 30] = [
    "up",
    "status",
    "ssh",
    "exec",
    "cp",
    "logs",
    "unit",
    "units",
    "stack",
    "machines",
    "why",
    "plan",
    "cordon",
    "uncordon",
    "drain",
    "rebalance",
    "images",
    "reload-images",
    "box",
    "halt",
    "down",
    "adopt",
    "ls",
    "doctor",
    "init",
    "validate",
    "open",
    "env",
    "ssh-config",
    "completions",
];
const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "elvish", "powershell"];

#[test]
fn help_is_there_for_every_verb_and_in_both_ways() {
    let sandbox = Sandbox::new();
    let whole = sandbox.lab(&["--help"]).done();
    assert_eq!(whole.stderr, "");
    let listed = whole
        .stdout
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let names: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, [&VERBS[..], &["help"]].concat());
    for verb in VERBS {
        let help = sandbox.lab(&[verb, "--help"]).done();
        assert_eq!(help.stderr, "");
        assert!(help.stdout.contains(&format!("\nUsage: lab {verb}")), "{}", help.stdout);
        assert_eq!(sandbox.lab(&["help", verb]), help);
        assert_eq!(sandbox.lab(&[verb, "-h"]).done().stderr, "");
    }
    assert!(sandbox.tree().iter().eq(&["home/shop"]), "help makes no files");
}

#[test]
fn help_reads_as_it_was_written() {
    insta::assert_snapshot!(Sandbox::new().transcript(&[&["-h"], &["up", "-h"], &["down", "-h"]]));
}

const UNIT_VERBS: [&str; 11] =
    ["start", "stop", "restart", "load", "unload", "submit", "destroy", "cat", "status", "journal", "ls"];

#[test]
fn help_for_units_reads_as_it_was_written_and_has_examples() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.transcript(&[
        &["unit", "-h"],
        &["unit", "start", "-h"],
        &["drain", "-h"]
    ]));
    let help = |words: &[&str]| sandbox.lab(&[&["help"], words].concat()).done().stdout;
    let of_units = UNIT_VERBS.map(|verb| help(&["unit", verb]));
    let others = ["units", "machines", "why", "plan", "cordon", "uncordon", "drain", "rebalance"];
    for text in of_units.into_iter().chain(others.map(|verb| help(&[verb]))) {
        assert!(text.contains("\nExamples:\n  lab "), "{text}");
    }
}

#[test]
fn units_that_no_cluster_can_have_are_refused_before_anything_is_asked() {
    let engine = Engine::start(EMPTY);
    insta::assert_snapshot!(engine.sandbox().transcript(&[
        &["unit", "start"],
        &["unit", "start", ""],
        &["unit", "start", "a b"],
        &["unit", "start", "@.service"],
        &["unit", "stop", "web["],
        &["unit", "cat", "x@y.mount"],
        &["why", "a/"],
        &["unit", "start", "web", "--wait", "soon"],
        &["unit", "journal", "web", "-n", "all"],
        &["cordon"],
        &["unit", "strat", "web"],
    ]));
    assert_eq!(engine.asked(), Vec::<String>::new());
}

#[test]
fn the_version_is_that_of_the_package() {
    let run = Sandbox::new().lab(&["--version"]).done();
    assert_eq!(run.stdout, format!("lab {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn nothing_typed_shows_the_usage_and_fails() {
    let run = Sandbox::new().lab(&[]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert!(run.stderr.contains("Usage: lab [OPTIONS] <COMMAND>"), "{}", run.stderr);
}

#[test]
fn what_cannot_be_read_is_explained() {
    insta::assert_snapshot!(Sandbox::new().transcript(&[
        &["upp"],
        &["frobnicate"],
        &["up", "--node", "3"],
        &["up", "extra"],
        &["--progress", "loud", "up"],
        &["status", "-o", "yaml"],
        &["completions", "tcsh"],
        &["ssh"],
        &["--wait-lock", "soon", "up"],
    ]));
}

#[test]
fn values_that_no_lab_can_have_are_refused_before_anything_is_asked() {
    let engine = Engine::start(EMPTY);
    let sandbox = engine.sandbox();
    insta::assert_snapshot!(sandbox.transcript(&[
        &["up", "--nodes", "0"],
        &["up", "--nodes", "201"],
        &["up", "--nodes", "10000"],
        &["up", "--nodes", "70000"],
        &["up", "--nodes", "x"],
        &["up", "--nodes=-1"],
        &["up", "--nodes", ""],
        &["up", "--lab", "Web"],
        &["up", "--lab", ""],
        &["up", "--lab", "-x"],
        &["up", "--lab=a/../b"],
        &["up", "--lab", "an-exceedingly-long-name-that-has-41-letter"],
        &["up", "--subnet", "8.8.8.0/24"],
        &["up", "--subnet", "10.77.0.0/16"],
        &["up", "--subnet", "10.77.0.1/24"],
        &["up", "--subnet", "10.77.0.0"],
        &["up", "--subnet", "fd00::/64"],
        &["up", "--memory", "12MiB"],
        &["up", "--memory", "lots"],
        &["up", "--memory", "2PiB"],
        &["up", "--memory=-1GiB"],
        &["up", "--cpus", "0"],
        &["up", "--cpus", "nan"],
        &["up", "--provider", "vmware"],
        &["up", "--prefix", "Core_"],
        &["up", "--base-image", "--privileged"],
        &["up", "--base-image=a b"],
        &["up", "--fence=maybe"],
        &["up", "--stack", "../web"],
        &["up", "--stack", ""],
        &["init", "--nodes", "0"],
    ]));
    assert_eq!(engine.asked(), Vec::<String>::new());
    assert_eq!(sandbox.tree(), ["home/shop"]);
}

#[test]
fn a_variable_has_the_limits_of_its_flag() {
    let refused = |name: &str, value: &str| Sandbox::new().env(name, value).lab(&["up"]).shown();
    insta::assert_snapshot!(
        [
            refused("LAB_NODES", "0"),
            refused("LAB_NODES", "many"),
            refused("LAB_LAB", "My Lab"),
            refused("LAB_SUBNET", "1.2.3.0/24"),
            refused("LAB_MEMORY", "1"),
            refused("LAB_PROGRESS", "loud"),
            refused("LAB_FENCE", "maybe"),
            refused("LAB_STACK", "My Stack"),
        ]
        .join("\n")
    );
}

#[test]
fn every_shell_gets_its_completions() {
    let sandbox = Sandbox::new();
    for shell in SHELLS {
        let script = sandbox.lab(&["completions", shell]).done();
        assert_eq!(script.stderr, "");
        assert!(script.stdout.contains("COMPLETE"), "{}", script.stdout);
    }
}

#[test]
fn completions_offer_verbs_and_are_silent_about_what_is_wrong() {
    let complete = |sandbox: Sandbox, words: &[&str]| {
        let args = [&["--", "lab"], words].concat();
        let index = words.len().to_string();
        sandbox.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", &index).lab(&args).done()
    };
    let verbs = complete(Sandbox::new(), &["stat"]);
    assert_eq!((verbs.stdout.trim(), verbs.stderr.as_str()), ("status", ""));
    let broken = Sandbox::new();
    broken.write("lab.toml", "nodez = 3\n");
    let nodes = complete(broken.without("HOME"), &["ssh", "co"]);
    assert_eq!((nodes.stdout.trim(), nodes.stderr.as_str()), ("", ""));
}

#[test]
fn nobody_reading_is_no_error() {
    for args in [&["up", "--help"][..], &["validate", "--schema"], &["completions", "bash"]] {
        let sandbox = Sandbox::new();
        let mut command = sandbox.command(args);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        // The pipe's other end must be gone here too, or the program would see an open one.
        drop(command);
        let mut talk = String::new();
        child.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.code(), talk.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn no_escape_codes_go_where_there_is_no_terminal() {
    let engine = Engine::start(EMPTY);
    for args in [
        &["--help"][..],
        &["upp"],
        &["up", "--nodes", "0"],
        &["up", "--dry-run"],
        &["--progress", "tty", "status"],
        &["--verbose", "status"],
    ] {
        for variables in [&[("TERM", "xterm-256color")][..], &[("NO_COLOR", "1")], &[("CLICOLOR", "0")]] {
            let sandbox =
                variables.iter().fold(engine.sandbox(), |sandbox, (name, value)| sandbox.env(name, value));
            let shown = sandbox.lab(args).shown();
            assert!(!shown.contains('\u{1b}'), "{args:?} {variables:?}: {shown}");
        }
    }
}
