//! Rules of the source that no compiler knows: who may use whom, which room a vendor stays in, and what
//! must not be left behind.

mod floors;
mod rust;

use camino::{Utf8Path, Utf8PathBuf};

use rust::{Path, Token, paths, tokens};

const LONGEST_FILE: usize = 500;

/// Where a library may be named: below one of these, which are files or folders of `src/`.
const ROOMS: &[(&str, &[&str])] = &[
    ("anyhow", &["cli/", "bin/labd.rs"]),
    ("axum", &["fleet/api/", "fleet/daemon.rs", "node/"]),
    ("base64", &["etcd/", "fleet/api/", "registry/"]),
    ("bollard", &["docker/"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/"]),
    ("flate2", &["oci/", "registry/"]),
    ("http_body_util", &["http.rs"]),
    ("hyper", &["http.rs"]),
    ("hyper_util", &["http.rs"]),
    ("include_dir", &["images/", "ops/stack/"]),
    ("indicatif", &["cli/"]),
    ("notify", &["cli/"]),
    ("reqwest", &["registry/"]),
    ("russh", &["ssh/"]),
    ("rustls", &["registry/"]),
    ("rustls_native_certs", &["registry/"]),
    ("schemars", &["config/"]),
    ("sha1", &["fleet/unit/"]),
    ("shlex", &["exec/"]),
    ("strsim", &["config/"]),
    ("tar", &["images/", "oci/", "ops/"]),
    ("toml", &["config/", "images/"]),
    ("tracing_subscriber", &["bin/labd.rs", "cli/"]),
    ("zbus", &["systemd/"]),
    ("zstd", &["oci/"]),
];
/// Libraries that are a part of the language here.
const EVERYWHERE: &[&str] = &[
    "camino",
    "futures_util",
    "rustix",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "tokio",
    "tokio_util",
    "tracing",
    "which",
];

/// A file of this package.
struct Source {
    /// Below the package's folder, as in `src/fs.rs`.
    path: Utf8PathBuf,
    text: String,
    tokens: Vec<Token>,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.to_owned(), tokens: tokens(text) }
    }

    fn paths(&self) -> Vec<Path> {
        paths(&self.tokens)
    }

    fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }

    /// Returns the lines on which these tokens follow each other.
    fn lines_with(&self, wanted: &[&str]) -> Vec<usize> {
        let windows = self.tokens.windows(wanted.len());
        let found = windows
            .filter(|window| window.iter().map(|token| token.text.as_str()).eq(wanted.iter().copied()));
        found.map(|window| window[0].line).collect()
    }
}

fn sources(folder: &str) -> Vec<Source> {
    fn walk(folder: &Utf8Path, root: &Utf8Path, found: &mut Vec<Source>) {
        for entry in folder.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension() == Some("rs") {
                let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
                found.push(Source::new(path.strip_prefix(root).unwrap().as_str(), &text));
            }
        }
    }
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join(folder), root, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no source in `{folder}`");
    found
}

fn all_sources() -> Vec<Source> {
    sources("src").into_iter().chain(sources("tests")).collect()
}

#[track_caller]
fn none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn vendors(source: &Source) -> Vec<String> {
    let place = source.path.strip_prefix("src").unwrap().as_str();
    let is_out = |word: &str| {
        let room = ROOMS.iter().find(|(name, _)| *name == word);
        room.is_some_and(|(_, rooms)| !rooms.iter().any(|room| place.starts_with(room)))
    };
    let paths = source.paths().into_iter();
    let out = paths.filter(|path| path.words.first().is_some_and(|word| is_out(word)));
    out.map(|path| source.at(path.line, &format!("`{}` is named outside of its room", path.words[0])))
        .collect()
}

fn speakers(source: &Source) -> Vec<String> {
    let may = source.path.starts_with("src/cli") || source.path.starts_with("src/bin");
    let macros = ["print", "println", "eprint", "eprintln", "dbg"];
    let mut found: Vec<String> = macros
        .iter()
        .flat_map(|name| source.lines_with(&[name, "!"]).into_iter().map(move |line| (line, name)))
        .map(|(line, name)| source.at(line, &format!("only `cli` prints, but here is `{name}!`")))
        .collect();
    let exits =
        source.paths().into_iter().filter(|path| path.words.ends_with(&["process".into(), "exit".into()]));
    found.extend(exits.map(|path| source.at(path.line, "only `cli` ends the process")));
    if may { Vec::new() } else { found }
}

fn leftovers(source: &Source) -> Vec<String> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let lines = source.text.lines().zip(1..);
    let marked = lines.filter(|(text, _)| marks.iter().any(|mark| text.contains(mark)));
    let mut found: Vec<String> = marked.map(|(_, line)| source.at(line, "a note to oneself")).collect();
    for wanted in [
        &["todo", "!"][..],
        &["unimplemented", "!"],
        &["#", "[", "ignore"],
        &["#", "[", "should_panic"],
        &["#", "[", "allow"],
        &["#", "!", "[", "allow"],
        &["#", "[", "path"],
    ] {
        found.extend(source.lines_with(wanted).iter().map(|line| source.at(*line, &wanted.concat())));
    }
    found
}

fn check_each(sources: &[Source], rule: impl Fn(&Source) -> Vec<String>) {
    none(&sources.iter().flat_map(rule).collect::<Vec<_>>());
}

#[test]
fn every_module_uses_only_floors_below_its_own() {
    let floors = floors::Floors::of_this_package();
    check_each(&sources("src"), |source| floors.check(source));
}

#[test]
fn every_vendor_stays_in_its_room() {
    check_each(&sources("src"), vendors);
}

#[test]
fn every_library_has_a_room_or_is_for_all() {
    let manifest =
        String::from_utf8(std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap())
            .unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let is_known = |name: &str| EVERYWHERE.contains(&name) || ROOMS.iter().any(|(room, _)| *room == name);
    let names = manifest["dependencies"].as_table().unwrap().keys().map(|name| name.replace('-', "_"));
    let unknown: Vec<String> = names.filter(|name| !is_known(name)).collect();
    none(&unknown);
}

#[test]
fn only_the_command_line_prints_and_ends_the_process() {
    check_each(&sources("src"), speakers);
}

#[test]
fn nothing_is_left_for_later_or_hidden_from_the_checks() {
    check_each(&all_sources(), leftovers);
}

#[test]
fn every_file_says_what_it_is_about() {
    check_each(&all_sources(), |source| {
        let is_told = source.text.starts_with("//! ");
        if is_told { Vec::new() } else { vec![source.at(1, "it does not begin with a `//!` line")] }
    });
}

#[test]
fn no_file_is_too_long() {
    check_each(&all_sources(), |source| {
        let lines = source.text.lines().count();
        if lines <= LONGEST_FILE { Vec::new() } else { vec![source.at(lines, "it is too long: part it")] }
    });
}

#[test]
fn the_rules_find_what_they_are_for() {
    #[track_caller]
    fn check(rule: impl Fn(&Source) -> Vec<String>, path: &str, text: &str, want: usize) {
        let found = rule(&Source::new(path, text));
        assert_eq!(found.len(), want, "{path}: {text}\n{found:?}");
    }
    check(vendors, "src/ops/up.rs", "use bollard::Docker;", 1);
    check(vendors, "src/ops/up.rs", "use {bollard as x, std::io};", 1);
    check(vendors, "src/ops/up.rs", "fn a(x: ::bollard::Docker) {}", 1);
    check(vendors, "src/ops/up.rs", "#[derive(clap::Args)] struct A;", 1);
    check(
        vendors,
        "src/ops/up.rs",
        "// bollard::Docker\nlet a = \"bollard::Docker\"; crate::toml::x(); my.bollard()",
        0,
    );
    check(vendors, "src/docker/mod.rs", "use bollard::Docker;", 0);
    check(vendors, "src/docker/mod.rs", "use zbus::Connection;", 1);
    check(speakers, "src/fs.rs", "println!(); std::process::exit(1)", 2);
    check(speakers, "src/fs.rs", "use std::process::exit;", 1);
    check(speakers, "src/cli/ui.rs", "println!(); std::process::exit(1)", 0);
    check(
        speakers,
        "src/fs.rs",
        "/* println!() /* */ dbg!() */ let a = r#\"println!(\"\")\"#; let b = '\"'; dbg!();",
        1,
    );
    check(leftovers, "src/fs.rs", concat!("// TO", "DO: later\n#[allow(dead_code)] fn a() { todo!() }"), 3);
    check(leftovers, "tests/it/a.rs", "#[test] #[ignore = \"slow\"] fn a() {}\n#![allow(x)]", 2);
}
