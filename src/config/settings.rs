//! The settings that hold: a flag wins over the environment, that over `lab.toml`, and that over a default.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};

use super::file::{FILE_NAME, FleetTable, LabFile, MetadataTable, Provider};
use super::images::{self, ImageProblem};
use super::limits::{self, DEFAULT_BASE_IMAGE, DEFAULT_CACHE_LIMIT, DEFAULT_PREFIX, Refused};
use super::parse::{decode, parse};
use super::problem::Problems;
use super::vagrant::{VagrantProvider, VagrantSettings};
use crate::fs;
use crate::model::image::ImageSpec;
use crate::model::{Bytes, FleetSettings, LabName, NodeName, Subnet};

/// What flags say, or the environment where no flag is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flags {
    pub lab: Option<LabName>,
    pub file: Option<Utf8PathBuf>,
    pub nodes: Option<u16>,
    pub provider: Option<Provider>,
    pub vagrant_provider: Option<VagrantProvider>,
    pub prefix: Option<NodeName>,
    pub memory: Option<Bytes>,
    pub cpus: Option<f64>,
    pub subnet: Option<Subnet>,
    pub base_image: Option<String>,
    pub cache_limit: Option<Bytes>,
    pub fence: Option<bool>,
    /// Empty if nobody named any.
    pub stacks: Vec<String>,
}

/// Everything that the user wants of a lab.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub lab: LabName,
    /// The folder that the lab belongs to.
    pub project: Utf8PathBuf,
    /// `None` if nobody said a number: a lab that exists keeps its nodes.
    pub nodes: Option<u16>,
    /// `None` if nobody said it: a lab that exists keeps its own.
    pub provider: Option<Provider>,
    pub vagrant: VagrantSettings,
    pub prefix: NodeName,
    pub memory: Option<Bytes>,
    pub cpus: Option<f64>,
    /// The same of nodes that are no members of etcd.
    pub gateway_memory: Option<Bytes>,
    pub gateway_cpus: Option<f64>,
    /// `None` for one that is free.
    pub subnet: Option<Subnet>,
    pub base_image: String,
    /// What every node gets, sorted by key.
    pub images: Vec<ImageSpec>,
    pub cache_limit: Bytes,
    pub fleet: FleetSettings,
    /// Whose units `up` starts as its last step. `None` if nobody said it: a lab that exists keeps its own.
    pub stacks: Option<Vec<String>>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error(transparent)]
    Problems(#[from] Problems),
    #[error("{flag}: {refused}")]
    Flag { flag: Flag, refused: Refused },
    #[error(transparent)]
    Image(#[from] ImageProblem),
}

/// A flag and the variable that stands in for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    pub name: &'static str,
    pub variable: &'static str,
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (or `{}`)", self.name, self.variable)
    }
}

const NODES: Flag = Flag::new("--nodes", "LAB_NODES");
const NODE_PREFIX: Flag = Flag::new("--prefix", "LAB_PREFIX");
const MEMORY: Flag = Flag::new("--memory", "LAB_MEMORY");
const CPUS: Flag = Flag::new("--cpus", "LAB_CPUS");
const SUBNET: Flag = Flag::new("--subnet", "LAB_SUBNET");
const BASE_IMAGE: Flag = Flag::new("--base-image", "LAB_BASE_IMAGE");
const CACHE_LIMIT: Flag = Flag::new("--cache-limit", "LAB_CACHE_LIMIT");
const STACK: Flag = Flag::new("--stack", "LAB_STACK");

/// The stack that has no units.
const NO_STACK: &str = "none";

impl Flag {
    const fn new(name: &'static str, variable: &'static str) -> Self {
        Self { name, variable }
    }

    fn check<T>(self, result: Result<T, Refused>) -> Result<T, Error> {
        result.map_err(|refused| Error::Flag { flag: self, refused })
    }
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) if error.is_not_found() => Some("`lab init` writes a lab.toml".to_owned()),
            Self::File(error) => error.hint(),
            Self::Problems(problems) => problems.hint(),
            Self::Flag { refused, .. } => refused.suggestion().map(str::to_owned),
            Self::Image(problem) => Some(problem.hint()),
        }
    }
}

impl Settings {
    /// Finds and reads `lab.toml`, if there is one, and lets flags win over it.
    pub fn load(flags: Flags, cwd: &Utf8Path, home: Option<&Utf8Path>) -> Result<Self, Error> {
        let Some(path) = locate(flags.file.as_deref(), cwd, home) else {
            return Self::resolve(flags, LabFile::default(), &images::folders(cwd)?, cwd);
        };
        let file = load_file(&path, path.strip_prefix(cwd).unwrap_or(&path))?;
        let folder = path.parent().unwrap_or(cwd);
        // A folder that was named `..` has no name to call the lab by.
        let folder = folder.canonicalize_utf8().unwrap_or_else(|_| folder.to_owned());
        Self::resolve(flags, file, &images::folders(&folder)?, &folder)
    }

    /// Decides every value. Those of the file are checked already; those of flags are checked here.
    /// `found` names the folders that are images also without a table.
    pub fn resolve(flags: Flags, file: LabFile, found: &[String], folder: &Utf8Path) -> Result<Self, Error> {
        let prefix = flags.prefix.map(|prefix| NODE_PREFIX.check(limits::prefix(prefix.as_str())));
        let image = flags.base_image.map(|image| BASE_IMAGE.check(limits::base_image(&image)));
        let nodes = flags.nodes.map(|count| NODES.check(limits::nodes(count.into())));
        let memory = flags.memory.map(|bytes| MEMORY.check(limits::memory(bytes)));
        let cpus = flags.cpus.map(|count| CPUS.check(limits::cpus(count)));
        let subnet = flags.subnet.map(|subnet| SUBNET.check(limits::subnet(subnet)));
        let cache_limit = flags.cache_limit.map(|bytes| CACHE_LIMIT.check(limits::cache_limit(bytes)));
        let (memory, cpus) = (memory.transpose()?, cpus.transpose()?);
        let stacks = flags.stacks.iter().map(|name| STACK.check(limits::stack(name)));
        let stacks: Vec<String> = stacks.collect::<Result<_, _>>()?;
        let stacks = if stacks.is_empty() { file.stack } else { Some(stacks) };
        Ok(Self {
            fleet: fleet(flags.fence, &file.fleet, file.metadata),
            stacks: stacks.map(|names| names.into_iter().filter(|name| name != NO_STACK).collect()),
            images: images::specs(&file.images, found, folder)?,
            cache_limit: cache_limit.transpose()?.or(file.cache.limit).unwrap_or(DEFAULT_CACHE_LIMIT),
            lab: flags.lab.or(file.name).unwrap_or_else(|| lab_of(folder)),
            project: folder.to_owned(),
            nodes: nodes.transpose()?.or(file.nodes),
            // Who names a machine's provider wants machines.
            provider: flags.provider.or(flags.vagrant_provider.map(|_| Provider::Vagrant)).or(file.provider),
            vagrant: VagrantSettings::resolve(flags.vagrant_provider, file.vagrant),
            prefix: prefix.transpose()?.or(file.node.prefix).unwrap_or_else(default_prefix),
            // A flag is meant for all nodes.
            gateway_memory: memory.or(file.node.gateway_memory).or(file.node.memory),
            gateway_cpus: cpus.or(file.node.gateway_cpus).or(file.node.cpus),
            memory: memory.or(file.node.memory),
            cpus: cpus.or(file.node.cpus),
            subnet: subnet.transpose()?.or(file.network.subnet),
            base_image: image
                .transpose()?
                .or(file.image.base)
                .unwrap_or_else(|| DEFAULT_BASE_IMAGE.to_owned()),
        })
    }
}

/// Flags say of the fleet only whether it fences; what machines are is no matter of one command.
fn fleet(fence: Option<bool>, table: &FleetTable, metadata: MetadataTable) -> FleetSettings {
    FleetSettings {
        engine: table.engine.unwrap_or_default(),
        fence: fence.or(table.fence).unwrap_or_default(),
        metadata: metadata.all,
        node_metadata: metadata.nodes,
    }
}

fn lab_of(folder: &Utf8Path) -> LabName {
    LabName::from_folder(folder.file_name().unwrap_or_default())
}

fn default_prefix() -> NodeName {
    NodeName::parse(DEFAULT_PREFIX).expect("the default is a host name")
}

/// Returns the `lab.toml` that holds in `cwd`: the one that is named, else that of the folder or of one
/// above it. The search ends at the root of the repository or at the home folder; outside of both it
/// does not begin, for there a folder above may be anybody's, as `/tmp` is.
pub fn locate(named: Option<&Utf8Path>, cwd: &Utf8Path, home: Option<&Utf8Path>) -> Option<Utf8PathBuf> {
    if let Some(named) = named {
        return Some(cwd.join(named));
    }
    let home = home.and_then(|home| home.canonicalize_utf8().ok());
    let is_last = |folder: &&Utf8Path| folder.join(".git").exists() || Some(*folder) == home.as_deref();
    let last = cwd.ancestors().find(is_last).unwrap_or(cwd);
    cwd.ancestors()
        .take_while(|folder| folder.starts_with(last))
        .map(|folder| folder.join(FILE_NAME))
        .find(|path| path.symlink_metadata().is_ok())
}

/// Reads one file; `shown` is how messages call it.
pub fn load_file(path: &Utf8Path, shown: &Utf8Path) -> Result<LabFile, Error> {
    let text = decode(fs::read(path)?, shown)?;
    Ok(parse(&text, shown)?)
}

#[cfg(test)]
mod tests;
