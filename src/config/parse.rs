//! Reads the text of `lab.toml` and tells all that is wrong with it, not only what comes first.

mod images;

use std::ops::Range;

use camino::Utf8Path;
use toml::de::{DeTable, DeValue};

use super::file::{CacheTable, ImageTable, LabFile, NetworkTable, NodeTable, VERSION};
use super::limits::{self, Refused};
use super::problem::{Problem, Problems};
use super::suggest::{is_key, kind, misplaced, mistaken, similar};

/// Turns the bytes of a file into text.
pub fn decode(bytes: Vec<u8>, path: &Utf8Path) -> Result<String, Problems> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        let hint = "save the file as UTF-8; an editor may have chosen UTF-16 or a code page";
        Problem::new(path, &text, good..good, "this is not UTF-8 text").with_hint(hint).into()
    })
}

/// Parses the text of a `lab.toml`; `path` is only what problems are told with.
pub fn parse(text: &str, path: &Utf8Path) -> Result<LabFile, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    let root = root.into_inner();
    let mut reader = Reader { path, text, problems: Vec::new() };
    if let Some(problem) = reader.another_version(&root) {
        return Err(problem.into());
    }
    let file = reader.file(&root);
    reader.add_errors(&errors);
    Problems::check(reader.problems)?;
    Ok(file)
}

/// Collects the problems of one file while its values are read.
struct Reader<'a> {
    path: &'a Utf8Path,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// Returns why every key may mean something else than this program thinks.
    fn another_version(&self, root: &DeTable<'_>) -> Option<Problem> {
        let value = root.get("version")?;
        let version = whole(value.get_ref()).filter(|version| *version > i64::from(VERSION))?;
        let message = format!(
            "this is version {version} of the format, written for a newer lab; this one reads {VERSION}"
        );
        let hint = format!("install a newer `lab`, or write the file anew for version {VERSION}");
        Some(Problem::new(self.path, self.text, value.span(), &message).with_hint(&hint))
    }

    fn file(&mut self, root: &DeTable<'_>) -> LabFile {
        self.check_keys(root, "");
        let empty = DeTable::new();
        let node = self.table(root, "node").unwrap_or(&empty);
        let network = self.table(root, "network").unwrap_or(&empty);
        let image = self.table(root, "image").unwrap_or(&empty);
        let cache = self.table(root, "cache").unwrap_or(&empty);
        LabFile {
            version: self.whole(root, "version", limits::version),
            name: self.string(root, "name", limits::name),
            nodes: self.whole(root, "nodes", limits::nodes),
            provider: self.string(root, "provider", limits::provider),
            node: NodeTable {
                prefix: self.string(node, "prefix", limits::prefix),
                memory: self.string(node, "memory", limits::memory_text),
                cpus: self.number(node, "cpus", limits::cpus),
            },
            network: NetworkTable { subnet: self.string(network, "subnet", limits::subnet_text) },
            image: ImageTable { base: self.string(image, "base", limits::base_image) },
            images: self.images(root),
            cache: CacheTable { limit: self.string(cache, "limit", limits::cache_limit_text) },
        }
    }

    fn add(&mut self, span: Range<usize>, message: &str, suggestion: Option<String>) {
        self.problems.push(Problem::new(self.path, self.text, span, message).suggest(suggestion));
    }

    fn check_keys(&mut self, table: &DeTable<'_>, name: &str) {
        for (key, value) in table {
            if !is_key(name, key.get_ref()) {
                let message = format!("unknown key `{}`", key.get_ref());
                let meant = misplaced(name, key.get_ref(), value.get_ref());
                self.add(key.span(), &message, meant.or_else(|| similar(key.get_ref(), name)));
            }
        }
    }

    /// Returns a table of the file if it is there and is a table, and checks its keys.
    fn table<'t, 'i>(&mut self, root: &'t DeTable<'i>, key: &str) -> Option<&'t DeTable<'i>> {
        let table = self.typed(root, key, "a table", DeValue::as_table)?;
        self.check_keys(table, key);
        Some(table)
    }

    fn string<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        check: impl Fn(&str) -> Result<T, Refused>,
    ) -> Option<T> {
        let text = self.typed(table, key, "text in quotes", DeValue::as_str)?;
        self.checked(table, key, check(text))
    }

    fn whole<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        check: impl Fn(i64) -> Result<T, Refused>,
    ) -> Option<T> {
        let number = self.typed(table, key, "a whole number", whole)?;
        self.checked(table, key, check(number))
    }

    fn number<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        check: impl Fn(f64) -> Result<T, Refused>,
    ) -> Option<T> {
        let number = self.typed(table, key, "a number", number)?;
        self.checked(table, key, check(number))
    }

    /// Returns the value of a key, unless it is absent or of a type that `convert` does not take.
    fn typed<'t, 'i, V>(
        &mut self,
        table: &'t DeTable<'i>,
        key: &str,
        wanted: &str,
        convert: impl Fn(&'t DeValue<'i>) -> Option<V>,
    ) -> Option<V> {
        let value = table.get(key)?;
        let converted = convert(value.get_ref());
        if converted.is_none() {
            let message = format!("`{key}` must be {wanted}, not {}", kind(value.get_ref()));
            self.add(value.span(), &message, mistaken(key, value.get_ref()));
        }
        converted
    }

    fn checked<T>(&mut self, table: &DeTable<'_>, key: &str, result: Result<T, Refused>) -> Option<T> {
        result
            .map_err(|refused| {
                let span = table.get(key).map(toml::Spanned::span).unwrap_or_default();
                self.add(span, &format!("`{key}`: {refused}"), refused.suggestion().map(str::to_owned));
            })
            .ok()
    }

    /// Adds what the TOML parser says. What stands behind a line that it could not read may have been
    /// misread, so of that nothing is told.
    fn add_errors(&mut self, errors: &[toml::de::Error]) {
        let span = |error: &toml::de::Error| error.span().unwrap_or(0..0);
        let (repeated, broken): (Vec<_>, Vec<_>) =
            errors.iter().partition(|error| error.message() == "duplicate key");
        for error in repeated {
            let key = self.text.get(span(error)).unwrap_or("a key");
            self.add(span(error), &format!("`{key}` is set a second time"), None);
        }
        let mut broken: Vec<Problem> =
            broken.into_iter().map(|error| self.broken(span(error), error.message())).collect();
        broken.sort_by_key(|problem| (problem.line, problem.column));
        broken.dedup_by_key(|problem| problem.line);
        if let Some(first) = broken.first() {
            self.problems.retain(|problem| problem.line < first.line);
        }
        self.problems.append(&mut broken);
    }

    fn broken(&self, span: Range<usize>, message: &str) -> Problem {
        let found = self.text.get(span.clone()).unwrap_or_default();
        let problem = |message| Problem::new(self.path, self.text, span, message);
        match message.starts_with(NO_VALUE) {
            true if found.is_empty() => problem("a value is missing"),
            true => {
                let is_plain = found.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\".contains(&byte));
                problem("text must stand in quotes").suggest(is_plain.then(|| format!("write \"{found}\"")))
            }
            false => problem(message),
        }
    }
}

/// The TOML parser says of all that is no value that it should be a string in quotes.
const NO_VALUE: &str = "string values must be quoted";

pub(super) fn whole(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(number) => number.as_str().parse().ok(),
        // No limit is anywhere near the numbers that a float cannot hold.
        value => whole(value).and_then(|number| i32::try_from(number).ok()).map(f64::from),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{OneImage, Provider};
    use crate::model::{Bytes, LabName, NodeName};

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
node = { prefix = "n", memory = "2GiB", cpus = 2 }
[network]
subnet = "10.77.9.0/24"
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
            node: NodeTable {
                prefix: Some(NodeName::parse("n").unwrap()),
                memory: Some(Bytes::mebibytes(2048)),
                cpus: Some(2.0),
            },
            network: NetworkTable { subnet: Some("10.77.9.0/24".parse().unwrap()) },
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
        check("provider = \"vm\"", "1:12: `provider`: `vm` is not a provider: there is only `container`");
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
}
