//! Boots machines, and makes those nodes that are none yet.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::super::container::Containers;
use super::super::{Error, MachineState, Provider as _};
use super::hypervisor::Hypervisor;
use super::login::BoxLogin;
use super::take::Newcomer;
use super::{USER, Vagrants, entry, programs};
use crate::config::StateDir;
use crate::fs;
use crate::model::{LabName, NodeName, Seed};
use crate::progress::Step;
use crate::vagrant::{Login, NodeEntry};

const RUNNING_EVERY: Duration = Duration::from_millis(50);
/// A look at a virtual machine starts a program.
const BOOTED_EVERY: Duration = Duration::from_millis(300);
/// A machine that ends right after its boot is not there to be found.
const FOUND_LIMIT: Duration = Duration::from_secs(30);

impl Vagrants {
    /// Boots a container; it is one of the lab's nodes from its first moment on, so that nobody has to wait for
    /// Vagrant to see it too.
    pub(super) async fn start_container(
        &self,
        containers: &Containers,
        seed: &Seed,
        step: &Step,
    ) -> Result<(), Error> {
        let (lab, node) = (&seed.config.lab, &seed.config.node);
        let up = self.crew(lab).await.up(node, step.news());
        let running = async {
            while containers.ssh_address(lab, node).await?.is_none() {
                sleep(RUNNING_EVERY).await;
            }
            Ok::<_, Error>(())
        };
        tokio::select! {
            ended = up => ended.unwrap_or(Ok(())).map_err(Error::Vagrant),
            running = running => running,
        }
    }

    pub(super) async fn start_machine(
        &self,
        hypervisor: &Hypervisor,
        seed: &Seed,
        step: &Step,
    ) -> Result<(), Error> {
        let (lab, node) = (&seed.config.lab, &seed.config.node);
        match self.boot(hypervisor, seed, step).await {
            // Somebody took the port since it was chosen.
            Err(Error::Vagrant(error)) if error.is_port_taken() => {
                self.change(lab, |nodes| entry::choose_another_port(nodes, node))?;
                self.boot(hypervisor, seed, step).await?;
            }
            end => end?,
        }
        let (entry, id) = self.booted(lab, node)?;
        if entry.is_taken(&id) {
            return Ok(());
        }
        self.newcomer(hypervisor, &entry, seed, step).await?.seed().await?;
        let key = StateDir::new(&self.project(lab), lab).private_key();
        self.change(lab, |nodes| {
            if let Some(entry) = nodes.node_mut(node) {
                entry.login = Some(Login { user: USER.to_owned(), key, machine: Some(id) });
            }
        })
    }

    /// Boots a machine. While Vagrant still looks whether it can be entered, one that is no node yet is sent what it
    /// lacks.
    async fn boot(&self, hypervisor: &Hypervisor, seed: &Seed, step: &Step) -> Result<(), Error> {
        let (lab, node) = (&seed.config.lab, &seed.config.node);
        let news = step.news();
        let up_since = Cell::new(None);
        let up = async {
            self.crew(lab).await.up(node, news).await.unwrap_or(Ok(())).map_err(Error::Vagrant)?;
            up_since.set(Some(Instant::now()));
            Ok(())
        };
        let equipped = async {
            let (entry, id) = self.running(hypervisor, lab, node, &up_since).await?;
            if entry.is_taken(&id) { Ok(()) } else { self.equip(hypervisor, &entry, seed, step).await }
        };
        tokio::try_join!(up, equipped).map(drop)
    }

    /// Waits until a machine runs. As long as Vagrant boots it, Vagrant decides how long that may take; after that it
    /// has to be found soon.
    async fn running(
        &self,
        hypervisor: &Hypervisor,
        lab: &LabName,
        node: &NodeName,
        up_since: &Cell<Option<Instant>>,
    ) -> Result<(NodeEntry, String), Error> {
        loop {
            let is_late = up_since.get().is_some_and(|since| since.elapsed() > FOUND_LIMIT);
            if let Ok((entry, id)) = self.booted(lab, node)
                && hypervisor.state(&id).await? == Some(MachineState::Running)
                && hypervisor.ssh(&entry).await?.is_some()
            {
                return Ok((entry, id));
            }
            if is_late {
                return Err(Error::Forgotten { node: node.clone() });
            }
            sleep(BOOTED_EVERY).await;
        }
    }

    /// Returns a machine that Vagrant has made.
    fn booted(&self, lab: &LabName, node: &NodeName) -> Result<(NodeEntry, String), Error> {
        let forgotten = || Error::Forgotten { node: node.clone() };
        let entry = self.known(lab)?.and_then(|known| known.node(node).cloned()).ok_or_else(forgotten)?;
        let id = self.folder(lab).machine_id(node, self.setting.kind)?.ok_or_else(forgotten)?;
        Ok((entry, id))
    }

    async fn newcomer<'a>(
        &'a self,
        hypervisor: &Hypervisor,
        entry: &NodeEntry,
        seed: &'a Seed,
        step: &'a Step,
    ) -> Result<Newcomer<'a>, Error> {
        let (lab, node) = (&seed.config.lab, &seed.config.node);
        let address = hypervisor.ssh(entry).await?.ok_or_else(|| Error::Forgotten { node: node.clone() })?;
        let labd = self.labd.get_or_try_init(async || fs::read(&self.place.labd)).await?;
        let login = self.login.get_or_try_init(|| self.box_login(lab, node)).await?;
        Ok(Newcomer { login, address, seed, labd, step, limit: self.boot_limit() })
    }

    async fn equip(
        &self,
        hypervisor: &Hypervisor,
        entry: &NodeEntry,
        seed: &Seed,
        step: &Step,
    ) -> Result<(), Error> {
        let newcomer = self.newcomer(hypervisor, entry, seed, step).await?;
        let probe = newcomer.probe().await?;
        let find = || programs::find(&self.setting.images, &self.place.project, &seed.config.lab);
        let programs = if probe.etcd.is_none() && !probe.has_apt {
            self.programs.get_or_try_init(find).await?.as_slice()
        } else {
            &[]
        };
        newcomer.equip(&probe, programs).await
    }

    /// Asks as whom the machines of the box are entered, once for all of them.
    async fn box_login(&self, lab: &LabName, node: &NodeName) -> Result<BoxLogin, Error> {
        if self.setting.settings.base.wants_ignition() {
            let key = StateDir::new(&self.project(lab), lab).private_key();
            return Ok(BoxLogin::of_lab(USER, &key));
        }
        let printed = self.crew(lab).await.vagrant().ssh_config(node).await?;
        BoxLogin::parse(&printed).ok_or_else(|| Error::Unreadable { node: node.clone(), said: printed })
    }
}
