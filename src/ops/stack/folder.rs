//! The files of a stack's folder, and a stack that is nothing but unit files.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::{Count, Stack, StackError, StackUnit};
use crate::config::STACK_FILE_NAME;
use crate::fleet::unit::{BadUnitName, Needs, UnitFile, UnitName};
use crate::fs;

/// The file of a plain stack that says which units are started, and in which order.
pub(super) const LIST: &str = "units";

/// The text of each file of a folder that means something here.
pub type Files = BTreeMap<String, String>;

pub(super) fn read(folder: &Utf8Path) -> Result<Files, fs::Error> {
    let mut files = Files::new();
    for name in fs::list(folder)? {
        let path = folder.join(&name);
        if is_read(&name) && !path.is_dir() {
            files.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(files)
}

/// Collects all files below a folder, with their places in it.
pub(super) fn walk(
    root: &Utf8Path,
    below: &Utf8Path,
    found: &mut Vec<(Utf8PathBuf, Vec<u8>)>,
) -> Result<(), fs::Error> {
    for name in fs::list(&root.join(below))? {
        let path = below.join(&name);
        if root.join(&path).is_dir() {
            walk(root, &path, found)?;
        } else {
            found.push((path.clone(), fs::read(&root.join(&path))?));
        }
    }
    Ok(())
}

/// Returns whether a file says what the stack is or, by its type, a unit. Whatever else lies there is for people; and
/// what begins with a dot, an editor has left.
pub(super) fn is_read(name: &str) -> bool {
    use BadUnitName::{Empty, EndsInDot, Kind, NoDot};
    let is_other = matches!(UnitName::parse(name), Err(Empty | NoDot | EndsInDot | Kind(_)));
    name == LIST || name == STACK_FILE_NAME || (!is_other && !name.starts_with('.'))
}

/// Makes a stack of unit files, and of the list beside them if there is one.
pub(super) fn plain(name: &str, folder: &Utf8Path, files: &Files) -> Result<Stack, StackError> {
    let names = match files.get(LIST) {
        Some(list) => listed(&folder.join(LIST), list, files)?,
        None => unlisted(folder, files)?,
    };
    if names.is_empty() {
        return Err(StackError::Empty { name: name.to_owned(), folder: folder.to_owned() });
    }
    let units = names.into_iter().map(|unit| {
        let file = file_of(&unit, files).expect("names are those of files, or of instances of them");
        let file = parse_unit(&unit, &folder.join(file), &files[file])?;
        Ok(StackUnit::plain(unit, file))
    });
    Ok(Stack {
        name: name.to_owned(),
        description: String::new(),
        folder: folder.to_owned(),
        roles: Vec::new(),
        env: BTreeMap::new(),
        images: Vec::new(),
        units: units.collect::<Result<_, StackError>>()?,
        endpoints: Vec::new(),
    })
}

impl StackUnit {
    fn plain(name: UnitName, file: UnitFile) -> Self {
        Self {
            name,
            file,
            role: None,
            count: Count::One,
            images: BTreeSet::new(),
            ports: BTreeSet::new(),
            reads: BTreeSet::new(),
            reads_env: false,
            check: None,
            leader: None,
        }
    }
}

/// Returns the units that are listed, one a line; what stands behind a `#` is for people.
fn listed(path: &Utf8Path, list: &str, files: &Files) -> Result<Vec<UnitName>, StackError> {
    let mut units: Vec<UnitName> = Vec::new();
    for (text, line) in list.lines().zip(1..) {
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        let path = path.to_owned();
        let unit = match UnitName::parse(text) {
            Ok(unit) => unit,
            Err(source) => {
                return Err(StackError::Line { path, line, text: text.escape_debug().to_string(), source });
            }
        };
        if unit.is_template() {
            return Err(StackError::Template { path, line, unit });
        }
        if units.contains(&unit) {
            return Err(StackError::Twice { path, line, unit });
        }
        if file_of(&unit, files).is_none() {
            return Err(StackError::NoFile { path, line, unit });
        }
        units.push(unit);
    }
    if units.is_empty() { Err(StackError::EmptyList { path: path.to_owned() }) } else { Ok(units) }
}

/// Returns all units of a folder but templates, by name.
fn unlisted(folder: &Utf8Path, files: &Files) -> Result<Vec<UnitName>, StackError> {
    let parse = |name: &String| {
        UnitName::parse(name).map_err(|source| StackError::Name { path: folder.join(name), source })
    };
    let units: Vec<UnitName> = files.keys().map(parse).collect::<Result<_, _>>()?;
    Ok(units.into_iter().filter(|unit| !unit.is_template()).collect())
}

/// Returns the name of a unit's file: its own, else that of its template.
pub(super) fn file_of<'a>(unit: &UnitName, files: &'a Files) -> Option<&'a str> {
    let find = |name: &str| files.get_key_value(name).map(|(name, _)| name.as_str());
    find(unit.as_str()).or_else(|| find(unit.template()?.as_str()))
}

pub(super) fn parse_unit(unit: &UnitName, path: &Utf8Path, text: &str) -> Result<UnitFile, StackError> {
    let file =
        UnitFile::parse(text).map_err(|source| StackError::BadFile { path: path.to_owned(), source })?;
    match Needs::of(unit, &file) {
        Ok(_) => Ok(file),
        Err(source) => Err(StackError::BadNeeds { path: path.to_owned(), unit: unit.clone(), source }),
    }
}
