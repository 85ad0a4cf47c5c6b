//! Floors: the table in `src/lib.rs` says who stands on which, and nobody uses a floor that is not below.

use super::Source;
use super::rust::Path;

pub struct Floors {
    modules: Vec<(String, usize)>,
}

impl Floors {
    pub fn of_this_package() -> Self {
        let lib = include_str!("../../../src/lib.rs");
        let floors = Self::parse(lib);
        let declared = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        let unlisted: Vec<&str> = declared.filter(|module| floors.of(module).is_none()).collect();
        assert!(unlisted.is_empty(), "no floor in the table of src/lib.rs: {unlisted:?}");
        floors
    }

    /// Reads rows such as ``//! | 0 | [`exec`], [`fs`] | …``.
    fn parse(lib: &str) -> Self {
        let mut modules = Vec::new();
        for row in lib.lines().filter_map(|line| line.strip_prefix("//! | ")) {
            let mut cells = row.split(" | ");
            let Some(floor) = cells.next().and_then(|cell| cell.parse().ok()) else { continue };
            let names = cells.next().unwrap_or_default().split(", ");
            modules.extend(names.map(|name| (name.trim_matches(['[', ']', '`']).to_owned(), floor)));
        }
        assert!(!modules.is_empty(), "the table of floors was not found");
        Self { modules }
    }

    fn of(&self, module: &str) -> Option<usize> {
        self.modules.iter().find(|(name, _)| name == module).map(|(_, floor)| *floor)
    }

    pub fn check(&self, source: &Source) -> Vec<String> {
        let own = module_path(&source.path);
        // Only the roots of the programs stand above all floors.
        let Some(own_name) = own.first() else { return Vec::new() };
        let Some(own_floor) = self.of(own_name) else { return vec![source.at(1, "it stands on no floor")] };
        let mut found = Vec::new();
        for path in source.paths() {
            match reached(&own, &path) {
                Reach::Inside => {}
                Reach::Everything => found.push(source.at(path.line, "this import hides what is used")),
                Reach::Module(other) if other == *own_name => {}
                Reach::Module(other) => match self.of(&other) {
                    Some(floor) if floor < own_floor => {}
                    Some(floor) => {
                        let what = format!("`{own_name}` (floor {own_floor}) uses `{other}` (floor {floor})");
                        found.push(source.at(path.line, &what));
                    }
                    None => found.push(source.at(path.line, &format!("`{other}` stands on no floor"))),
                },
            }
        }
        found
    }
}

/// Returns the modules that lead to a file; none for the root of a program.
fn module_path(file: &camino::Utf8Path) -> Vec<String> {
    let below = file.strip_prefix("src").unwrap().with_extension("");
    let mut words: Vec<String> = below.as_str().split('/').map(str::to_owned).collect();
    match words.last().map(String::as_str) {
        Some("mod") => drop(words.pop()),
        Some("lib" | "main") if words.len() == 1 => words.clear(),
        _ if words[0] == "bin" => words.clear(),
        _ => {}
    }
    words
}

enum Reach {
    /// A name of the module itself, or of a library.
    Inside,
    Module(String),
    /// The whole package, under another name or by a glob.
    Everything,
}

/// Follows `crate`, `self` and `super` to the module of the first level that a path leads to.
fn reached(own: &[String], path: &Path) -> Reach {
    let mut here: Vec<&str> = own.iter().chain(&path.inside).map(String::as_str).collect();
    let mut words = path.words.iter().map(String::as_str).peekable();
    match words.peek() {
        Some(&"crate") => {
            here.clear();
            words.next();
        }
        Some(&("self" | "super")) => {}
        _ => return Reach::Inside,
    }
    while let Some(word) = words.next_if(|word| ["self", "super"].contains(word)) {
        if word == "super" {
            here.pop();
        }
    }
    match (here.first(), words.next()) {
        (Some(first), _) => Reach::Module((*first).to_owned()),
        (None, Some("*")) => Reach::Everything,
        (None, Some(word)) => Reach::Module(word.to_owned()),
        (None, None) if path.is_import => Reach::Everything,
        (None, None) => Reach::Inside,
    }
}

#[track_caller]
fn check(floors: &Floors, path: &str, text: &str, lines: &[usize]) {
    let found = floors.check(&Source::new(path, text));
    let mut told: Vec<usize> =
        found.iter().map(|line| line.split(':').nth(1).unwrap().parse().unwrap()).collect();
    told.dedup();
    assert_eq!(told, lines, "{path}: {text}\n{found:?}");
    let is_own = |line: &String| line.ends_with("it stands on no floor");
    assert_eq!(found.iter().any(is_own), path == "src/other.rs", "{found:?}");
}

#[test]
fn a_use_of_a_higher_floor_is_found_however_it_is_written() {
    let floors = Floors::parse(
        "//! | floor | modules |\n//! |---|---|\n//! | 0 | [`fs`], [`wait`] | x |\n//! | 1 | [`model`] | y |\n//! | 2 | [`cli`] | z |",
    );
    let bad = |text: &str| check(&floors, "src/model/node.rs", text, &[text.lines().count()]);
    bad("use crate::cli;");
    bad("use crate::cli::Args;");
    bad("pub(crate) use crate::cli as fs;");
    bad("use crate::{fs, cli::Args};");
    bad("use crate::{\n    fs::{self, read},\n    cli}; ");
    bad("use crate::{self as root};");
    bad("use crate::*;");
    bad("use crate as root;");
    bad("use super::super::cli;");
    bad("use super::super::{fs, cli::{self, Args}};");
    bad("use super::{super::cli, Node};");
    bad("use super::super as root;");
    bad("use self::super::super::cli;");
    bad("fn a() -> crate::cli::Args { x }");
    bad("fn a() { b(crate::fs::c(), super::super::cli::d()) }");
    bad("impl Trait for crate::cli::Args {}");
    bad("mod tests { mod more { use super::super::super::super::cli; } }");
    bad("use crate::unknown;");
    let good = |text: &str| check(&floors, "src/model/node.rs", text, &[]);
    good("use crate::{fs, wait::Stop};\nuse crate::model::name::{A, B};\nuse super::Name;");
    good("// use crate::cli;\n/* crate::cli */ let a = \"crate::cli\"; let b = r#\"crate::cli\"#;");
    good("mod tests { use super::*; use super::super::Name; use crate::fs; }");
    good("pub(super) fn a() {} pub(crate) fn b<'a>(c: char) -> bool { c == '\\'' || c == '{' }");
    good("use std::{fs, io}; fn cli() {} fn x() { super::cli() }");
    check(&floors, "src/model/mod.rs", "use super::cli::Args;", &[1]);
    check(&floors, "src/fs.rs", "use crate::wait::Stop;", &[1]);
    check(&floors, "src/fs.rs", "mod tests { use super::super::cli; }\nuse super::fs;", &[1]);
    check(&floors, "src/cli/up/plan.rs", "use crate::{fs, model::Node, cli::Args};", &[]);
    check(&floors, "src/other.rs", "", &[1]);
    check(&floors, "src/main.rs", "use crate::cli; fn main() { lab::cli::main() }", &[]);
}
