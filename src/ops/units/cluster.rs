//! A lab's fleet, reached: what verbs about units ask and tell.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use futures_util::future::join_all;
use futures_util::{StreamExt, TryFutureExt, TryStreamExt, stream};
use tokio::sync::Mutex;

use crate::fleet::client::{Client, Engine};
use crate::fleet::records::{MachineId, Phase};
use crate::fleet::unit::UnitName;
use crate::fleet::v1::Unit;
use crate::model::NodeName;
use crate::progress::Progress;
use crate::provider::{MachineState, Provider, Seen};
use crate::ssh::{Session, Target};

use super::goal::StopProof;
use super::names::Names;
use super::serve::{self, Checks};
use super::sight::Sight;
use super::ways::Ways;
use crate::ops::keys::Keys;
use crate::ops::link::{Link, USER};
use crate::ops::run::connect;
use crate::ops::{Error, Lab};

/// How many changes are under way at once: enough to hide how long each takes, and bearable for any server.
const AT_ONCE: usize = 8;

pub struct Cluster<'a, P> {
    lab: &'a Lab<'a, P>,
    seen: Seen,
    pub client: Client<Ways>,
    sessions: Mutex<BTreeMap<NodeName, Session>>,
    /// What units are asked with each look, and the nodes that can be asked.
    checks: Checks,
    links: BTreeMap<NodeName, Link>,
}

impl<'a, P: Provider> Cluster<'a, P> {
    /// Finds the lab and the nodes of it that run. Nothing is said to fleet yet.
    pub async fn open(lab: &'a Lab<'a, P>) -> Result<Self, Error> {
        let seen = lab.observe_existing().await?;
        let name = lab.settings.lab.clone();
        let keys = Keys::load(&lab.files)?.ok_or_else(|| Error::KeysGone { lab: name.clone() })?;
        let running = seen.machines.iter().filter(|(_, machine)| machine.state == MachineState::Running);
        let target = |(node, machine): (&NodeName, &crate::provider::Machine)| {
            Some(Target { node: node.clone(), address: machine.ssh?, user: USER.to_owned() })
        };
        let targets: Vec<Target> = running.filter_map(target).collect();
        if targets.is_empty() {
            return Err(Error::NothingRuns { lab: name });
        }
        let client = Client::new(Ways::new(name, targets, keys.identity()?));
        Ok(Self {
            lab,
            seen,
            client,
            sessions: Mutex::default(),
            checks: Checks::new(),
            links: BTreeMap::new(),
        })
    }

    /// Has units be asked with each look whether they serve.
    pub async fn with_checks(mut self, checks: Checks) -> Self {
        let running = self.seen.machines.iter().filter(|(_, machine)| machine.state == MachineState::Running);
        let links = running
            .map(async |(node, _)| Some((node.clone(), connect(self.lab, &self.seen, node).await.ok()?)));
        self.links = join_all(links).await.into_iter().flatten().collect();
        Self { checks, ..self }
    }

    /// Returns the nodes that units are asked on.
    pub fn links(&self) -> &BTreeMap<NodeName, Link> {
        &self.links
    }

    pub fn progress(&self) -> &Progress {
        self.lab.progress
    }

    pub fn engine(&self) -> Engine {
        self.client.engine()
    }

    /// Returns what fleet says of everything, now.
    pub async fn look(&self) -> Result<Sight, Error> {
        let client = &self.client;
        let (units, states, machines) = tokio::try_join!(client.units(), client.states(), client.nodes())?;
        let names = self.names(&machines);
        Ok(self.asked(Sight::of(units, states, machines, names)).await)
    }

    /// Returns what fleet says of units now, and of machines what it said a moment ago.
    pub async fn look_again(&self, before: &Sight) -> Result<Sight, Error> {
        let (units, states) = tokio::try_join!(self.client.units(), self.client.states())?;
        Ok(self.asked(Sight::of(units, states, before.machines.clone(), before.names.clone())).await)
    }

    async fn asked(&self, mut sight: Sight) -> Sight {
        sight.answers = serve::ask(&self.links, &sight, &self.checks).await;
        sight
    }

    fn names(&self, machines: &[crate::fleet::v1::Machine]) -> Names {
        let nodes: Vec<(NodeName, Ipv4Addr)> =
            self.seen.machines.iter().map(|(node, machine)| (node.clone(), machine.address)).collect();
        Names::of(self.seen.lab_id.as_deref(), &nodes, machines)
    }

    /// Finds a machine by what somebody calls it.
    pub fn machine(&self, sight: &Sight, text: &str) -> Result<MachineId, Error> {
        sight.names.find(text).ok_or_else(|| Error::NoMachine {
            machine: text.to_owned(),
            machines: sight.names.all().join(", "),
        })
    }

    /// Enters the node that a machine is.
    pub async fn session(&self, sight: &Sight, id: &MachineId) -> Result<(NodeName, Session), Error> {
        let stranger =
            || Error::NotOfLab { machine: sight.names.label(id), lab: self.lab.settings.lab.clone() };
        let node = sight.names.node(id).ok_or_else(stranger)?.clone();
        let mut sessions = self.sessions.lock().await;
        if let Some(session) = sessions.get(&node).filter(|session| !session.is_closed()) {
            return Ok((node, session.clone()));
        }
        let session = connect(self.lab, &self.seen, &node).await?.session().clone();
        sessions.insert(node.clone(), session.clone());
        Ok((node, session))
    }

    /// Makes units, or gives those that exist a new file or state; several at once.
    pub async fn put_all(&self, units: &[Unit]) -> Result<(), Error> {
        let puts = units.iter().map(|unit| {
            let named = |source| Error::Unit { unit: unit.name.clone(), source };
            self.client.put(unit).map_err(named)
        });
        stream::iter(puts).buffer_unordered(AT_ONCE).try_collect().await
    }

    pub async fn set_desired(&self, names: &[UnitName], desired: Phase) -> Result<(), Error> {
        let change = |name: &UnitName| {
            let (name, desired_state) = (name.to_string(), Some(desired));
            Unit { name, desired_state, ..Unit::default() }
        };
        self.put_all(&names.iter().map(change).collect::<Vec<_>>()).await
    }

    pub async fn destroy_all(&self, names: &[UnitName]) -> Result<(), Error> {
        let destroyed = names.iter().map(|name| {
            let named = |source| Error::Unit { unit: name.to_string(), source };
            self.client.destroy(name).map_err(named)
        });
        stream::iter(destroyed).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Returns what proves a stop that is followed by a start.
    pub fn stop_proof(&self) -> StopProof {
        if self.engine().is_ours() { StopProof::Systemd } else { StopProof::Agent }
    }
}
