//! What is wrong with a stack, and what to do about it.

use camino::Utf8PathBuf;

use super::{folder, shipped};
use crate::config::{ImageProblem, Problems, STACK_FILE_NAME};
use crate::fleet::unit::{BadNeeds, BadUnitFile, BadUnitName, UnitName};
use crate::fs;
use crate::model::NoRoom;

#[derive(Debug, thiserror::Error)]
pub enum StackError {
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error(transparent)]
    Problems(#[from] Problems),
    #[error(transparent)]
    Image(#[from] ImageProblem),
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error("there is no stack `{name}`: neither `{folder}` in the project nor one that comes with lab")]
    Unknown { name: String, folder: Utf8PathBuf },
    #[error("the stack `{name}` starts nothing: `{folder}` has no unit that is no template")]
    Empty { name: String, folder: Utf8PathBuf },
    #[error("there is a `{folder}` already")]
    Exists { folder: Utf8PathBuf },
    #[error("{path}:{line}: {what}")]
    At { path: Utf8PathBuf, line: usize, what: String },
    #[error("both `{path}` and `{list}` say which units are started")]
    BothLists { path: Utf8PathBuf, list: Utf8PathBuf },
    #[error("the stacks `{first}` and `{second}` cannot be in one lab: both have {what}")]
    Together { first: String, second: String, what: String },
    #[error("`{unit}` runs the image `{image}`, and nothing says where that comes from")]
    NoImage { unit: UnitName, image: String },
    #[error("{}", .0.join("\n"))]
    Ports(Vec<String>),
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
            Self::Problems(problems) => problems.hint(),
            Self::Image(problem) => Some(problem.hint()),
            Self::NoRoom(_) => Some(
                "`lab up --nodes N` makes more nodes; `[metadata]` in lab.toml tells them what they are"
                    .to_owned(),
            ),
            Self::Exists { .. } => Some("choose another name, or remove it first".to_owned()),
            Self::BothLists { list, .. } => Some(format!("remove `{list}`")),
            Self::Together { .. } => {
                Some("call it otherwise in one of them, or run each in a lab of its own".to_owned())
            }
            Self::NoImage { image, .. } => Some(format!(
                "describe it in `[images.{image}]` of {STACK_FILE_NAME} or lab.toml, or put a Dockerfile into `images/{image}`"
            )),
            Self::Ports(_) => Some("give one of them another port, or other nodes by its role".to_owned()),
            Self::Unknown { .. } => Some(format!(
                "lab has {}; `--stack none`, or `stack = \"none\"` in lab.toml, starts nothing",
                shipped::names().iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            )),
            Self::Empty { folder, .. } => Some(format!(
                "put unit files there; `{folder}/{}` says which instances of templates are started",
                folder::LIST
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
