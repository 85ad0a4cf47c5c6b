//! What stacks are read as, and what is said of those that make no sense.

use std::sync::Arc;

use super::*;
use crate::config::DEFAULT_STACK;
use crate::fleet::placement::{Machine, Snapshot, Standing, Unit, settle};
use crate::fleet::records::{MachineId, Phase, Scheduling};
use crate::model::{LabName, NodeName, Topology};

const UNIT: &str = "[Service]\nExecStart=/bin/true\n";

fn parse(files: &[(&str, &str)]) -> Result<Stack, StackError> {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Stack::parse("web", Utf8Path::new("services/web"), &files)
}

fn names(stack: &Stack) -> Vec<&str> {
    stack.units.iter().map(|(name, _)| name.as_str()).collect()
}

/// Returns an error with its cause and its hint, as users see them.
fn told(error: &StackError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!("because: {cause}\n"));
    let hint = error.hint().map(|hint| format!("hint: {hint}\n"));
    format!("{error}\n{}{}", cause.unwrap_or_default(), hint.unwrap_or_default())
}

/// A project with these files below `services/web`.
fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    for (name, text) in files {
        fs::write(&path.join("services/web").join(name), text, fs::Access::Public).unwrap();
    }
    (dir, path)
}

#[test]
fn units_come_in_the_order_of_the_list() {
    let list = "# first what others need\n\n b.service # the base\na@2.service\r\na@1.service\n";
    let own = "[Unit]\nDescription=one of its own\n";
    let files = [("units", list), ("a@.service", UNIT), ("a@1.service", own), ("b.service", UNIT)];
    let stack = parse(&files).unwrap();
    assert_eq!(stack.name, "web");
    assert_eq!(names(&stack), ["b.service", "a@2.service", "a@1.service"]);
    let text = |index: usize| stack.units[index].1.text();
    assert_eq!((text(1), text(2)), (UNIT, own), "a file of its own wins over the template");
}

#[test]
fn without_a_list_all_units_but_templates_are_started_by_name() {
    let files = [("b.timer", UNIT), ("a@.service", UNIT), ("a@1.service", UNIT), ("a.service", UNIT)];
    assert_eq!(names(&parse(&files).unwrap()), ["a.service", "a@1.service", "b.timer"]);
}

#[test]
fn what_makes_no_sense_is_told_with_its_place() {
    let cases: [&[(&str, &str)]; 11] = [
        &[("a@.service", UNIT)],
        &[("units", "# none yet\n"), ("a.service", UNIT)],
        &[("units", "a.service\n\nhello\n"), ("a.service", UNIT)],
        &[("units", "a.service # one\na.service # two\n"), ("a.service", UNIT)],
        &[("units", "a@.service\n"), ("a@.service", UNIT)],
        &[("units", "b@1.service"), ("a@.service", UNIT)],
        &[("units", "../x.service"), ("a.service", UNIT)],
        &[("my unit.service", UNIT)],
        &[("a.service", "[Service\n")],
        &[("a.service", "[X-Fleet]\nMachineMetadata=disk\n")],
        &[("units", "a@1.service"), ("a@.service", "[X-Fleet]\nGlobal=true\nMachineOf=b.service\n")],
    ];
    let all = cases.map(|files| told(&parse(files).unwrap_err()));
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_folder_of_the_project_is_read_with_what_people_keep_there() {
    let files = [
        ("a.service", UNIT),
        ("README.md", "about it"),
        ("notes", "more"),
        (".a.service.swp", "\0"),
        ("a.service.d/10.conf", ""),
        ("old.service/x", ""),
    ];
    let (_dir, project) = project(&files);
    assert_eq!(names(&Stack::load(&project, "web").unwrap()), ["a.service"]);
}

#[test]
fn the_project_wins_over_what_comes_with_lab() {
    let (_dir, project) = project(&[("mine.service", UNIT)]);
    let shipped = Stack::load(&project, DEFAULT_STACK).unwrap();
    assert_eq!(names(&shipped)[0], "demo-hello@1.service");
    let folder = project.join("services").join(DEFAULT_STACK);
    fs::write(&folder.join("mine.service"), UNIT, fs::Access::Public).unwrap();
    assert_eq!(names(&Stack::load(&project, DEFAULT_STACK).unwrap()), ["mine.service"]);
}

#[test]
fn a_stack_that_is_nowhere_is_told_with_those_that_are() {
    let error = Stack::load(Utf8Path::new("/nowhere"), "shop").unwrap_err();
    assert_eq!(
        told(&error),
        "there is no stack `shop`: neither `/nowhere/services/shop` in the project nor one that comes with lab\n\
         hint: lab has `demo`; `--stack none`, or `stack = \"none\"` in lab.toml, starts nothing\n"
    );
}

#[test]
fn a_folder_without_files_is_told() {
    let (_dir, project) = project(&[("sub/x", "")]);
    assert!(matches!(Stack::load(&project, "web"), Err(StackError::Empty { .. })));
}

/// Returns where the units of the demo go in a lab of so many nodes; global ones go nowhere.
fn demo_on(nodes: u16) -> Vec<(String, Option<String>)> {
    let lab = Topology::fresh(LabName::parse("web").unwrap(), "0011".into(), "10.77.3.0/24".parse().unwrap());
    let lab = lab.resized(&NodeName::parse("core").unwrap(), nodes).unwrap();
    let machines = lab.nodes.iter().map(|node| {
        let machine = Machine {
            name: node.name.to_string(),
            metadata: lab.config(node).fleet.unwrap().metadata,
            scheduling: Scheduling::Open,
            memory_bytes: None,
            standing: Standing::Here,
        };
        (MachineId::new(node.name.as_str()), machine)
    });
    let stack = Stack::load(Utf8Path::new("/nowhere"), DEFAULT_STACK).unwrap();
    let units = stack.units.iter().map(|(name, file)| {
        let unit = Unit {
            needs: Ok(Arc::new(Needs::of(name, file).unwrap())),
            desired: Phase::Launched,
            machine: None,
            wish: None,
            reported_on: std::collections::BTreeSet::new(),
        };
        (name.clone(), unit)
    });
    let snapshot = Snapshot { machines: machines.collect(), units: units.collect(), ..Snapshot::default() };
    let (end, _) = settle(snapshot);
    let scheduled = end.units.iter().filter(|(_, unit)| !unit.is_global());
    scheduled.map(|(name, unit)| (name.to_string(), unit.machine.as_ref().map(ToString::to_string))).collect()
}

#[test]
fn the_demo_finds_a_place_in_labs_of_all_sizes() {
    for nodes in 1..=6 {
        let placed = demo_on(nodes);
        assert_eq!(placed.len(), 3);
        assert!(placed.iter().all(|(_, machine)| machine.is_some()), "{nodes}: {placed:?}");
        let on = |unit: &str| placed.iter().find(|(name, _)| name == unit).unwrap().1.clone();
        assert_eq!(on("demo-buddy.service"), on("demo-hello@1.service"));
        if nodes >= 3 {
            assert_ne!(on("demo-hello@2.service"), on("demo-hello@1.service"));
        }
    }
}

#[test]
fn the_demo_explains_itself_and_takes_what_differs_from_the_node() {
    let stack = Stack::load(Utf8Path::new("/nowhere"), DEFAULT_STACK).unwrap();
    for (name, file) in &stack.units {
        assert!(!file.description().is_empty(), "{name}");
        let env: Vec<&str> = file.values("Service", "EnvironmentFile").map(|(_, value)| value).collect();
        assert_eq!(env, ["/etc/lab/env"], "{name}");
    }
}
