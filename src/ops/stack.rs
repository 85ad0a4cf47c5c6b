//! A stack: the units that `up` starts last, read from the project or from what comes with `lab`. It says
//! what they are and in which order; who starts them is another's business.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use include_dir::{Dir, File, include_dir};

use crate::fleet::unit::{BadNeeds, BadUnitFile, BadUnitName, Needs, UnitFile, UnitName};
use crate::fs;

/// The folder of a project whose folders are stacks.
const FOLDER: &str = "services";
/// The file of a stack that says which units are started, and in which order.
const LIST: &str = "units";

static SHIPPED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/services");

/// Units that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    pub name: String,
    /// In the order in which they are started; none is a template.
    pub units: Vec<(UnitName, UnitFile)>,
}

#[derive(Debug, thiserror::Error)]
pub enum StackError {
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error("there is no stack `{name}`: neither `{folder}` in the project nor one that comes with lab")]
    Unknown { name: String, folder: Utf8PathBuf },
    #[error("the stack `{name}` starts nothing: `{folder}` has no unit that is no template")]
    Empty { name: String, folder: Utf8PathBuf },
    #[error("the list `{path}` names no unit")]
    EmptyList { path: Utf8PathBuf },
    #[error("`{path}` cannot be a unit")]
    Name { path: Utf8PathBuf, source: BadUnitName },
    #[error("{path}:{line}: `{text}` is not the name of a unit")]
    Line { path: Utf8PathBuf, line: usize, text: String, source: BadUnitName },
    #[error("{path}:{line}: `{unit}` is listed a second time")]
    Twice { path: Utf8PathBuf, line: usize, unit: UnitName },
    #[error("{path}:{line}: `{unit}` is a template, of which only instances can be started")]
    Template { path: Utf8PathBuf, line: usize, unit: UnitName },
    #[error("{path}:{line}: `{unit}` has no file in this folder")]
    NoFile { path: Utf8PathBuf, line: usize, unit: UnitName },
    #[error("`{path}` cannot be read as a unit file")]
    BadFile { path: Utf8PathBuf, source: BadUnitFile },
    #[error("what `{path}` demands for `{unit}` makes no sense")]
    BadNeeds { path: Utf8PathBuf, unit: UnitName, source: BadNeeds },
}

impl StackError {
    /// Returns one thing to do about it, where the cause tells.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Unknown { .. } => Some(format!(
                "lab has {}; `--stack none`, or `stack = \"none\"` in lab.toml, starts nothing",
                shipped_names().join(", ")
            )),
            Self::Empty { folder, .. } => Some(format!(
                "put unit files there; `{folder}/{LIST}` says which instances of templates are started"
            )),
            Self::EmptyList { path } => {
                Some(format!("without `{path}` all units of the folder are started, by name"))
            }
            Self::Template { unit, .. } => {
                Some(format!("write an instance, such as `{}@1.{}`", unit.prefix(), unit.suffix()))
            }
            Self::NoFile { unit, .. } => unit.template().map(|template| {
                format!("an instance comes from a file of its own name, or from `{template}`")
            }),
            _ => None,
        }
    }
}

impl Stack {
    /// Reads the stack of this name: that of the project, else the one that comes with `lab`.
    pub fn load(project: &Utf8Path, name: &str) -> Result<Self, StackError> {
        let folder = project.join(FOLDER).join(name);
        if folder.is_dir() {
            return Self::parse(name, &folder, &read(&folder)?);
        }
        match SHIPPED.get_dir(name) {
            Some(dir) => Self::parse(name, &Utf8Path::new(FOLDER).join(name), &shipped(dir)),
            None => Err(StackError::Unknown { name: name.to_owned(), folder }),
        }
    }

    /// Makes a stack of a folder's files; `folder` is only what problems are told with.
    fn parse(name: &str, folder: &Utf8Path, files: &Files) -> Result<Self, StackError> {
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
            Ok((unit, file))
        });
        Ok(Self { name: name.to_owned(), units: units.collect::<Result<_, StackError>>()? })
    }
}

/// The text of each file of a folder that means something here.
type Files = BTreeMap<String, String>;

fn read(folder: &Utf8Path) -> Result<Files, fs::Error> {
    let mut files = Files::new();
    for name in fs::list(folder)? {
        let path = folder.join(&name);
        if is_read(&name) && !path.is_dir() {
            files.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(files)
}

fn shipped(dir: &'static Dir<'static>) -> Files {
    let file = |file: &File<'static>| {
        let name = file.path().file_name()?.to_str()?;
        Some((name.to_owned(), file.contents_utf8()?.to_owned()))
    };
    dir.files().filter_map(file).filter(|(name, _)| is_read(name)).collect()
}

fn shipped_names() -> Vec<String> {
    let names = SHIPPED.dirs().filter_map(|dir| dir.path().to_str());
    names.map(|name| format!("`{name}`")).collect()
}

/// Returns whether a file is the list or, by its type, a unit. Whatever else lies there is for people; and
/// what begins with a dot, an editor has left.
fn is_read(name: &str) -> bool {
    use BadUnitName::{Empty, EndsInDot, Kind, NoDot};
    let is_other = matches!(UnitName::parse(name), Err(Empty | NoDot | EndsInDot | Kind(_)));
    name == LIST || (!is_other && !name.starts_with('.'))
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
fn file_of<'a>(unit: &UnitName, files: &'a Files) -> Option<&'a str> {
    let find = |name: &str| files.get_key_value(name).map(|(name, _)| name.as_str());
    find(unit.as_str()).or_else(|| find(unit.template()?.as_str()))
}

fn parse_unit(unit: &UnitName, path: &Utf8Path, text: &str) -> Result<UnitFile, StackError> {
    let file =
        UnitFile::parse(text).map_err(|source| StackError::BadFile { path: path.to_owned(), source })?;
    match Needs::of(unit, &file) {
        Ok(_) => Ok(file),
        Err(source) => Err(StackError::BadNeeds { path: path.to_owned(), unit: unit.clone(), source }),
    }
}

#[cfg(test)]
mod tests;
