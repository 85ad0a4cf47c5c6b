//! Nodes as machines that Vagrant makes, with VirtualBox, libvirt or Docker below it.
//!
//! The nodes file in the lab's Vagrant folder says which machines there are to be; how they are, the hypervisor is
//! asked directly. A machine is a node only when it has been given its seed.

use std::net::SocketAddr;
use std::time::Duration;

use camino::Utf8PathBuf;
use futures_util::future::try_join_all;
use tokio::sync::OnceCell;

use super::container::{Containers, Place};
use super::{Error, Limits, MachineState, Nature, Provider, Seen, host};
use crate::checkpoint::Checkpoint;
use crate::config::{Driver, StateDir, VagrantSettings};
use crate::docker::{self, Engine};
use crate::fs;
use crate::model::image::{STORE_ON_NODE, SharedImage};
use crate::model::{LabName, NodeName, Seed, Subnet, Topology};
use crate::progress::{Progress, Step};
use crate::vagrant::libvirt::Libvirt;
use crate::vagrant::{
    Folder, Kind, LibvirtSettings, Login, NodesFile, Vagrant, What, is_box_there, virtualbox,
};

mod boot;
mod crew;
mod entry;
mod hypervisor;
mod index;
mod login;
mod look;
mod programs;
mod take;

use crew::Crew;
use hypervisor::Hypervisor;
pub use index::Index;
use login::BoxLogin;
pub use look::labs;
pub use programs::Images;

const NAME: &str = "vagrant";
const USER: &str = "core";

/// What the provider needs to know of its user, besides what one of containers does.
pub struct Setting {
    pub settings: VagrantSettings,
    pub kind: Kind,
    /// Where this user's labs are written down that Vagrant made.
    pub index: Index,
    /// The program that keeps Vagrant from being left to itself.
    pub keeper: Utf8PathBuf,
    /// Where Vagrant keeps boxes.
    pub vagrant_home: Utf8PathBuf,
    /// Taken by whoever makes a network between this host and virtual machines.
    pub network_turn: Utf8PathBuf,
    /// The address of libvirt, if it is not the usual one.
    pub libvirt_uri: Option<String>,
    pub images: Images,
}

pub struct Vagrants {
    place: Place,
    setting: Setting,
    below: Below,
    crew: OnceCell<Crew>,
    login: OnceCell<BoxLogin>,
    labd: OnceCell<Vec<u8>>,
    programs: OnceCell<Vec<(&'static str, Vec<u8>)>>,
}

/// Who runs the machines.
enum Below {
    Docker(Box<Containers>),
    Machines(Hypervisor),
}

impl Vagrants {
    /// `engine` is needed where machines are containers.
    pub fn new(engine: Option<Engine>, place: Place, setting: Setting) -> Result<Self, Error> {
        let below = match (setting.kind, engine) {
            (Kind::VirtualBox, _) => Below::Machines(Hypervisor::VirtualBox),
            (Kind::Libvirt, _) => {
                Below::Machines(Hypervisor::Libvirt(Libvirt::at(setting.libvirt_uri.clone())))
            }
            (Kind::Docker, Some(engine)) => {
                Below::Docker(Box::new(Containers::for_maker(engine, place.clone(), NAME)))
            }
            (Kind::Docker, None) => return Err(Error::NoEngine),
        };
        let (crew, login) = (OnceCell::new(), OnceCell::new());
        Ok(Self { place, setting, below, crew, login, labd: OnceCell::new(), programs: OnceCell::new() })
    }

    pub(super) fn kind(&self) -> Kind {
        self.setting.kind
    }

    pub(super) fn engine(&self) -> Option<&Engine> {
        match &self.below {
            Below::Docker(containers) => Some(containers.engine()),
            Below::Machines(_) => None,
        }
    }

    fn project(&self, lab: &LabName) -> Utf8PathBuf {
        self.setting.index.find(lab).map_or_else(|| self.place.project.clone(), |entry| entry.project)
    }

    fn boot_limit(&self) -> Duration {
        Duration::from_secs(self.setting.settings.boot_timeout.into())
    }

    fn folder(&self, lab: &LabName) -> Folder {
        Folder::of(&self.project(lab), lab)
    }

    async fn crew(&self, lab: &LabName) -> &Crew {
        let make = async || {
            let vagrant = Vagrant::new(self.folder(lab), self.setting.keeper.clone());
            Crew::new(vagrant, self.setting.kind)
        };
        self.crew.get_or_init(make).await
    }

    /// Returns what is known of the lab's machines, which have to be of this provider.
    fn known(&self, lab: &LabName) -> Result<Option<NodesFile>, Error> {
        let known = self.folder(lab).load()?;
        if let Some(known) = known.as_ref().filter(|known| known.provider != self.setting.kind) {
            // It failed before it made anything, and somebody tries another.
            if known.nodes.is_empty() && !known.has_own_network {
                return Ok(None);
            }
            return Err(Error::OtherProvider {
                lab: lab.clone(),
                has: known.provider.to_string(),
                wanted: self.setting.kind.to_string(),
            });
        }
        Ok(known)
    }

    /// Changes what is known. No other task of this command comes in between, and the lab is ours alone.
    fn change(&self, lab: &LabName, change: impl FnOnce(&mut NodesFile)) -> Result<(), Error> {
        let folder = self.folder(lab);
        if let Some(mut nodes) = folder.load()? {
            change(&mut nodes);
            folder.save(&nodes)?;
        }
        Ok(())
    }

    /// Returns what the Vagrantfile is told of a lab, with the nodes that it has already.
    fn nodes_file(&self, topology: &Topology) -> Result<NodesFile, Error> {
        let known = self.known(&topology.lab)?.filter(|known| known.id == topology.id);
        let settings = &self.setting.settings;
        let libvirt = match &self.below {
            Below::Machines(Hypervisor::Libvirt(_)) => Some(self.libvirt_settings(topology)?),
            Below::Machines(Hypervisor::VirtualBox) | Below::Docker(_) => None,
        };
        Ok(NodesFile {
            lab: topology.lab.clone(),
            id: topology.id.clone(),
            provider: self.setting.kind,
            subnet: topology.subnet,
            boot_timeout: settings.boot_timeout,
            base: (self.setting.kind != Kind::Docker).then(|| settings.base.clone()),
            libvirt,
            has_own_network: known.as_ref().is_some_and(|known| known.has_own_network),
            nodes: known.map(|known| known.nodes).unwrap_or_default(),
        })
    }

    fn libvirt_settings(&self, topology: &Topology) -> Result<LibvirtSettings, Error> {
        let driver = hypervisor::driver(self.setting.settings.driver)?;
        Ok(LibvirtSettings {
            driver: if driver == Driver::Kvm { "kvm" } else { "qemu" }.to_owned(),
            network: format!("lab-{}", topology.lab),
            store: hypervisor::shown_store(&self.place.store),
            store_on_node: STORE_ON_NODE.to_owned(),
        })
    }

    async fn prepare_machines(
        &self,
        hypervisor: &Hypervisor,
        topology: &Topology,
        progress: &Progress,
    ) -> Result<(), Error> {
        let lab = &topology.lab;
        if hypervisor.ensure_network(topology.subnet, &self.setting.network_turn).await? {
            self.change(lab, |nodes| nodes.has_own_network = true)?;
        }
        // Seen by nodes from their first boot on, also if images come later.
        fs::create_dir(&self.place.store)?;
        let (base, kind) = (&self.setting.settings.base, self.setting.kind);
        if is_box_there(&self.setting.vagrant_home, base, kind) {
            return Ok(());
        }
        let step = progress.begin("box", format!("fetching the box {}", base.name));
        let news = step.news();
        let added = self.crew(lab).await.vagrant().add_box(base, kind, |told| {
            if let What::Said { text } = &told.what {
                news(text.clone());
            }
        });
        match added.await {
            Ok(()) => step.done(format!("the box {} is here", base.name)),
            Err(error) => {
                step.failed(format!("the box {} could not be fetched", base.name));
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Finds the machines of a lab whose folder is gone; they can only be removed.
    async fn leftovers(
        &self,
        lab: &LabName,
        hypervisor: &Hypervisor,
        taken: Vec<(Subnet, String)>,
    ) -> Result<Seen, Error> {
        let Some(entry) = self.setting.index.find(lab) else { return Ok(look::nothing(taken)) };
        let mut found = Vec::new();
        for node in entry.nodes {
            if hypervisor.state(&entry::machine_name(lab, &node)).await?.is_some() {
                found.push(node);
            }
        }
        Ok(look::leftovers(&entry.project, found, taken))
    }

    /// Removes what Vagrant does not know of, or failed to remove.
    async fn sweep(&self, lab: &LabName, node: &NodeName) -> Result<(), Error> {
        match &self.below {
            Below::Docker(containers) => containers.remove_machine(lab, node).await,
            Below::Machines(hypervisor) => hypervisor.sweep(&entry::machine_name(lab, node)).await,
        }
    }
}

impl Provider for Vagrants {
    fn name(&self) -> &'static str {
        NAME
    }

    fn nature(&self) -> Nature {
        match &self.below {
            Below::Docker(containers) => containers.nature(),
            Below::Machines(Hypervisor::VirtualBox) => {
                Nature { has_own_nics: true, subnets: virtualbox::subnets(), boot_limit: self.boot_limit() }
            }
            Below::Machines(Hypervisor::Libvirt(_)) => {
                Nature { has_own_nics: true, subnets: Vec::new(), boot_limit: self.boot_limit() }
            }
        }
    }

    async fn observe(&self, lab: &LabName) -> Result<Seen, Error> {
        let (folder, known) = (self.folder(lab), self.known(lab)?);
        let kind = self.setting.kind;
        match &self.below {
            Below::Docker(containers) => {
                let mut seen = containers.observe(lab).await?;
                for (node, machine) in &mut seen.machines {
                    // Its making was cut off before Vagrant knew it.
                    if folder.machine_id(node, kind)?.is_none() {
                        machine.state = MachineState::Broken;
                    }
                }
                Ok(seen)
            }
            Below::Machines(hypervisor) => {
                let mut taken = hypervisor.taken().await?;
                taken.extend(host::routes());
                let Some(known) = known else { return self.leftovers(lab, hypervisor, taken).await };
                let looks = known.nodes.iter().map(async |entry| {
                    let id = folder.machine_id(&entry.name, kind)?;
                    let state = hypervisor.state(id.as_deref().unwrap_or(&entry.machine)).await?;
                    let is_running = state == Some(MachineState::Running);
                    let ssh = if is_running { hypervisor.ssh(entry).await? } else { None };
                    Ok::<_, Error>(look::Found { entry, id, state, ssh })
                });
                let found = try_join_all(looks).await?;
                Ok(look::seen(&known, &self.project(lab), found, taken))
            }
        }
    }

    async fn prepare(
        &self,
        topology: &Topology,
        images: &[SharedImage],
        progress: &Progress,
    ) -> Result<(), Error> {
        let version = Vagrant::version().await?;
        if version.is_untried() {
            progress.note("vagrant", format!("Vagrant {version} is newer than all that were tried"));
        }
        let file = self.nodes_file(topology)?;
        let (project, provider) = (self.place.project.clone(), self.setting.kind);
        let nodes = self.setting.index.find(&topology.lab).map(|entry| entry.nodes).unwrap_or_default();
        self.setting.index.put(&topology.lab, &index::Entry { project, provider, nodes })?;
        self.folder(&topology.lab).save(&file)?;
        match &self.below {
            Below::Docker(containers) => containers.prepare(topology, images, progress).await,
            Below::Machines(hypervisor) => {
                self.prepare_machines(hypervisor, topology, progress).await?;
                Checkpoint::NetworkMade.reached();
                Ok(())
            }
        }
    }

    async fn create(&self, seed: &Seed, limits: Limits) -> Result<(), Error> {
        let config = &seed.config;
        let folder = self.folder(&config.lab);
        // What is left of a machine of this name would be in the way.
        self.sweep(&config.lab, &config.node).await?;
        folder.forget(&config.node, self.setting.kind)?;
        let mut entry = entry::new(seed, limits);
        match &self.below {
            Below::Docker(containers) => {
                let spec = containers.spec(seed, limits).await?;
                let environment = folder.environment(&config.node);
                fs::write(&environment, docker::env_file(&spec), fs::Access::Private)?;
                entry.create_args = docker::run_args(&spec, environment.as_str());
                entry.image = Some(spec.image);
                let key = StateDir::new(&self.project(&config.lab), &config.lab).private_key();
                entry.login = Some(Login { user: USER.to_owned(), key, machine: None });
            }
            Below::Machines(_) => {
                let settings = &self.setting.settings;
                entry.serial_log = settings.has_serial_log.then(|| folder.console(&config.node));
                if settings.base.wants_ignition() {
                    entry::add_ignition(&mut entry, seed, &folder)?;
                }
            }
        }
        self.setting.index.add(&config.lab, &config.node)?;
        let needs_port = self.setting.kind == Kind::VirtualBox;
        self.change(&config.lab, |nodes| entry::put(nodes, entry, needs_port))
    }

    async fn start(&self, seed: &Seed, step: &Step) -> Result<(), Error> {
        match &self.below {
            Below::Docker(containers) => self.start_container(containers, seed, step).await,
            Below::Machines(hypervisor) => self.start_machine(hypervisor, seed, step).await,
        }
    }

    async fn thaw(&self, lab: &LabName, node: &NodeName) -> Result<(), Error> {
        match &self.below {
            Below::Docker(containers) => containers.thaw(lab, node).await,
            Below::Machines(hypervisor) => hypervisor.resume(&entry::machine_name(lab, node)).await,
        }
    }

    async fn ssh_address(&self, lab: &LabName, node: &NodeName) -> Result<Option<SocketAddr>, Error> {
        match &self.below {
            Below::Docker(containers) => containers.ssh_address(lab, node).await,
            Below::Machines(hypervisor) => {
                let Some(known) = self.known(lab)? else { return Ok(None) };
                let Some(entry) = known.node(node) else { return Ok(None) };
                match hypervisor.state(&entry.machine).await? {
                    Some(MachineState::Running) => hypervisor.ssh(entry).await,
                    _ => Ok(None),
                }
            }
        }
    }

    async fn stop(&self, lab: &LabName, node: &NodeName) -> Result<(), Error> {
        match &self.below {
            // A frozen init cannot shut its machine down.
            Below::Docker(containers) => containers.thaw(lab, node).await?,
            Below::Machines(hypervisor) => {
                let machine = entry::machine_name(lab, node);
                if hypervisor.state(&machine).await? == Some(MachineState::Paused) {
                    hypervisor.resume(&machine).await?;
                }
            }
        }
        match (self.crew(lab).await.halt(node).await, &self.below) {
            // While a machine boots, neither its sshd nor the power button ends it.
            (Err(error), Below::Machines(hypervisor)) if error.is_slow_shutdown() => {
                hypervisor.power_off(&entry::machine_name(lab, node)).await
            }
            (end, _) => Ok(end?),
        }
    }

    async fn limit(&self, lab: &LabName, node: &NodeName, limits: Limits) -> Result<bool, Error> {
        self.change(lab, |nodes| {
            if let Some(entry) = nodes.node_mut(node) {
                entry::limit(entry, limits);
            }
        })?;
        if let Below::Docker(containers) = &self.below {
            return containers.limit(lab, node, limits).await;
        }
        let seen = self.observe(lab).await?;
        let runs = seen.machines.get(node).is_some_and(|machine| machine.state == MachineState::Running);
        if runs {
            self.stop(lab, node).await?;
            let crew = self.crew(lab).await;
            crew.up(node, |_| {}).await.unwrap_or(Ok(())).map_err(Error::Vagrant)?;
        }
        Ok(runs)
    }

    async fn remove_machine(&self, lab: &LabName, node: &NodeName) -> Result<(), Error> {
        let folder = self.folder(lab);
        if folder.machine_id(node, self.setting.kind)?.is_some() {
            // What Vagrant cannot remove, as its own files are damaged, can be swept.
            drop(self.crew(lab).await.destroy(node).await);
        }
        self.sweep(lab, node).await?;
        Ok(folder.forget(node, self.setting.kind)?)
    }

    async fn remove_data(&self, lab: &LabName, node: &NodeName) -> Result<(), Error> {
        if let Below::Docker(containers) = &self.below {
            containers.remove_data(lab, node).await?;
        }
        self.change(lab, |nodes| nodes.drop_node(node))
    }

    async fn remove_network(&self, lab: &LabName) -> Result<(), Error> {
        match &self.below {
            Below::Docker(containers) => containers.remove_network(lab).await?,
            Below::Machines(hypervisor) => {
                if let Some(known) = self.known(lab)? {
                    // Vagrant makes that of libvirt with the first machine.
                    let was_made = self.setting.index.find(lab).is_some_and(|entry| !entry.nodes.is_empty());
                    let is_ours = (self.setting.kind == Kind::Libvirt && was_made) || known.has_own_network;
                    if is_ours {
                        hypervisor.remove_network(known.subnet, &format!("lab-{lab}")).await?;
                    }
                }
            }
        }
        self.folder(lab).remove()?;
        Ok(self.setting.index.remove(lab)?)
    }

    async fn console(&self, lab: &LabName, node: &NodeName, lines: u32) -> Result<String, Error> {
        if let Below::Docker(containers) = &self.below {
            return containers.console(lab, node, lines).await;
        }
        let text = fs::read_if_present(&self.folder(lab).console(node))?.unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        let from = all.len().saturating_sub(usize::try_from(lines).unwrap_or(usize::MAX));
        Ok(all[from..].join("\n"))
    }

    async fn finish(&self, lab: &LabName) -> Result<(), Error> {
        let crew = self.crew(lab).await;
        crew.finish().await.map_err(Error::Vagrant)?;
        Ok(crew.vagrant().until_others_ended().await?)
    }

    async fn abandon(&self, lab: &LabName) -> Result<(), Error> {
        let crew = self.crew(lab).await;
        crew.abandon().await;
        Ok(crew.vagrant().until_others_ended().await?)
    }
}
