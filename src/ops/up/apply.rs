//! Does what was planned: nodes in parallel, etcd's members one after the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use futures_util::StreamExt;
use futures_util::stream::iter;

use crate::checkpoint::Checkpoint;
use crate::config::State;
use crate::fleet::records::MachineId;
use crate::fs;
use crate::images::{Look, vm};
use crate::model::{FleetEngine, Node, NodeHealth, NodeName, Seed, Topology, machine_id};
use crate::progress::Step;
use crate::provider::Provider;
use crate::ssh::{Identity, Target};
use crate::wait::{Stop, wait_until};

use super::super::images::ImageIds;
use super::super::keys::{Keys, write_client_files};
use super::super::link::{Link, USER, until_stopped};
use super::super::{Error, Lab, units};
use super::{Action, Plan, Task, Wanted};

/// More at once only makes them wait for each other in the engine.
const AT_ONCE: usize = 16;
/// Members of etcd wait for each other.
const READY_LIMIT: Duration = Duration::from_mins(2);
const RESTART_LIMIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const ASK_EVERY: Duration = Duration::from_millis(15);

/// Carries a plan out. What is made stays when it fails or is stopped: the next `up` goes on from there.
pub async fn apply<P: Provider>(
    lab: &Lab<'_, P>,
    plan: Plan,
    labd: &Utf8Path,
    stop: &Stop,
) -> Result<Vec<NodeHealth>, Error> {
    let keys = match plan.keys {
        Some(keys) => keys,
        None => Keys::ensure(&lab.files, &lab.settings.lab)?,
    };
    Checkpoint::KeysWritten.reached();
    let work = Work {
        lab,
        keys: &keys,
        wanted: &plan.wanted,
        topology: &plan.wanted.topology,
        before: &plan.before,
        tasks: &plan.tasks,
        labd,
        labd_build: &plan.wanted.labd_build,
    };
    work.remember(&plan.before)?;
    Checkpoint::StateWritten.reached();
    let found = plan.links;
    let working = async {
        let (healths, ids) = work.carry_out(found, plan.images).await?;
        work.start_units(&ids).await?;
        lab.provider.finish(&lab.settings.lab).await?;
        Ok(healths)
    };
    let end = until_stopped(stop, working).await;
    if end.is_err() {
        // Why it failed is known; that something does not end in order either is what the next `up` will say.
        drop(lab.provider.abandon(&lab.settings.lab).await);
    }
    end
}

/// A plan under way.
pub(super) struct Work<'a, P> {
    pub(super) lab: &'a Lab<'a, P>,
    keys: &'a Keys,
    wanted: &'a Wanted,
    pub(super) topology: &'a Topology,
    before: &'a Topology,
    tasks: &'a [Task],
    labd: &'a Utf8Path,
    labd_build: &'a str,
}

pub(super) type Links = BTreeMap<NodeName, Link>;
/// The news of nodes that boot goes on until they serve.
type Steps = BTreeMap<NodeName, Step>;

impl<P: Provider> Work<'_, P> {
    /// Returns how the nodes are, and which image each key stands for now.
    async fn carry_out(
        &self,
        mut links: Links,
        looks: Vec<Look>,
    ) -> Result<(Vec<NodeHealth>, ImageIds), Error> {
        let mut images = self.lab.make_images(looks, false).await?;
        if self.tasks.iter().any(|task| needs_image_or_network(&task.action)) {
            self.lab.provider.prepare(self.topology, &images.shared(), self.lab.progress).await?;
        }
        let mut steps = Steps::new();
        let rejoining = self.nodes_with(|action| matches!(action, Action::RejoinEtcd { .. }));
        let waking = self.nodes_with(|action| action.node().is_some_and(|node| !rejoining.contains(node)));
        self.bring_up(&waking, &mut links, &mut steps).await?;
        for node in &rejoining {
            self.rejoin_etcd(node, &links).await?;
        }
        self.bring_up(&rejoining, &mut links, &mut steps).await?;
        for node in self.nodes_with(|action| matches!(action, Action::LeaveEtcd { .. })) {
            self.leave_etcd(&node, &links).await?;
            Checkpoint::MemberRemoved.reached();
        }
        for node in self.nodes_with(|action| matches!(action, Action::Remove { .. })) {
            self.remove(&node).await?;
            links.remove(&node);
            Checkpoint::NodeRemoved.reached();
        }
        let healths = self.settle(&links, steps).await?;
        let links = links.iter().map(|(node, link)| (node.clone(), link)).collect();
        let destinations = self.lab.stacks()?.destinations(self.topology);
        self.lab.load_images(&mut images, &links, &destinations).await?;
        self.remember(self.topology)?;
        Ok((healths, images.ids()))
    }

    /// The last step: all nodes are ready, and have all images.
    async fn start_units(&self, ids: &ImageIds) -> Result<(), Error> {
        let removed = self.nodes_with(|action| matches!(action, Action::Remove { .. })).into_iter();
        let removed: Vec<_> = removed
            .map(|node| (node.clone(), MachineId::new(machine_id(&self.topology.id, &node))))
            .collect();
        let is_due = self.tasks.iter().any(|task| matches!(task.action, Action::StartUnits { .. }));
        if is_due {
            units::bring_stacks(self.lab, self.topology, ids).await?;
        }
        if self.topology.fleet.engine == FleetEngine::Lab {
            units::forget(self.lab, &removed).await?;
        }
        Ok(())
    }

    fn nodes_with(&self, wanted: impl Fn(&Action) -> bool) -> Vec<NodeName> {
        let tasks = self.tasks.iter().filter(|task| wanted(&task.action));
        let mut nodes: Vec<NodeName> = Vec::new();
        for node in tasks.filter_map(|task| task.action.node()) {
            if !nodes.contains(node) {
                nodes.push(node.clone());
            }
        }
        nodes
    }

    /// Writes down how the lab looks, and how many nodes it is to have.
    fn remember(&self, topology: &Topology) -> Result<(), Error> {
        let mut state = State::new(topology.clone(), self.lab.provider.name());
        state.wanted_nodes = u16::try_from(self.topology.nodes.len()).ok();
        state.stacks = Some(self.lab.stacks()?.names());
        if self.lab.files.load().ok().flatten().as_ref() != Some(&state) {
            self.lab.files.save(&state)?;
        }
        Ok(())
    }

    async fn bring_up(&self, nodes: &[NodeName], links: &mut Links, steps: &mut Steps) -> Result<(), Error> {
        let known: Vec<&NodeName> = links.keys().collect();
        let work = nodes.iter().map(|node| self.bring_one_up(node, known.contains(&node)));
        let results: Vec<Result<Option<(Link, Step)>, Error>> = iter(work).buffered(AT_ONCE).collect().await;
        let mut ends = Vec::new();
        for (node, result) in nodes.iter().zip(results) {
            ends.push(match result {
                Ok(None) => Ok(()),
                Ok(Some((link, step))) => {
                    links.insert(node.clone(), link);
                    steps.insert(node.clone(), step);
                    Ok(())
                }
                Err(error) => Err(Error::at(node, "bring up")(error)),
            });
        }
        Error::gather(ends)
    }

    /// Gets a machine to run and connects to it; `None` if it runs and we are connected already.
    async fn bring_one_up(&self, name: &NodeName, is_known: bool) -> Result<Option<(Link, Step)>, Error> {
        let (lab, provider) = (&self.lab.settings.lab, self.lab.provider);
        let actions = self.tasks.iter().map(|task| &task.action).filter(|action| action.node() == Some(name));
        let mut step = None;
        for action in actions {
            let begin = |text: &str| self.lab.progress.begin(name.as_str(), text);
            match action {
                Action::Create { .. } => {
                    let step = step.insert(begin("making"));
                    self.create(name).await?;
                    self.start(name, step).await?;
                }
                Action::Replace { .. } => {
                    let step = step.insert(begin("making again"));
                    provider.remove_machine(lab, name).await?;
                    self.create(name).await?;
                    self.start(name, step).await?;
                }
                Action::Start { .. } => {
                    self.start(name, step.insert(begin("starting"))).await?;
                }
                Action::Thaw { .. } => {
                    step = Some(begin("thawing"));
                    provider.thaw(lab, name).await?;
                }
                // It was started by a `lab` that ended before it could look after it.
                Action::Await { .. } if !is_known => step = Some(begin("waiting for it")),
                Action::Limit { .. } => {
                    if provider.limit(lab, name, self.wanted.limits_of(name)).await? {
                        step = Some(begin("starting with its new limits"));
                    }
                    self.lab.progress.note(name.as_str(), "limits changed");
                }
                _ => {}
            }
        }
        let Some(step) = step else { return Ok(None) };
        Checkpoint::NodeStarted.reached();
        step.change("booting");
        match self.connect(name).await {
            Ok(link) => Ok(Some((link, step))),
            Err(error) => {
                step.failed("did not boot");
                Err(error)
            }
        }
    }

    async fn create(&self, name: &NodeName) -> Result<(), Error> {
        self.lab.provider.create(&self.seed(name), self.wanted.limits_of(name)).await?;
        Checkpoint::NodeCreated.reached();
        Ok(())
    }

    async fn start(&self, name: &NodeName, step: &Step) -> Result<(), Error> {
        Ok(self.lab.provider.start(&self.seed(name), step).await?)
    }

    /// Returns what a node is born with; one that is to leave is as it was.
    fn seed(&self, name: &NodeName) -> Seed {
        let before = || Some(self.before.config(self.before.node(name)?));
        let now = self.topology.node(name).map(|node| self.topology.config(node));
        Seed {
            config: now.or_else(before).expect("tasks are made from the topology"),
            authorized_key: self.keys.user.public.clone(),
            host_key: self.keys.host.private.clone(),
        }
    }

    pub(super) fn node(&self, name: &NodeName) -> &Node {
        self.topology.node(name).expect("tasks are made from the topology")
    }

    /// Waits until a machine that was started lets us in and its labd listens.
    async fn connect(&self, name: &NodeName) -> Result<Link, Error> {
        let identity = self.keys.identity()?;
        let (provider, lab) = (self.lab.provider, &self.lab.settings.lab);
        let mut address = provider.ssh_address(lab, name).await?;
        let mut looked = Instant::now();
        let limit = provider.nature().boot_limit;
        let connected = wait_until("it answers", limit, ASK_EVERY, async || {
            if let Some(address) = address {
                match open(name, address, &identity).await {
                    Ok(link) => return Some(Ok(link)),
                    Err(Error::Ssh(error)) if error.is_not_ready() || error.is_refused() => {}
                    // So is a machine of its own that restarts: no kernel is there to refuse us.
                    Err(Error::Ssh(error)) if error.is_silence() => {}
                    // On a busy host labd may take more than the time that one answer has.
                    Err(Error::Labd { .. }) => {}
                    Err(error) => return Some(Err(error)),
                }
            }
            // A machine that died will never answer; look now and then.
            if looked.elapsed() < LOOK_EVERY {
                return None;
            }
            looked = Instant::now();
            match provider.ssh_address(lab, name).await {
                Ok(Some(found)) => address = Some(found),
                Ok(None) => return Some(Err(self.died(name).await)),
                Err(error) => return Some(Err(error.into())),
            }
            None
        });
        let silent = |_| Error::Silent { node: name.clone(), limit };
        connected.await.map_err(silent)?
    }

    async fn died(&self, name: &NodeName) -> Error {
        let console = self.lab.provider.console(&self.lab.settings.lab, name, 8).await.unwrap_or_default();
        let console = console.lines().map(|line| format!("\n    {}", line.trim_end())).collect();
        Error::Died { node: name.clone(), console }
    }

    async fn remove(&self, name: &NodeName) -> Result<(), Error> {
        let step = self.lab.progress.begin(name.as_str(), "removing");
        let (lab, provider) = (&self.lab.settings.lab, self.lab.provider);
        provider.remove_machine(lab, name).await.map_err(Error::from).map_err(Error::at(name, "remove"))?;
        provider.remove_data(lab, name).await.map_err(Error::from).map_err(Error::at(name, "remove"))?;
        step.done("removed");
        Ok(())
    }

    /// Brings all nodes that run up to date, waits until they serve, and writes how to reach them.
    async fn settle(&self, links: &Links, mut steps: Steps) -> Result<Vec<NodeHealth>, Error> {
        let begin = |node: &Node| self.lab.progress.begin(node.name.as_str(), "looking after it");
        let nodes = self.topology.nodes.iter().filter_map(|node| {
            let link = links.get(&node.name)?;
            Some((node, link, steps.remove(&node.name).unwrap_or_else(|| begin(node))))
        });
        let work = nodes.map(async |(node, link, step)| {
            let settled = self.settle_one(node, link, &step).await;
            match &settled {
                Ok(_) => step.done("serves"),
                Err(_) => step.failed("does not serve"),
            }
            settled.map_err(Error::at(&node.name, "settle"))
        });
        let work: Vec<_> = work.collect();
        let results: Vec<Result<NodeHealth, Error>> = iter(work).buffered(AT_ONCE).collect().await;
        self.write_client_files().await?;
        let (mut healths, mut ends) = (Vec::new(), Vec::new());
        for result in results {
            ends.push(result.map(|health| healths.push(health)));
        }
        Error::gather(ends).map(|()| healths)
    }

    async fn settle_one(&self, node: &Node, link: &Link, step: &Step) -> Result<NodeHealth, Error> {
        let mut health = link.health().await?;
        // A node that was halted may come back with the labd of its day, and with its view of the lab.
        if health.labd_build != self.labd_build {
            step.change("upgrading labd");
            self.upgrade_labd(link).await?;
            health = link.health_soon(RESTART_LIMIT).await?;
        }
        let config = self.topology.config(node);
        if health.config != config.fingerprint() {
            step.change("telling it how the lab looks now");
            link.configure(&config).await?;
        }
        let tell =
            |health: &NodeHealth| health.trouble().into_iter().for_each(|trouble| step.change(trouble));
        let health = link.ready(READY_LIMIT.max(self.lab.provider.nature().boot_limit), tell).await?;
        Checkpoint::NodeReady.reached();
        Ok(health)
    }

    async fn upgrade_labd(&self, link: &Link) -> Result<(), Error> {
        let program = fs::read(self.labd)?;
        let cmd = vm::replace_labd();
        let output = link.session().run(&cmd, &program).await?;
        if output.is_success() {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(crate::exec::Error::Failed { cmd: Box::new(cmd), code: output.code, stderr }.into())
    }

    async fn write_client_files(&self) -> Result<(), Error> {
        let seen = self.lab.observe().await?;
        let hosts = super::super::access::hosts(&self.lab.settings.lab, &seen);
        write_client_files(&self.lab.files, self.keys, &hosts)
    }
}

async fn open(node: &NodeName, address: SocketAddr, identity: &Identity) -> Result<Link, Error> {
    let target = Target { node: node.clone(), address, user: USER.to_owned() };
    let link = Link::open(&target, identity).await?;
    link.health().await?;
    Ok(link)
}

fn needs_image_or_network(action: &Action) -> bool {
    matches!(action, Action::MakeNetwork { .. } | Action::Create { .. } | Action::Replace { .. })
}
