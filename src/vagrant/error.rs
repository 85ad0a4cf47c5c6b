//! What can go wrong with Vagrant and the hypervisors below it, and what cures it.

use std::time::Duration;

use camino::Utf8PathBuf;

use super::Version;
use super::version::OLDEST;
use crate::model::NodeName;
use crate::{exec, fs};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("`{program}` is not installed")]
    NoProgram { program: String, source: exec::Error },
    #[error(transparent)]
    Program(exec::Error),
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error("`vagrant --version` says `{said}`, which is no version")]
    NoVersion { said: String },
    #[error("Vagrant {version} is too old; {OLDEST} or newer is needed")]
    TooOld { version: Version },
    #[error("`{path}` is damaged")]
    Damaged { path: Utf8PathBuf, source: serde_json::Error },
    #[error("a Vagrant that was begun earlier still works in `{folder}` after {} s", limit.as_secs())]
    Busy { folder: Utf8PathBuf, limit: Duration },
    #[error("{0}")]
    Failed(Box<Failure>),
    #[error("`{said}` of `{program}` could not be understood")]
    Unreadable { program: &'static str, said: String },
}

/// A command of Vagrant that ended badly.
#[derive(Debug)]
pub struct Failure {
    pub verb: &'static str,
    /// Those for which it did not end well.
    pub nodes: Vec<NodeName>,
    pub code: i32,
    /// The class of Vagrant's error; empty where it did not come that far.
    pub class: String,
    pub text: String,
    pub log: Utf8PathBuf,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const LINES: usize = 12;
        let nodes: Vec<&str> = self.nodes.iter().map(NodeName::as_str).collect();
        let about = if nodes.is_empty() { String::new() } else { format!(" {}", nodes.join(" ")) };
        write!(f, "`vagrant {}{about}` ended with code {}", self.verb, self.code)?;
        let lines: Vec<&str> = self.text.lines().filter(|line| !line.trim().is_empty()).collect();
        let from = lines.len().saturating_sub(LINES);
        lines[from..].iter().try_for_each(|line| write!(f, "\n    {}", line.trim_end()))?;
        write!(f, "\n    all that it said is in `{}`", self.log)
    }
}

/// A cure, for what Vagrant says by the class of its error or somewhere in its text.
struct Cure {
    class: &'static str,
    text: &'static str,
    does: &'static str,
}

const fn by_class(class: &'static str, does: &'static str) -> Cure {
    Cure { class, text: "", does }
}

const fn by_text(text: &'static str, does: &'static str) -> Cure {
    Cure { class: "", text, does }
}

/// The first that fits counts. What the hypervisor says comes first: it is closer to the cause.
const CURES: &[Cure] = &[
    by_text(
        "VERR_VMX_IN_VMX_ROOT_MODE",
        "another hypervisor holds the processor's virtualization: stop it (KVM: `sudo modprobe -r kvm_intel`), or use `--vagrant-provider libvirt`",
    ),
    by_text(
        "VERR_SVM_IN_USE",
        "another hypervisor holds the processor's virtualization: stop it (KVM: `sudo modprobe -r kvm_amd`), or use `--vagrant-provider libvirt`",
    ),
    by_text(
        "VERR_VMX_NO_VMX",
        "switch the processor's virtualization (VT-x) on in the firmware, or use `--provider container`",
    ),
    by_text(
        "VERR_SVM_NO_SVM",
        "switch the processor's virtualization (AMD-V) on in the firmware, or use `--provider container`",
    ),
    by_text("VERR_DISK_FULL", "the disk is full: make room, and run the command again"),
    by_text("No space left on device", "the disk is full: make room, and run the command again"),
    by_text("ENOSPC", "the disk is full: make room, and run the command again"),
    by_text(
        "E_ACCESSDENIED",
        "VirtualBox allows host-only networks in 192.168.56.0/21 only: choose one with `--subnet`, or list yours in /etc/vbox/networks.conf",
    ),
    by_class(
        "VirtualBoxInvalidHostSubnet",
        "VirtualBox allows host-only networks in 192.168.56.0/21 only: choose one with `--subnet`, or list yours in /etc/vbox/networks.conf",
    ),
    by_text(
        "/dev/kvm",
        "KVM may not be used: add yourself to the group `kvm` and log in again, or set `driver = \"qemu\"` in [vagrant]",
    ),
    by_text(
        "Failed to connect socket to '/var/run/libvirt",
        "libvirtd does not run: `sudo systemctl start libvirtd`; and be in the group `libvirt`",
    ),
    by_text(
        "authentication unavailable",
        "libvirt does not let you in: add yourself to the group `libvirt`, and log in again",
    ),
    by_text(
        "that is not supported by this version",
        "this Vagrant does not know this VirtualBox: update Vagrant, or take an older VirtualBox",
    ),
    by_class(
        "VBoxManageNotFoundError",
        "install VirtualBox, or choose another with `--vagrant-provider libvirt` or `docker`",
    ),
    by_class(
        "VirtualBoxNotDetected",
        "install VirtualBox, or choose another with `--vagrant-provider libvirt` or `docker`",
    ),
    by_class(
        "VirtualBoxInvalidVersion",
        "this Vagrant does not know this VirtualBox: update Vagrant, or take an older VirtualBox",
    ),
    by_class(
        "VirtualBoxKernelModuleNotLoaded",
        "VirtualBox's kernel module is not loaded: `sudo /sbin/vboxconfig`, or restart after its installation",
    ),
    by_class(
        "ProviderNotUsable",
        "install what the provider needs, or choose another with `--vagrant-provider`",
    ),
    by_class(
        "ProviderNotFound",
        "install the plugin: `vagrant plugin install vagrant-libvirt`, or choose another with `--vagrant-provider`",
    ),
    by_text("The box 'lab/node'", "make it with `lab box build`: it is in no catalogue but this host's"),
    by_class(
        "BoxAddShortNotFound",
        "no box of this name could be reached: see `box` in [vagrant] of lab.toml, or make one here with `lab box build`",
    ),
    by_class(
        "BoxAddNoMatchingProvider",
        "this box is not made for this provider: choose another `box`, or `lab box build`",
    ),
    by_class(
        "BoxAddNoMatchingVersion",
        "this box has no such version: see `box_version` in [vagrant] of lab.toml",
    ),
    by_class("BoxNotFound", "fetch the box with `vagrant box add`, or make one with `lab box build`"),
    by_class(
        "DownloaderError",
        "the box could not be fetched: check the network, or make one here with `lab box build`",
    ),
    by_class(
        "BoxMetadataDownloadError",
        "the box could not be fetched: check the network, or make one here with `lab box build`",
    ),
    by_class("ForwardPortCollision", "run the command again: another port is chosen"),
    by_class(
        "MachineActionLockedError",
        "another `vagrant` works on this machine: wait for its end, and run the command again",
    ),
    by_class(
        "VMBootTimeout",
        "the machine did not let Vagrant in: its console is in the log folder with `serial_log = true` in [vagrant]; `boot_timeout` gives it longer",
    ),
    by_class(
        "VMBootBadState",
        "the machine ended while it booted: look at its console with `serial_log = true` in [vagrant]",
    ),
    by_class("VMCloneFailure", "run the command again"),
    by_class("VMNoMatchingState", "run the command again"),
    by_class("SSHNotReady", "the machine has ended since: `lab up` boots it again"),
    by_class("NetworkCollision", "the network is in use on this host: choose another with `--subnet`"),
    by_class("VagrantInterrupt", "run the command again: it goes on from here"),
];

impl Error {
    pub(super) fn program(source: exec::Error) -> Self {
        match &source {
            exec::Error::Start { cmd, .. } if source.is_program_missing() => {
                Self::NoProgram { program: cmd.program().to_owned(), source }
            }
            _ => Self::Program(source),
        }
    }

    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoProgram { program, .. } => Some(match program.as_str() {
                "VBoxManage" => "install VirtualBox, or choose another with `--vagrant-provider libvirt` or `docker`".to_owned(),
                "virsh" => "install libvirt (`sudo apt-get install vagrant-libvirt libvirt-clients`), or choose another with `--vagrant-provider`".to_owned(),
                _ => format!("install it (`sudo apt-get install {program}`), or use `--provider container`"),
            }),
            Self::TooOld { .. } | Self::NoVersion { .. } => {
                Some("install a newer Vagrant, or use `--provider container`".to_owned())
            }
            Self::Damaged { path, .. } => Some(format!(
                "`lab down` removes what is left of the lab; if it cannot, remove `{path}` and look for its machines by hand"
            )),
            Self::Busy { .. } => Some("wait for its end, or end it, and run the command again".to_owned()),
            Self::Failed(failure) => failure.cure().map(str::to_owned),
            Self::File(error) => error.hint(),
            Self::Program(exec::Error::Failed { stderr, .. }) => cure("", stderr).map(str::to_owned),
            Self::Program(_) | Self::Unreadable { .. } => None,
        }
    }

    /// Returns whether the ssh port that was chosen for a machine is taken by now.
    pub fn is_port_taken(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.class.ends_with("ForwardPortCollision"))
    }

    /// Returns whether another Vagrant has the machine at this moment.
    pub(super) fn is_locked(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.class.ends_with("MachineLocked"))
    }

    /// Returns whether a machine did not shut down in time, and was left as it is: libvirt's plugin does that, where that
    /// of VirtualBox switches it off.
    pub fn is_slow_shutdown(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.verb == "halt" && failure.text.contains("Fog::Errors::TimeoutError"))
    }

    /// Returns whether this host lacks a program, or a right to use it.
    pub fn is_something_missing(&self) -> bool {
        match self {
            Self::NoProgram { .. } | Self::TooOld { .. } => true,
            Self::Failed(failure) => ["NotUsable", "NotFoundError", "NotDetected", "ProviderNotFound"]
                .iter()
                .any(|part| failure.class.contains(part)),
            _ => false,
        }
    }
}

impl Failure {
    fn cure(&self) -> Option<&'static str> {
        cure(&self.class, &self.text)
    }
}

fn cure(class: &str, text: &str) -> Option<&'static str> {
    let fits = |cure: &&Cure| {
        if cure.text.is_empty() { class.ends_with(cure.class) } else { text.contains(cure.text) }
    };
    CURES.iter().find(fits).map(|cure| cure.does)
}
