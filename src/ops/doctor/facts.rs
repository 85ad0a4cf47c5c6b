//! What is known of this host: plain data, gathered elsewhere and judged elsewhere.

use camino::Utf8PathBuf;

use crate::docker::{EngineFacts, Network};
use crate::model::{LabName, Subnet};

/// All that an examination looks at. What could not be told is `None`, and is not judged.
#[derive(Debug, Clone)]
pub struct HostFacts {
    pub is_linux: bool,
    pub is_root: bool,
    /// Whether systemd starts and ends the services of this host.
    pub has_systemd: bool,
    pub engine: EngineState,
    /// Where another engine than the one asked listens, such as a user's own.
    pub other_socket: Option<String>,
    /// The kernel that nodes share. `None` where the engine runs on another machine, or in a VM.
    pub kernel: Option<KernelFacts>,
    /// The disk of the engine, if it is one of this host.
    pub engine_disk: Option<Disk>,
    pub project_disk: Option<Disk>,
    pub project: Utf8PathBuf,
    pub project_state: FolderState,
    /// The folder in the project where labs keep their keys.
    pub keys: Utf8PathBuf,
    pub keys_state: FolderState,
    pub cache: Utf8PathBuf,
    pub cache_state: FolderState,
    pub labd_path: Utf8PathBuf,
    pub labd: Labd,
    /// The network that lab.toml asks for.
    pub wanted: Option<Subnet>,
    pub labs: Vec<LabFolder>,
    pub programs: Programs,
    pub installer: Option<Installer>,
}

#[derive(Debug, Clone)]
pub enum EngineState {
    Up {
        host: String,
        facts: EngineFacts,
        networks: Vec<Network>,
    },
    /// The socket is there, and this user may not use it.
    Denied {
        host: String,
    },
    /// Nobody listens at a socket of this host.
    Stopped {
        host: String,
    },
    /// Nobody answers at an address.
    Silent {
        host: String,
    },
    TooOld {
        host: String,
        version: String,
    },
    /// It answers, and cannot say what it is.
    Failing {
        says: String,
    },
}

#[derive(Debug, Clone, Default)]
pub struct KernelFacts {
    pub cpus: u64,
    pub memory: Option<Memory>,
    pub inotify: Option<Inotify>,
    pub cgroups: Option<Cgroups>,
    /// The bounding set of capabilities, as a set of bits.
    pub capabilities: Option<u64>,
    pub has_overlay: Option<bool>,
    pub forwards_packets: Option<bool>,
    /// Whether iptables sees what passes over a bridge. `None` where the module is not loaded.
    pub filters_bridges: Option<bool>,
    pub routes: Vec<Route>,
}

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub total: u64,
    pub available: u64,
    pub swap_total: u64,
    pub swap_free: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inotify {
    pub max_instances: u64,
    pub max_watches: u64,
    /// How many instances root has, to whom the daemons on nodes belong.
    pub instances_in_use: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroups {
    pub generation: Generation,
    pub controllers: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    Absent,
    V1,
    /// The controllers are those of version 1, and version 2 is mounted beside them.
    Hybrid,
    V2,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub subnet: Subnet,
    pub interface: String,
    pub is_bridge: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    pub path: Utf8PathBuf,
    pub free_bytes: u64,
    /// `None` on file systems that do not count them.
    pub free_inodes: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderState {
    Absent,
    Writable,
    /// It belongs to someone else.
    Denied,
    ReadOnly,
    /// The file system does not answer.
    Silent,
}

/// The program that nodes boot with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labd {
    Unreadable,
    /// A program, if at all, of another operating system.
    NotLinux,
    /// A Linux program for this processor, in Docker's words.
    For(&'static str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabFolder {
    pub lab: LabName,
    pub project: Utf8PathBuf,
    pub is_there: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Program {
    #[default]
    Absent,
    Present {
        /// Only where it is asked for, and told in time.
        version: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Programs {
    pub ssh: Program,
    pub mmdebstrap: Program,
    pub vagrant: Program,
    pub virtualbox: Program,
    pub dockerd: Program,
}

/// The host's way to install a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installer {
    Apt,
    Dnf,
    Zypper,
    Pacman,
    Apk,
    Brew,
}

impl HostFacts {
    /// Returns a line that root has to run, as this user would type it.
    pub(super) fn as_root(&self, line: &str) -> String {
        if self.is_root { line.to_owned() } else { format!("sudo {line}") }
    }

    /// Returns the line that installs a package, or the repository's own way to do so.
    pub(super) fn install(&self, package: &str) -> String {
        match self.installer {
            Some(Installer::Apt) => self.as_root(&format!("apt-get install {package}")),
            Some(Installer::Dnf) => self.as_root(&format!("dnf install {package}")),
            Some(Installer::Zypper) => self.as_root(&format!("zypper install {package}")),
            Some(Installer::Pacman) => self.as_root(&format!("pacman -S {package}")),
            Some(Installer::Apk) => self.as_root(&format!("apk add {package}")),
            Some(Installer::Brew) => format!("brew install {package}"),
            None => "scripts/setup  # in the repository of lab".to_owned(),
        }
    }

    pub(super) fn engine_facts(&self) -> Option<&EngineFacts> {
        match &self.engine {
            EngineState::Up { facts, .. } => Some(facts),
            _ => None,
        }
    }
}
