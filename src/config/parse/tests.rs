//! What is read of a `lab.toml`, and what is said of a bad one.

use proptest::prelude::*;

use super::*;
use crate::config::{FleetTable, MetadataTable, OneImage, Provider, VagrantTable};
use crate::model::{Bytes, FleetEngine, LabName, NodeName};

fn read(text: &str) -> Result<LabFile, Problems> {
    parse(text, Utf8Path::new("lab.toml"))
}

/// Returns what is said about a file that is wrong.
#[track_caller]
fn told(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[track_caller]
fn check(text: &str, first_line: &str) {
    let told = told(text);
    assert_eq!(told.lines().next(), Some(format!("lab.toml:{first_line}").as_str()), "{told}");
}

const WHOLE: &str = r#"
version = 1
name = "web"
nodes = 0x5
provider = "container"
stack = "web"
node = { prefix = "n", memory = "2GiB", cpus = 2 }
[network]
subnet = "10.77.9.0/24"
[fleet]
engine = "fleet"
fence = true
[metadata]
all = { zone = "a" }
n-01 = { disk = "ssd" }
[image]
base = "debian:12"
[images.web]
skip = true
[cache]
limit = "2GiB"
"#;

#[test]
fn every_key_is_read() {
    let want = LabFile {
        version: Some(1),
        name: Some(LabName::parse("web").unwrap()),
        nodes: Some(5),
        provider: Some(Provider::Container),
        stack: Some(vec!["web".to_owned()]),
        node: NodeTable {
            prefix: Some(NodeName::parse("n").unwrap()),
            memory: Some(Bytes::mebibytes(2048)),
            cpus: Some(2.0),
            gateway_memory: None,
            gateway_cpus: None,
        },
        network: NetworkTable { subnet: Some("10.77.9.0/24".parse().unwrap()) },
        vagrant: VagrantTable::default(),
        fleet: FleetTable { engine: Some(FleetEngine::Fleet), fence: Some(true) },
        metadata: MetadataTable {
            all: [("zone".to_owned(), "a".to_owned())].into(),
            nodes: [(NodeName::parse("n-01").unwrap(), [("disk".to_owned(), "ssd".to_owned())].into())]
                .into(),
        },
        image: ImageTable { base: Some("debian:12".to_owned()) },
        images: [("web".to_owned(), OneImage { skip: Some(true), ..OneImage::default() })].into(),
        cache: CacheTable { limit: Some(Bytes::mebibytes(2048)) },
    };
    assert_eq!(read(WHOLE), Ok(want.clone()));
    assert_eq!(read(&WHOLE.replace('\n', "\r\n")), Ok(want.clone()), "line ends of Windows");
    assert_eq!(read(&format!("\u{feff}{WHOLE}")), Ok(want.clone()), "byte order mark");
    assert_eq!(read(&WHOLE.replace(' ', "\t")), Ok(want), "tabs");
}

#[test]
fn a_file_may_say_nothing() {
    for text in ["", "\n", "# nothing", "[node]", "\u{feff}"] {
        assert_eq!(read(text), Ok(LabFile::default()), "{text:?}");
    }
}

#[test]
fn each_mistake_is_told_with_its_place() {
    check("nodez = 3", "1:1: unknown key `nodez`; did you mean `nodes`?");
    check("[node]\nmemroy = 3", "2:1: unknown key `memroy`; did you mean `memory`?");
    check("memory = \"1GiB\"", "1:1: unknown key `memory`; `memory` stands under `[node]`");
    check("[node]\nnodes = 3", "2:1: unknown key `nodes`; `nodes` stands at the top, above all tables");
    check("[nodes]", "1:1: `nodes` must be a whole number, not a table; did you mean `[node]`?");
    check("node = 3", "1:8: `node` must be a table, not a number; did you mean `nodes`?");
    check("[[node]]", "1:1: `node` must be a table, not a list");
    check("colour = 3", "1:1: unknown key `colour`");
    check("nodes = \"3\"", "1:9: `nodes` must be a whole number, not text; write 3 without quotes");
    check("nodes = 3.0", "1:9: `nodes` must be a whole number, not a number with a point");
    check("nodes = 0", "1:9: `nodes`: 0 is not between 1 and 200");
    check("nodes = 99999999999999999999", "1:9: `nodes` must be a whole number, not a number that large");
    check("name = true", "1:8: `name` must be text in quotes, not true or false");
    check(
        "provider = \"vm\"",
        "1:12: `provider`: `vm` is not a provider: there are `container` and `vagrant`",
    );
    check(
        "stack = \"a/b\"",
        "1:9: `stack`: `a/b` cannot name a stack: only lower-case letters, digits and `-` may stand in it",
    );
    check("stack = [\"a\", 3]", "1:15: `stack` must be a list of names in quotes");
    check(
        "stack = [\"A\"]",
        "1:10: `stack`: `A` cannot name a stack: only lower-case letters, digits and `-` may stand in it",
    );
    check("stack = \"\"", "1:9: `stack`: `` cannot name a stack: it is empty; `none` starts nothing");
    check(
        "stack = false",
        "1:9: `stack` must be text in quotes, not true or false; write \"none\" to start nothing",
    );
    check("node.cpus = nan", "1:13: `cpus`: NaN is not between 0.1 and 1024");
    check("node.cpus = 0", "1:13: `cpus`: 0 is not between 0.1 and 1024");
    check(
        "image.base = \"-v\"",
        "1:14: `base`: `-v` is not an image: it is written like debian:bookworm-slim",
    );
    check("nodes = 3\nnodes = 4", "2:1: `nodes` is set a second time");
    check("[node]\n[node]", "2:2: `node` is set a second time");
    check("version = 0", "1:11: `version`: there is no version 0; this lab reads 1");
    check("version = \"1\"", "1:11: `version` must be a whole number, not text; write 1 without quotes");
    check(
        "name = \"\\u001b[2J\"",
        "1:8: `name`: `\\u{1b}[2J` is not a lab name: only lower-case \
          letters, digits and `-` may stand in a host name; `2j` would do",
    );
}

#[test]
fn all_mistakes_of_a_file_are_shown() {
    insta::assert_snapshot!(told(
        "name = \"My Lab\"\nnodez = 3\n\n[node]\nmemory = 2\ncpus = 0.01\n\
         [network]\nsubnet = \"10.77.0.1/24\"\n[image]\nbase = \"a b\"\n"
    ));
}

#[test]
fn what_is_not_toml_is_shown() {
    for text in [
        "nodez = 1\nnodes =\n[node]\ncpus = 0",
        "nodes 3",
        "name = my-web # mine",
        "name = \"web",
        "[node\ncpus = 0",
        "nodes = 3\rname = 4",
        "a = \u{1b}[31m",
        "<<<<<<< HEAD\nnodes = 3\n=======\nnodes = 4\n>>>>>>> theirs\n",
        "name = \"a\\qb\"",
    ] {
        insta::assert_snapshot!(told(text));
    }
}

#[test]
fn a_newer_file_is_told_before_all_that_may_be_right_in_it() {
    let problems = read("version = 2\nroles = [1]\nnodes = \"many\"\n<<<").unwrap_err();
    insta::assert_snapshot!(problems.to_string());
    assert_eq!(problems.iter().count(), 1);
    assert!(problems.hint().unwrap().contains("newer `lab`"));
}

#[test]
fn a_file_that_is_not_utf8_is_told() {
    let problems = decode(b"nodes = 3\nname = \"\xfc\"".to_vec(), Utf8Path::new("lab.toml")).unwrap_err();
    insta::assert_snapshot!(problems.to_string());
    assert!(problems.hint().unwrap().contains("UTF-8"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*|([a-z\\[\\]={}\"'.,#0-9 \t\r\n\\\\]|nodes|node|\\[|= |\"){0,60}") {
        if let Err(problems) = read(&text) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }

    #[test]
    fn no_damage_to_a_good_file_panics(at in 0..WHOLE.len(), cut in 0..20usize, text in "\\PC{0,3}") {
        let mut damaged = WHOLE.to_owned();
        damaged.replace_range(at..(at + cut).min(WHOLE.len()), &text);
        drop(read(&damaged));
    }
}
