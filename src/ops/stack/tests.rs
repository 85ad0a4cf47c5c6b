//! What stacks are read as, and what is said of those that make no sense.

use std::sync::Arc;

use super::*;
use crate::config::DEFAULT_STACK;
use crate::fleet::placement::{Machine, Snapshot, Standing, Unit, settle};
use crate::fleet::records::{MachineId, Phase, Scheduling};
use crate::fleet::unit::Needs;
use crate::fs;
use crate::model::{LabName, NodeName, Topology};

const UNIT: &str = "[Service]\nExecStart=/bin/true\n";

fn parse(files: &[(&str, &str)]) -> Result<Stack, StackError> {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Stack::parse("web", Utf8Path::new("services/web"), &files)
}

/// Loads a stack, with what it builds from laid out where nobody looks for it later.
fn load(project: &Utf8Path, name: &str) -> Result<Stack, StackError> {
    let shelf = tempfile::tempdir().unwrap();
    Stack::load(project, Utf8Path::from_path(shelf.path()).unwrap(), name)
}

fn names(stack: &Stack) -> Vec<&str> {
    stack.units.iter().map(|unit| unit.name.as_str()).collect()
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
    let text = |index: usize| stack.units[index].file.text();
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
    assert_eq!(names(&load(&project, "web").unwrap()), ["a.service"]);
}

#[test]
fn the_project_wins_over_what_comes_with_lab() {
    let (_dir, project) = project(&[("mine.service", UNIT)]);
    let shipped = load(&project, DEFAULT_STACK).unwrap();
    assert_eq!(names(&shipped)[0], "demo-hello@1.service");
    let folder = project.join("services").join(DEFAULT_STACK);
    fs::write(&folder.join("mine.service"), UNIT, fs::Access::Public).unwrap();
    assert_eq!(names(&load(&project, DEFAULT_STACK).unwrap()), ["mine.service"]);
}

#[test]
fn a_stack_that_is_nowhere_is_told_with_those_that_are() {
    let error = load(Utf8Path::new("/nowhere"), "shop").unwrap_err();
    assert_eq!(
        told(&error),
        "there is no stack `shop`: neither `/nowhere/services/shop` in the project nor one that comes with lab\n\
         hint: lab has `consul`, `demo`, `mesos-ha`, `postgres-ha`, `registry`, `zookeeper`; `--stack none`, or `stack = \"none\"` in lab.toml, starts nothing\n"
    );
}

#[test]
fn a_folder_without_files_is_told() {
    let (_dir, project) = project(&[("sub/x", "")]);
    assert!(matches!(load(&project, "web"), Err(StackError::Empty { .. })));
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
    let stack = load(Utf8Path::new("/nowhere"), DEFAULT_STACK).unwrap();
    let units = stack.units.iter().map(|StackUnit { name, file, .. }| {
        let unit = Unit {
            needs: Ok(Arc::new(Needs::of(name, file).unwrap())),
            desired: Phase::Launched,
            machine: None,
            wish: None,
            reported_on: BTreeSet::new(),
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
    let stack = load(Utf8Path::new("/nowhere"), DEFAULT_STACK).unwrap();
    for StackUnit { name, file, .. } in &stack.units {
        assert!(!file.description().is_empty(), "{name}");
        let env: Vec<&str> = file.values("Service", "EnvironmentFile").map(|(_, value)| value).collect();
        assert_eq!(env, ["/etc/lab/env"], "{name}");
    }
}

mod described {
    use super::*;
    use crate::model::image::ImageSource;
    use crate::model::{FleetSettings, Metadata};

    const STORE: &str = "[Service]\nExecStart=/x ${LAB_STORE_HOSTS}\n[X-Fleet]\nMachineMetadata=store=true\n\
        Conflicts=store@*.service\n";
    const SIDE: &str = "[Service]\nExecStart=/x ${LAB_STORE_NUMBER}\n[X-Fleet]\nMachineOf=store@%i.service\n";
    const WEB: &str = "[Service]\nExecStart=/x $COLOUR\n[X-Fleet]\nGlobal=true\n";
    const FILE: &str = "description = \"d\"\nenv = { COLOUR = \"red\" }\n\
        [roles.store]\nnodes = \"odd\"\nport = 2181\n[roles.web]\nnodes = \"all\"\nneeds = [\"store\"]\n\
        [images.store]\nbuild = \"image\"\n[images.web]\npull = \"web:1\"\n\
        [[units]]\nname = \"store@\"\nrole = \"store\"\nimages = [\"store\"]\nports = [2181]\ncheck = { port = 2181 }\n\
        [[units]]\nname = \"side@\"\nrole = \"store\"\nports = [2182]\n\
        [[units]]\nname = \"web\"\nrole = \"web\"\nimages = [\"web\"]\nports = [80]\n\
        [[endpoints]]\nname = \"web\"\nunit = \"web\"\nport = 80\n";

    fn files(file: &str) -> Files {
        let all =
            [("stack.toml", file), ("store@.service", STORE), ("side@.service", SIDE), ("web.service", WEB)];
        all.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
    }

    fn stack(file: &str) -> Result<Stack, StackError> {
        Stack::parse("shop", Utf8Path::new("services/shop"), &files(file))
    }

    /// A lab of so many nodes with these stacks, and whatever lab.toml says of single nodes.
    fn lab(stacks: &Stacks, nodes: u16, told: &[(&str, &str, &str)]) -> Topology {
        let (name, subnet) = (LabName::parse("web").unwrap(), "10.77.3.0/24".parse().unwrap());
        let lab = Topology::fresh(name, "0011".into(), subnet);
        let lab = lab.resized(&NodeName::parse("core").unwrap(), nodes).unwrap();
        let mut fleet = FleetSettings::default();
        for (node, key, value) in told {
            let metadata: &mut Metadata =
                fleet.node_metadata.entry(NodeName::parse(node).unwrap()).or_default();
            metadata.insert((*key).to_owned(), (*value).to_owned());
        }
        let images = stacks.with_images(&[]).unwrap();
        Topology { stacks: stacks.roles(&images), fleet, ..lab }
    }

    fn shop() -> Stacks {
        Stacks::of(vec![stack(FILE).unwrap()])
    }

    #[test]
    fn a_file_says_what_units_are_and_what_they_read() {
        let stack = stack(FILE).unwrap();
        assert_eq!(names(&stack), ["store@.service", "side@.service", "web.service"]);
        let reads = |index: usize| stack.units[index].reads.iter().map(RoleName::as_str).collect::<Vec<_>>();
        // A node's own number is the same whoever else takes part.
        assert_eq!((reads(0), reads(1), reads(2)), (vec!["store"], vec![], vec![]));
        assert_eq!(stack.units.iter().map(|unit| unit.reads_env).collect::<Vec<_>>(), [false, false, true]);
        let folder = |spec: &ImageSpec| match &spec.source {
            ImageSource::Build(build) => build.folder.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(folder(&stack.images[0]), "services/shop/image");
        let Ask::Http { status, .. } = stack.endpoints[0].check.ask.clone() else {
            panic!("a page is asked for")
        };
        assert!(status.contains(404) && !status.contains(503));
    }

    #[test]
    fn units_are_numbered_by_the_members_and_labelled_with_what_they_were_made_for() {
        let (stacks, id) = (shop(), crate::model::image::Digest::of("image"));
        let images = stacks.with_images(&[]).unwrap();
        let made = |nodes, ids: &[(&str, crate::model::image::Digest)]| {
            let duties = lab(&stacks, nodes, &[]).duties().unwrap();
            let ids = ids.iter().map(|(key, id)| ((*key).to_owned(), *id)).collect();
            stacks.instances(&duties, &images, &ids)
        };
        let all = made(4, &[("store", id)]);
        let told: Vec<String> = all.iter().map(|one| format!("{} {}", one.level, one.name)).collect();
        let want = ["0 store@1", "0 store@2", "0 store@3", "0 side@1", "0 side@2", "0 side@3", "1 web"];
        assert_eq!(told, want.map(|name| format!("{name}.service")));
        let file = all[0].file.text();
        assert!(file.starts_with(STORE) && file.contains("\n[X-Lab]\nStack=shop\n"), "{file}");
        assert!(
            file.contains(&format!("Image=store:latest {id}\nMembers=store core-01,core-02,core-03\n")),
            "{file}"
        );
        let labels = |one: &Instance| labels(&one.file);
        assert_eq!(labels(&all[0]).stack.as_deref(), Some("shop"));

        // What changes restarts those that it is about, and nobody else.
        let (other, unknown) = (crate::model::image::Digest::of("other"), made(4, &[]));
        let renewed = made(4, &[("store", other)]);
        assert_eq!(labels(&all[0]).difference(&labels(&renewed[0])), "its image changed");
        assert!(labels(&all[0]).runs_another_image(&labels(&renewed[0])));
        assert!(!labels(&all[0]).runs_another_image(&labels(&unknown[0])), "it has to be made first");
        assert_eq!(all[3].file, renewed[3].file);
        let wider = made(5, &[("store", id)]);
        assert_eq!(labels(&all[0]).difference(&labels(&wider[0])), "the members of store changed");
        assert_eq!(all[3].file, wider[5].file, "a sidekick reads its own number only");
    }

    #[test]
    fn images_go_where_their_units_may_come_to() {
        let stacks = shop();
        let lab = lab(&stacks, 4, &[("core-02", "store", "no")]);
        let destinations = stacks.destinations(&lab);
        let nodes = |key: &str| -> Vec<&str> {
            lab.nodes
                .iter()
                .map(|node| &node.name)
                .filter(|node| destinations.include(key, node))
                .map(NodeName::as_str)
                .collect()
        };
        assert_eq!(nodes("store"), ["core-01", "core-03", "core-04"]);
        assert_eq!(nodes("web").len(), 4);
        assert_eq!(nodes("somebody-elses").len(), 4);
    }

    #[test]
    fn ports_clash_only_where_units_can_meet() {
        #[track_caller]
        fn check(change: (&str, &str), told: &[(&str, &str, &str)], want: &[&str]) {
            let text = FILE.replace(change.0, change.1);
            let stacks = Stacks::of(vec![stack(&text).unwrap()]);
            let clashes = match stacks.check_ports(&lab(&stacks, 3, told)) {
                Ok(()) => Vec::new(),
                Err(StackError::Ports(clashes)) => clashes,
                Err(other) => panic!("{other}"),
            };
            assert_eq!(clashes, want);
        }
        check(("", ""), &[], &[]);
        let both = "`store@.service` and `web.service` both take port 2181, and both may come to core-01";
        check(("ports = [80]", "ports = [80, 2181]"), &[], &[both]);
        check(
            ("ports = [80]", "ports = [2379]"),
            &[],
            &["`web.service` takes port 2379, which etcd has on each node"],
        );
        check(
            ("ports = [2182]", "ports = [2181]"),
            &[],
            &["`store@.service` and `side@.service` both take port 2181, and both may come to core-01"],
        );
    }

    #[test]
    fn instances_that_may_share_a_node_cannot_share_a_port() {
        let mut files = files(FILE);
        files.insert("store@.service".to_owned(), STORE.replace("Conflicts=store@*.service\n", ""));
        let stacks = Stacks::of(vec![Stack::parse("shop", Utf8Path::new("services/shop"), &files).unwrap()]);
        let error = stacks.check_ports(&lab(&stacks, 3, &[])).unwrap_err().to_string();
        assert!(error.contains("`Conflicts=store@*.service` in its file keeps them apart"), "{error}");
        stacks.check_ports(&lab(&stacks, 1, &[])).unwrap();
    }

    #[test]
    fn stacks_that_say_different_things_under_one_name_are_refused() {
        let one = || stack(FILE).unwrap();
        let told = |second: Stack| {
            let stacks = Stacks::of(vec![one(), Stack { name: "other".to_owned(), ..second }]);
            stacks.check().map_err(|error| error.to_string())
        };
        let nothing = Stack { roles: Vec::new(), units: Vec::new(), endpoints: Vec::new(), ..one() };
        assert_eq!(told(nothing.clone()), Ok(()));
        let refused = |second, what: &str| {
            let want = format!("the stacks `shop` and `other` cannot be in one lab: both have {what}");
            assert_eq!(told(second), Err(want));
        };
        refused(one(), "a role `store`");
        refused(Stack { units: one().units, ..nothing.clone() }, "a unit `store@.service`");
        refused(Stack { endpoints: one().endpoints, ..nothing.clone() }, "an endpoint `web`");
        let env = [("COLOUR".to_owned(), "blue".to_owned())].into();
        refused(Stack { env, ..nothing.clone() }, "a variable `COLOUR`");
        let mut images = one().images;
        images[1].name = crate::model::image::ImageName::parse("web:2").unwrap();
        refused(Stack { images, ..nothing }, "an image `web`");
    }

    #[test]
    fn what_lab_toml_says_of_an_image_wins_and_what_nobody_says_is_told() {
        let stacks = shop();
        let mut own = stacks.with_images(&[]).unwrap();
        own.retain(|spec| spec.key == "web");
        own[0].name = crate::model::image::ImageName::parse("mine/web:7").unwrap();
        let all = stacks.with_images(&own).unwrap();
        let variables = stacks.roles(&all).variables;
        assert_eq!(variables["LAB_IMAGE_WEB"], "mine/web:7");
        assert_eq!(
            (variables["LAB_IMAGE_STORE"].as_str(), variables["COLOUR"].as_str()),
            ("store:latest", "red")
        );
        let lost = Stacks::of(vec![stack(&FILE.replace("[images.web]\npull = \"web:1\"\n", "")).unwrap()]);
        assert_eq!(
            told(&lost.with_images(&[]).unwrap_err()),
            "`web.service` runs the image `web`, and nothing says where that comes from\n\
             hint: describe it in `[images.web]` of stack.toml or lab.toml, or put a Dockerfile into `images/web`\n"
        );
    }

    #[test]
    fn a_stack_is_thought_through_without_a_lab() {
        #[track_caller]
        fn check(files: &Files, told: &[(&str, &str, &str)], want: &[&str]) {
            let stacks =
                Stacks::of(vec![Stack::parse("shop", Utf8Path::new("services/shop"), files).unwrap()]);
            let stack = stacks.iter().next().unwrap().clone();
            let lab = lab(&stacks, 3, told);
            let examined = examine(&stacks, &stack, &lab, &stacks.with_images(&[]).unwrap());
            assert_eq!(examined.problems, want);
        }
        check(&files(FILE), &[], &[]);
        let all_out = [("core-01", "store", "no"), ("core-02", "store", "no"), ("core-03", "store", "no")];
        check(&files(FILE), &all_out, &["the role `store` wants 1 node, and no node can take it"]);
        let mut lost = files(FILE);
        lost.insert("web.service".to_owned(), "[Service]\nExecStart=/x $LAB_SHOP_HOSTS\nExecStartPre=docker pull x\n[X-Fleet]\nMachineMetadata=disk=ssd\n".to_owned());
        let nowhere = "`web.service` finds no node\n    core-01: it wants disk=ssd, the machine has no disk\n    \
            core-02: it wants disk=ssd, the machine has no disk\n    core-03: it wants disk=ssd, the machine has no disk";
        let want = [
            "`web.service` reads LAB_SHOP_HOSTS, which no role, image or lab of this stack sets",
            "`web.service` pulls its image while it starts; name it in `images` instead",
            nowhere,
        ];
        check(&lost, &[], &want);
    }

    #[test]
    fn what_the_file_says_of_units_that_makes_no_sense_is_told_with_its_line() {
        #[track_caller]
        fn check(from: &str, to: &str, want: &str) {
            let error = stack(&FILE.replace(from, to)).unwrap_err().to_string();
            assert_eq!(error.lines().next(), Some(format!("services/shop/stack.toml:{want}").as_str()));
        }
        let store = "name = \"store@\"\nrole = \"store\"";
        check(
            store,
            "name = \"store@\"",
            "13: `store@.service` is a template: `role` or `instances` has to say how many there are",
        );
        check(
            "name = \"web\"\nrole = \"web\"",
            "name = \"web\"\ninstances = 2",
            "23: `web.service` is one unit; only a template, such as `web@`, has instances",
        );
        // No endpoint names this one.
        let side = "name = \"side@\"";
        check(side, "name = \"sidx@\"", "19: `sidx@.service` has no file in this folder");
        check(side, "name = \"store@\"", "19: `store@.service` is listed a second time");
        check(side, "name = \"a b\"", "20:8: `name`: `a b` is not one word");
    }

    #[test]
    fn every_stack_that_ships_is_sound_in_labs_of_all_sizes() {
        for name in shipped::names() {
            let own = load(Utf8Path::new("/nowhere"), name)
                .unwrap_or_else(|error| panic!("{name}: {}", told(&error)));
            let stacks = Stacks::of(vec![own]);
            for nodes in [1, 2, 3, 4, 5, 7] {
                let lab = lab(&stacks, nodes, &[]);
                let stack = stacks.iter().next().unwrap();
                let examined = examine(&stacks, stack, &lab, &stacks.with_images(&[]).unwrap());
                assert_eq!(examined.problems, [""; 0], "{name} on {nodes}");
                assert!(!stack.description.is_empty(), "{name}");
            }
        }
    }

    #[test]
    fn a_stack_that_builds_finds_its_folders_where_they_are_laid_out() {
        let shelf = tempfile::tempdir().unwrap();
        let shelf = Utf8Path::from_path(shelf.path()).unwrap();
        let stack = Stack::load(Utf8Path::new("/nowhere"), shelf, "mesos-ha").unwrap();
        let ImageSource::Build(build) =
            &stack.images.iter().find(|spec| spec.key == "zookeeper").unwrap().source
        else {
            panic!("it is built")
        };
        assert!(
            build.folder.join("Dockerfile").is_file() && stack.folder.starts_with(shelf),
            "{}",
            build.folder
        );
        assert_eq!(Stack::load(Utf8Path::new("/nowhere"), shelf, "mesos-ha").unwrap(), stack);
    }

    #[test]
    fn a_stack_that_was_begun_or_copied_is_sound() {
        let folder = tempfile::tempdir().unwrap();
        let project = Utf8Path::from_path(folder.path()).unwrap();
        let service = Origin::Service { image: "example/web:1".to_owned(), port: 8080 };
        scaffold(project, "my-web", &service).unwrap();
        scaffold(project, "store", &Origin::Copy("zookeeper".to_owned())).unwrap();
        scaffold(project, "again", &Origin::Copy("store".to_owned())).unwrap();
        for name in ["my-web", "store", "again"] {
            let stacks =
                Stacks::of(vec![load(project, name).unwrap_or_else(|error| panic!("{}", told(&error)))]);
            let stack = stacks.iter().next().unwrap();
            let examined = examine(&stacks, stack, &lab(&stacks, 3, &[]), &stacks.with_images(&[]).unwrap());
            assert_eq!(examined.problems, [""; 0], "{name}");
        }
        assert!(project.join("services/again/image/Dockerfile").is_file());
        let error = scaffold(project, "store", &service).unwrap_err();
        assert!(told(&error).starts_with("there is a `"), "{error}");
        let error = scaffold(project, "new", &Origin::Copy("nothing".to_owned())).unwrap_err();
        assert!(matches!(error, StackError::Unknown { .. }));
    }

    #[test]
    fn copies_of_one_unit_in_several_stacks_are_equal() {
        let text = |stack: &str, unit: &str| shipped::files(stack).unwrap()[unit].clone();
        for unit in ["zookeeper@.service", "zookeeper-sidekick@.service"] {
            assert_eq!(text("zookeeper", unit), text("mesos-ha", unit));
        }
    }
}
