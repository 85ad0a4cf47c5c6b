//! A stack: units that belong together, what they run, on which nodes, and how they tell that they serve. It is
//! read from the project or from what comes with `lab`; who starts it is another's business.

mod error;
mod examine;
mod folder;
mod instance;
mod place;
mod scaffold;
mod shipped;
mod together;
mod verify;

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use crate::config::{EndpointTable, STACK_FILE_NAME, StackFile, UnitTable, parse_stack, stack_images};
use crate::fleet::unit::{UnitFile, UnitName};
use crate::fs;
use crate::model::image::ImageSpec;
use crate::model::{Ask, Check, Role, RoleName, Statuses, variable};

pub use error::StackError;
pub use examine::{Examined, Placed, examine};
pub use folder::Files;
pub use instance::{Instance, Label, labels};
pub use place::Destinations;
pub use scaffold::{Origin, scaffold};
pub use together::Stacks;
pub use verify::{missing_builds, verify};

/// The folder of a project whose folders are stacks.
const FOLDER: &str = "services";
/// Where a node keeps what units read.
const ENV_FILE: &str = "/etc/lab/env";

/// Units that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    pub name: String,
    pub description: String,
    /// Where its files are.
    pub folder: Utf8PathBuf,
    pub roles: Vec<Role>,
    /// What its units find in `/etc/lab/env`.
    pub env: BTreeMap<String, String>,
    pub images: Vec<ImageSpec>,
    /// In the order in which they are started.
    pub units: Vec<StackUnit>,
    pub endpoints: Vec<Endpoint>,
}

/// A unit of a stack, or the instances of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackUnit {
    pub name: UnitName,
    pub file: UnitFile,
    pub role: Option<RoleName>,
    pub count: Count,
    pub images: BTreeSet<String>,
    pub ports: BTreeSet<u16>,
    /// Roles whose members it has to know.
    pub reads: BTreeSet<RoleName>,
    /// Whether it reads what the stack says in `env`.
    pub reads_env: bool,
    pub check: Option<Check>,
    pub leader: Option<Check>,
}

/// How many of a unit there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// The unit itself.
    One,
    /// So many instances of a template.
    Instances(u16),
    /// An instance for each member of its role.
    Members,
}

/// An address at which a stack serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub name: String,
    pub unit: UnitName,
    pub port: u16,
    pub scheme: String,
    pub path: String,
    /// Whether only the instance that leads serves there.
    pub is_leaders: bool,
    pub check: Check,
}

/// Returns the names of all stacks that can be had, and whether each is the project's own.
pub fn available(project: &Utf8Path) -> Result<BTreeMap<String, bool>, StackError> {
    let folder = project.join(FOLDER);
    let mut names: BTreeMap<String, bool> =
        shipped::names().into_iter().map(|name| (name.to_owned(), false)).collect();
    let own = if folder.is_dir() { fs::list(&folder)? } else { Vec::new() };
    let is_stack = |name: &String| !name.starts_with('.') && folder.join(name).is_dir();
    names.extend(own.into_iter().filter(is_stack).map(|name| (name, true)));
    Ok(names)
}

impl Stack {
    /// Reads the stack of this name: that of the project, else the one that comes with `lab`, whose files are laid
    /// out below `shelf`.
    pub fn load(project: &Utf8Path, shelf: &Utf8Path, name: &str) -> Result<Self, StackError> {
        let folder = project.join(FOLDER).join(name);
        if folder.is_dir() {
            return Self::parse(name, &folder, &folder::read(&folder)?);
        }
        match shipped::files(name) {
            Some(files) => {
                let mut stack = Self::parse(name, &Utf8Path::new(FOLDER).join(name), &files)?;
                if !stack.images.is_empty() {
                    stack.folder = shipped::lay_out(shelf)?.join(name);
                    stack =
                        Self { folder: stack.folder.clone(), ..Self::parse(name, &stack.folder, &files)? };
                }
                Ok(stack)
            }
            None => Err(StackError::Unknown { name: name.to_owned(), folder }),
        }
    }

    /// Makes a stack of a folder's files; `folder` is what problems are told with, and where images are built.
    pub fn parse(name: &str, folder: &Utf8Path, files: &Files) -> Result<Self, StackError> {
        let Some(text) = files.get(STACK_FILE_NAME) else { return folder::plain(name, folder, files) };
        let path = folder.join(STACK_FILE_NAME);
        if files.contains_key(folder::LIST) {
            return Err(StackError::BothLists { path, list: folder.join(folder::LIST) });
        }
        let file = parse_stack(text, &path)?;
        let images = stack_images(&file.images, folder)?;
        let reader = Reader { path: &path, folder, files, file: &file };
        let units: Vec<StackUnit> =
            file.units.iter().map(|table| reader.unit(table)).collect::<Result<_, _>>()?;
        if units.is_empty() {
            return Err(StackError::Empty { name: name.to_owned(), folder: folder.to_owned() });
        }
        let endpoints =
            file.endpoints.iter().map(|table| reader.endpoint(table)).collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.to_owned(),
            description: file.description.clone(),
            folder: folder.to_owned(),
            roles: roles(&file, &units),
            env: file.env.clone(),
            images,
            units,
            endpoints,
        })
    }

    pub fn unit(&self, name: &UnitName) -> Option<&StackUnit> {
        self.units.iter().find(|unit| unit.name == *name)
    }

    /// Returns how many roles have to serve before those that need none are followed by this one.
    fn level(&self, role: Option<&RoleName>) -> usize {
        let Some(role) = role.and_then(|name| self.roles.iter().find(|role| role.name == *name)) else {
            return 0;
        };
        role.needs.iter().map(|need| self.level(Some(need)) + 1).max().unwrap_or(0)
    }
}

fn roles(file: &StackFile, units: &[StackUnit]) -> Vec<Role> {
    let role = |(name, table): &(RoleName, crate::config::RoleTable)| {
        let own = units.iter().filter(|unit| unit.role.as_ref() == Some(name));
        let usual = || [(name.to_string(), "true".to_owned())].into();
        Role {
            name: name.clone(),
            size: table.nodes,
            demands: table.demands.clone(),
            metadata: table.metadata.clone().unwrap_or_else(usual),
            needs: table.needs.clone(),
            port: table.port,
            checks: own.filter_map(|unit| unit.check.clone()).collect(),
        }
    };
    file.roles.iter().map(role).collect()
}

/// Returns whether a text reads anything that changes with the members of a role. A node's own number does not.
fn reads_members(text: &str, role: &RoleName) -> bool {
    let prefix = format!("LAB_{}_", variable(role.as_str()));
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let own = format!("{prefix}NUMBER");
    text.split(|c: char| !is_part(c)).any(|word| word.starts_with(&prefix) && word != own)
}

/// Makes the units of one file's tables.
struct Reader<'a> {
    path: &'a Utf8Path,
    folder: &'a Utf8Path,
    files: &'a Files,
    file: &'a StackFile,
}

impl Reader<'_> {
    fn problem(&self, line: usize, what: impl Into<String>) -> StackError {
        StackError::At { path: self.path.to_owned(), line, what: what.into() }
    }

    fn name(&self, text: &str, line: usize) -> Result<UnitName, StackError> {
        UnitName::from_argument(text).map_err(|source| StackError::Line {
            path: self.path.to_owned(),
            line,
            text: text.escape_debug().to_string(),
            source,
        })
    }

    fn unit(&self, table: &UnitTable) -> Result<StackUnit, StackError> {
        let line = table.line;
        let name = self.name(&table.name, line)?;
        let is_same =
            |other: &&UnitTable| self.name(&other.name, other.line).is_ok_and(|other| other == name);
        if self.file.units.iter().take_while(|other| other.line < line).any(|other| is_same(&other)) {
            return Err(StackError::Twice { path: self.path.to_owned(), line, unit: name });
        }
        let count = match (name.is_template(), &table.role, table.instances) {
            (true, Some(_), _) => Count::Members,
            (true, None, Some(count)) => Count::Instances(count),
            (true, None, None) => {
                let what =
                    format!("`{name}` is a template: `role` or `instances` has to say how many there are");
                return Err(self.problem(line, what));
            }
            (false, _, Some(_)) => {
                let what = format!(
                    "`{name}` is one unit; only a template, such as `{}@`, has instances",
                    name.stem()
                );
                return Err(self.problem(line, what));
            }
            (false, _, None) => Count::One,
        };
        let Some(file_name) = folder::file_of(&name, self.files) else {
            return Err(StackError::NoFile { path: self.path.to_owned(), line, unit: name });
        };
        let one = if count == Count::One { name.clone() } else { instance::numbered(&name, 1) };
        let file = folder::parse_unit(&one, &self.folder.join(file_name), &self.files[file_name])?;
        let text = file.text();
        let takes_all = text.contains(&format!("--env-file {ENV_FILE}"))
            || text.contains(&format!("--env-file={ENV_FILE}"));
        let names = |role: &RoleName| reads_members(text, role);
        let seen = self.file.roles.iter().map(|(role, _)| role).filter(|role| takes_all || names(role));
        Ok(StackUnit {
            reads: seen.chain(&table.reads).cloned().collect(),
            reads_env: takes_all || self.file.env.keys().any(|name| text.contains(name.as_str())),
            name,
            role: table.role.clone(),
            count,
            images: table.images.clone(),
            ports: table.ports.clone(),
            check: table.check.clone(),
            leader: table.leader.clone(),
            file,
        })
    }

    fn endpoint(&self, table: &EndpointTable) -> Result<Endpoint, StackError> {
        let usual = || match table.scheme.as_str() {
            "http" => {
                let (port, path, status) = (table.port, table.path.clone(), Statuses::ANY_ANSWER);
                Check { ask: Ask::Http { port, path, status }, answer: None }
            }
            _ => Check::connect(table.port),
        };
        Ok(Endpoint {
            name: table.name.clone(),
            unit: self.name(&table.unit, table.line)?,
            port: table.port,
            scheme: table.scheme.clone(),
            path: table.path.clone(),
            is_leaders: table.leader,
            check: table.check.clone().unwrap_or_else(usual),
        })
    }
}

#[cfg(test)]
mod tests;
