//! How a lab's stacks are: which units serve, which of them lead, and which addresses answer.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fleet::records::MachineId;
use crate::fleet::unit::UnitName;
use crate::model::{NodeName, Outcome, Topology};
use crate::ops::link::Link;
use crate::ops::stack::{Endpoint, Stack, StackUnit, Stacks};
use crate::ops::units::goal::{Goal, Progress, judge, words};
use crate::ops::units::serve::{self, Question};
use crate::ops::units::sight::Sight;

/// Who is on this host or in its own networks answers much sooner.
const REACH_LIMIT: Duration = Duration::from_millis(300);

/// A stack and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StackStatus {
    pub stack: String,
    pub description: String,
    pub units: Vec<UnitStatus>,
    pub endpoints: Vec<EndpointStatus>,
}

/// A unit on the machine where it is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnitStatus {
    pub unit: UnitName,
    /// Nothing where no machine has taken it.
    pub node: Option<NodeName>,
    pub serves: bool,
    pub leads: bool,
    /// What it answers, or what keeps it from serving.
    pub says: String,
}

/// An address at which a stack serves, on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndpointStatus {
    pub endpoint: String,
    pub address: String,
    pub node: NodeName,
    pub ip: Ipv4Addr,
    pub port: u16,
    /// Whether it answers on its node.
    pub answers: bool,
    /// What keeps it from that.
    pub why: Option<String>,
    /// Whether this host reaches it.
    pub is_reachable: bool,
}

impl StackStatus {
    pub fn serves(&self) -> bool {
        let has_answer = |endpoint: &EndpointStatus| {
            let same = self.endpoints.iter().filter(|other| other.endpoint == endpoint.endpoint);
            same.clone().any(|other| other.answers)
        };
        self.units.iter().all(|unit| unit.serves) && self.endpoints.iter().all(has_answer)
    }

    /// Returns the addresses that answer.
    pub fn answering(&self) -> impl Iterator<Item = &EndpointStatus> {
        self.endpoints.iter().filter(|endpoint| endpoint.answers)
    }
}

/// Asks all units and addresses of the stacks.
pub async fn serving(
    stacks: &Stacks,
    topology: &Topology,
    sight: &mut Sight,
    links: &BTreeMap<NodeName, Link>,
) -> Vec<StackStatus> {
    let duties = topology.duties().unwrap_or_default();
    let units =
        || stacks.units().flat_map(|(_, unit)| unit.names(&duties).into_iter().map(move |name| (name, unit)));
    let checks = units().filter_map(|(name, unit)| Some((name, unit.check.clone()?))).collect();
    let leading = units().filter_map(|(name, unit)| Some((name, unit.leader.clone()?))).collect();
    let (answers, leaders) =
        tokio::join!(serve::ask(links, sight, &checks), serve::ask(links, sight, &leading));
    sight.answers = answers;
    let view = View { topology, sight, leaders: &leaders };
    let all = stacks.iter().map(async |stack| {
        let rows = stack.units.iter().flat_map(|unit| {
            unit.names(&duties).into_iter().flat_map(|name| view.unit(unit, &name)).collect::<Vec<_>>()
        });
        let units: Vec<UnitStatus> = rows.collect();
        let endpoints = view.endpoints(stack, &units, links).await;
        StackStatus { stack: stack.name.clone(), description: stack.description.clone(), units, endpoints }
    });
    join_all(all).await
}

struct View<'a> {
    topology: &'a Topology,
    sight: &'a Sight,
    leaders: &'a serve::Answers,
}

impl View<'_> {
    /// Returns how a unit is on each of its machines.
    fn unit(&self, unit: &StackUnit, name: &UnitName) -> Vec<UnitStatus> {
        let homes = self.sight.homes(name);
        if homes.is_empty() {
            let says = if self.sight.units.contains_key(name) { "on no machine" } else { "not started" };
            let (serves, leads) = (false, false);
            return vec![UnitStatus { unit: name.clone(), node: None, serves, leads, says: says.to_owned() }];
        }
        homes.iter().map(|id| self.on_machine(unit, name, id)).collect()
    }

    fn on_machine(&self, unit: &StackUnit, name: &UnitName, id: &MachineId) -> UnitStatus {
        let key = (name.clone(), id.clone());
        let state = self.sight.state_on(name, id);
        let runs = state.is_some_and(|state| state.systemd_active_state == "active");
        let told = state.map_or_else(|| "not there yet".to_owned(), words);
        let (serves, says) = match self.sight.answers.get(&key) {
            _ if !self.sight.is_here(id) => (false, "its machine is away".to_owned()),
            Some(Ok(text)) => (true, text.clone()),
            Some(Err(why)) => (false, why.clone()),
            None if unit.check.is_some() => (false, told),
            None => {
                let is_done = matches!(judge(self.sight, name, &Goal::Active), Progress::Ended { .. });
                (runs || is_done, told)
            }
        };
        let leads = self.leaders.get(&key).is_some_and(Outcome::is_ok);
        UnitStatus { unit: name.clone(), node: self.sight.names.node(id).cloned(), serves, leads, says }
    }

    async fn endpoints(
        &self,
        stack: &Stack,
        units: &[UnitStatus],
        links: &BTreeMap<NodeName, Link>,
    ) -> Vec<EndpointStatus> {
        let mut found: Vec<(&Endpoint, NodeName, Ipv4Addr)> = Vec::new();
        for endpoint in &stack.endpoints {
            let Some(set) = stack.unit(&endpoint.unit) else { continue };
            let own = units
                .iter()
                .filter(|unit| unit.unit == set.name || unit.unit.template().as_ref() == Some(&set.name));
            for unit in own.filter(|unit| unit.leads || !endpoint.is_leaders) {
                let node = unit.node.as_ref().and_then(|node| self.topology.node(node));
                found.extend(node.map(|node| (endpoint, node.name.clone(), node.address)));
            }
        }
        found.sort_by_key(|(_, _, ip)| *ip);
        let place =
            |endpoint: &Endpoint| stack.endpoints.iter().position(|other| other.name == endpoint.name);
        found.sort_by_key(|(endpoint, _, _)| place(endpoint));
        let questions: Vec<Question> =
            found.iter().map(|(endpoint, node, _)| (node.clone(), endpoint.check.clone())).collect();
        let reached = found.iter().map(async |(endpoint, _, ip)| {
            matches!(timeout(REACH_LIMIT, TcpStream::connect((*ip, endpoint.port))).await, Ok(Ok(_)))
        });
        let (answers, reached) = tokio::join!(serve::put(links, &questions), join_all(reached));
        let all = found.into_iter().zip(answers).zip(reached);
        all.map(|(((endpoint, node, ip), answer), is_reachable)| EndpointStatus {
            endpoint: endpoint.name.clone(),
            address: format!("{}://{ip}:{}{}", endpoint.scheme, endpoint.port, endpoint.path),
            node,
            ip,
            port: endpoint.port,
            answers: answer.is_ok(),
            why: answer.err(),
            is_reachable,
        })
        .collect()
    }
}
