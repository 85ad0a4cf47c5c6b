//! What runs virtual machines below Vagrant, asked and told directly.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;

use camino::{Utf8Path, Utf8PathBuf};

use super::super::{Error, MachineState};
use crate::config::Driver;
use crate::fs;
use crate::model::Subnet;
use crate::vagrant::libvirt::{self, Libvirt};
use crate::vagrant::{NodeEntry, virtualbox};

const SSH_PORT: u16 = 22;
const KVM: &str = "/dev/kvm";
const NETWORKS_CONF: &str = "/etc/vbox/networks.conf";
/// Where libvirt's own helper for shared folders is, by distribution.
const VIRTIOFSD: [&str; 3] = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/lib/virtiofsd"];

pub(super) enum Hypervisor {
    VirtualBox,
    Libvirt(Libvirt),
}

impl Hypervisor {
    /// Returns how a machine is; `None` if there is none of this name or id.
    pub(super) async fn state(&self, machine: &str) -> Result<Option<MachineState>, Error> {
        Ok(match self {
            Self::VirtualBox => virtualbox::state(machine).await?.map(|state| match state {
                virtualbox::State::Running => MachineState::Running,
                virtualbox::State::Paused => MachineState::Paused,
                virtualbox::State::Off => MachineState::Stopped,
                virtualbox::State::Unusable => MachineState::Broken,
            }),
            Self::Libvirt(libvirt) => libvirt.state(machine).await?.map(|state| match state {
                libvirt::State::Running => MachineState::Running,
                libvirt::State::Paused => MachineState::Paused,
                libvirt::State::Off => MachineState::Stopped,
                libvirt::State::Unusable => MachineState::Broken,
            }),
        })
    }

    /// Returns where the sshd of a machine that runs is reached, once that is known.
    pub(super) async fn ssh(&self, node: &NodeEntry) -> Result<Option<SocketAddr>, Error> {
        Ok(match self {
            Self::VirtualBox => node.ssh_port.map(|port| SocketAddr::from(([127, 0, 0, 1], port))),
            Self::Libvirt(libvirt) => {
                libvirt.address(&node.machine).await?.map(|address| SocketAddr::from((address, SSH_PORT)))
            }
        })
    }

    pub(super) async fn resume(&self, machine: &str) -> Result<(), Error> {
        match self {
            Self::VirtualBox => virtualbox::resume(machine).await?,
            Self::Libvirt(libvirt) => libvirt.resume(machine).await?,
        }
        Ok(())
    }

    /// Switches a machine off, unless it is.
    pub(super) async fn power_off(&self, machine: &str) -> Result<(), Error> {
        if self.state(machine).await? == Some(MachineState::Running) {
            match self {
                Self::VirtualBox => virtualbox::power_off(machine).await?,
                Self::Libvirt(libvirt) => libvirt.power_off(machine).await?,
            }
        }
        Ok(())
    }

    /// Removes a machine that Vagrant does not know, or could not remove.
    pub(super) async fn sweep(&self, machine: &str) -> Result<(), Error> {
        if self.state(machine).await?.is_none() {
            return Ok(());
        }
        match self {
            Self::VirtualBox => {
                // One that is off cannot be switched off, and need not be.
                drop(virtualbox::power_off(machine).await);
                virtualbox::remove(machine).await?;
            }
            Self::Libvirt(libvirt) => libvirt.remove(machine).await?,
        }
        Ok(())
    }

    /// Makes the network between the lab's machines and this host, where Vagrant would make several at a time.
    /// Returns whether there was none.
    pub(super) async fn ensure_network(&self, subnet: Subnet, turn: &Utf8Path) -> Result<bool, Error> {
        if let Self::Libvirt(libvirt) = self {
            // One that does not run is told before a box is fetched for it; Vagrant makes the network itself.
            libvirt.networks().await?;
            return Ok(false);
        }
        let conf = fs::read_if_present(NETWORKS_CONF.into())?.unwrap_or_default();
        if !virtualbox::allows(subnet, &conf) {
            return Err(Error::SubnetRefused { wanted: subnet });
        }
        let _turn = take_turn(turn).await?;
        let networks = virtualbox::host_only_networks().await?;
        if networks.iter().any(|network| network.address == subnet.gateway()) {
            return Ok(false);
        }
        virtualbox::make_host_only(subnet.gateway()).await?;
        Ok(true)
    }

    /// Removes the network of a lab.
    pub(super) async fn remove_network(&self, subnet: Subnet, name: &str) -> Result<(), Error> {
        match self {
            Self::VirtualBox => {
                for network in virtualbox::host_only_networks().await? {
                    if network.address == subnet.gateway() {
                        virtualbox::remove_host_only(&network.name).await?;
                    }
                }
            }
            Self::Libvirt(libvirt) => libvirt.remove_network(name).await?,
        }
        Ok(())
    }

    /// Returns networks that a lab must not have, and whose they are.
    pub(super) async fn taken(&self) -> Result<Vec<(Subnet, String)>, Error> {
        let Self::VirtualBox = self else { return Ok(Vec::new()) };
        let networks = virtualbox::host_only_networks().await?.into_iter();
        let named = networks.filter_map(|network| {
            let [a, b, c, _] = network.address.octets();
            let subnet = Subnet::new([a, b, c, 0].into(), 24).ok()?;
            Some((subnet, format!("the network of `{}`", network.name)))
        });
        Ok(named.collect())
    }
}

/// Waits for its turn among all that make networks: VirtualBox gives two that ask at once the same address.
async fn take_turn(path: &Utf8Path) -> Result<File, Error> {
    let path = path.to_owned();
    if let Some(folder) = path.parent() {
        fs::create_dir(folder)?;
    }
    let waiting = path.clone();
    let locked = tokio::task::spawn_blocking(move || {
        let file = OpenOptions::new().create(true).append(true).open(&waiting)?;
        file.lock().map(|()| file)
    });
    locked.await.expect("taking a lock does not panic").map_err(|source| Error::Turn { path, source })
}

/// Decides how libvirt runs machines. What was asked for has to be possible.
pub(super) fn driver(wanted: Option<Driver>) -> Result<Driver, Error> {
    let usable = || OpenOptions::new().read(true).write(true).open(KVM);
    match wanted {
        Some(Driver::Qemu) => Ok(Driver::Qemu),
        Some(Driver::Kvm) => match usable() {
            Ok(_) => Ok(Driver::Kvm),
            Err(source) => Err(Error::NoKvm { source }),
        },
        None => match usable() {
            Ok(_) => Ok(Driver::Kvm),
            Err(source) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(Error::NoKvm { source })
            }
            Err(_) => Ok(Driver::Qemu),
        },
    }
}

/// Returns the store, if machines of libvirt can be shown it where it lies.
pub(super) fn shown_store(store: &Utf8Path) -> Option<Utf8PathBuf> {
    VIRTIOFSD.iter().any(|path| Utf8Path::new(path).exists()).then(|| store.to_owned())
}
