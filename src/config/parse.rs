//! Reads the text of `lab.toml` and tells all that is wrong with it, not only what comes first.

mod fleet;
mod images;
mod stack;
mod vagrant;

pub use stack::parse_stack;

use std::ops::Range;

use camino::Utf8Path;
use toml::de::{DeTable, DeValue};

use super::file::{CacheTable, ImageTable, KEYS, LabFile, NetworkTable, NodeTable, VERSION};
use super::limits::{self, Refused};
use super::problem::{Problem, Problems};
use super::suggest::{Keys, is_key, kind, misplaced, mistaken, similar};

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
    let mut reader = Reader { path, text, keys: &KEYS, problems: Vec::new() };
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
    keys: Keys,
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
            stack: self.stacks(root),
            node: NodeTable {
                prefix: self.string(node, "prefix", limits::prefix),
                memory: self.string(node, "memory", limits::memory_text),
                cpus: self.number(node, "cpus", limits::cpus),
                gateway_memory: self.string(node, "gateway_memory", limits::memory_text),
                gateway_cpus: self.number(node, "gateway_cpus", limits::cpus),
            },
            network: NetworkTable { subnet: self.string(network, "subnet", limits::subnet_text) },
            image: ImageTable { base: self.string(image, "base", limits::base_image) },
            vagrant: self.vagrant(root),
            fleet: self.fleet(root),
            metadata: self.metadata(root),
            images: self.images(root),
            cache: CacheTable { limit: self.string(cache, "limit", limits::cache_limit_text) },
        }
    }

    fn add(&mut self, span: Range<usize>, message: &str, suggestion: Option<String>) {
        self.problems.push(Problem::new(self.path, self.text, span, message).suggest(suggestion));
    }

    fn check_keys(&mut self, table: &DeTable<'_>, name: &str) {
        for (key, value) in table {
            if !is_key(self.keys, name, key.get_ref()) {
                let message = format!("unknown key `{}`", key.get_ref());
                let meant = misplaced(name, key.get_ref(), value.get_ref());
                self.add(key.span(), &message, meant.or_else(|| similar(self.keys, key.get_ref(), name)));
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
mod tests;
