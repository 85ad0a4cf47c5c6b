//! Roles of a stack: which nodes take part in what, as everybody on every node has to know it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::fleet::Metadata;
use super::name::{NodeName, RoleName};

/// More voters than this only make a decision slower.
const MOST_VOTERS: usize = 5;

/// How many nodes take part in a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    Exactly(u16),
    All,
    /// The largest odd number that there is, at most five: what a service needs that votes.
    Odd,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(count) => write!(f, "{count}"),
            Self::All => f.pad("all"),
            Self::Odd => f.pad("odd"),
        }
    }
}

/// A part that some nodes of a lab take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub name: RoleName,
    pub size: Size,
    /// What a node has to be told already to take part.
    #[serde(rename = "where")]
    pub demands: Metadata,
    /// What the nodes that take part are told.
    pub metadata: Metadata,
    /// Roles that have to serve before this one starts.
    pub needs: BTreeSet<RoleName>,
    pub port: Option<u16>,
    /// What each member is asked to tell whether it serves.
    #[serde(default)]
    pub checks: Vec<Check>,
}

/// A role as a node knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duty {
    pub role: RoleName,
    pub members: Vec<Member>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub node: NodeName,
    /// The node's own number, which no change of the lab gives to another node.
    pub number: u16,
    pub address: Ipv4Addr,
}

/// A node as roles see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub member: Member,
    pub metadata: Metadata,
}

/// A role that fewer nodes can take than have to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the role `{role}` wants {wanted}, and {there} can take it{}", self.why())]
pub struct NoRoom {
    pub role: RoleName,
    wanted: String,
    there: String,
    demands: Vec<String>,
}

impl NoRoom {
    fn why(&self) -> String {
        if self.demands.is_empty() {
            String::new()
        } else {
            format!(": it demands {}", self.demands.join(", "))
        }
    }
}

impl Role {
    /// Returns the nodes that take part: the first that can, so that a lab that grows keeps those it has.
    pub fn members(&self, nodes: &[Candidate]) -> Result<Vec<Member>, NoRoom> {
        let able: Vec<&Candidate> = nodes.iter().filter(|node| self.fits(&node.metadata)).collect();
        let count = match self.size {
            Size::Exactly(count) => usize::from(count),
            Size::All => able.len(),
            Size::Odd => {
                (able.len() - usize::from(able.len().is_multiple_of(2) && !able.is_empty())).min(MOST_VOTERS)
            }
        };
        if able.len() < count || able.is_empty() {
            return Err(NoRoom {
                role: self.name.clone(),
                wanted: nodes_of(count.max(1)),
                there: nodes_of(able.len()),
                demands: self.demands.iter().map(|(key, value)| format!("{key}={value}")).collect(),
            });
        }
        Ok(able.into_iter().take(count).map(|node| node.member.clone()).collect())
    }

    /// A node is kept out of a role by telling it something else than its members are told.
    fn fits(&self, told: &Metadata) -> bool {
        let contradicts = |(key, value): (&String, &String)| told.get(key).is_some_and(|has| has != value);
        self.demands.iter().all(|(key, value)| told.get(key) == Some(value))
            && !self.metadata.iter().any(contradicts)
    }
}

fn nodes_of(count: usize) -> String {
    match count {
        0 => "no node".to_owned(),
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    }
}

impl Duty {
    pub fn quorum(&self) -> usize {
        self.members.len() / 2 + 1
    }

    pub fn number_of(&self, node: &NodeName) -> Option<u16> {
        self.members.iter().find(|member| member.node == *node).map(|member| member.number)
    }

    /// Returns the variables that units read on one node.
    pub fn variables(&self, node: &NodeName) -> Vec<(String, String)> {
        let prefix = variable(self.role.as_str());
        let list =
            |show: &dyn Fn(&Member) -> String| self.members.iter().map(show).collect::<Vec<_>>().join(",");
        let mut lines = vec![
            ("MEMBERS", list(&|member| member.node.to_string())),
            ("ADDRESSES", list(&|member| member.address.to_string())),
            ("NUMBERS", list(&|member| member.number.to_string())),
            ("COUNT", self.members.len().to_string()),
            ("QUORUM", self.quorum().to_string()),
            ("NUMBER", self.number_of(node).unwrap_or_default().to_string()),
        ];
        lines.extend(self.port.map(|port| ("HOSTS", list(&|member| format!("{}:{port}", member.address)))));
        lines.into_iter().map(|(name, value)| (format!("LAB_{prefix}_{name}"), value)).collect()
    }
}

/// Returns how a name stands in those of variables: `mesos-master` as `MESOS_MASTER`.
pub fn variable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// What the stacks of a lab ask of its nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Further variables, the same on all nodes.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Metadata {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn role(size: Size, demands: &[(&str, &str)]) -> Role {
        let name = RoleName::parse("mesos-master").unwrap();
        let (demands, metadata) = (map(demands), map(&[("mesos-master", "true")]));
        let (needs, checks) = (BTreeSet::new(), Vec::new());
        Role { name, size, demands, metadata, needs, port: Some(5050), checks }
    }

    fn nodes(told: &[&[(&str, &str)]]) -> Vec<Candidate> {
        let candidate = |(told, number): (&&[(&str, &str)], u16)| {
            let node = NodeName::parse(&format!("core-{number:02}")).unwrap();
            let address = Ipv4Addr::new(10, 77, 0, u8::try_from(10 + number).unwrap());
            Candidate { member: Member { node, number, address }, metadata: map(told) }
        };
        told.iter().zip(1..).map(candidate).collect()
    }

    fn numbers(role: &Role, nodes: &[Candidate]) -> Result<Vec<u16>, String> {
        let members = role.members(nodes).map_err(|error| error.to_string())?;
        Ok(members.iter().map(|member| member.number).collect())
    }

    #[test]
    fn the_first_nodes_that_can_take_part() {
        for (size, count, want) in [
            (Size::Exactly(2), 3, &[1, 2][..]),
            (Size::All, 3, &[1, 2, 3]),
            (Size::Odd, 1, &[1]),
            (Size::Odd, 2, &[1]),
            (Size::Odd, 3, &[1, 2, 3]),
            (Size::Odd, 4, &[1, 2, 3]),
            (Size::Odd, 6, &[1, 2, 3, 4, 5]),
            (Size::Odd, 9, &[1, 2, 3, 4, 5]),
        ] {
            let nodes = nodes(&vec![&[][..]; count]);
            assert_eq!(numbers(&role(size, &[]), &nodes).unwrap(), want, "{size:?} of {count}");
        }
    }

    #[test]
    fn nodes_are_kept_out_by_what_they_are_told() {
        let nodes =
            nodes(&[&[("disk", "ssd")], &[], &[("disk", "ssd"), ("mesos-master", "no")], &[("disk", "ssd")]]);
        assert_eq!(numbers(&role(Size::All, &[("disk", "ssd")]), &nodes).unwrap(), [1, 4]);
        let error = numbers(&role(Size::Exactly(3), &[("disk", "ssd")]), &nodes).unwrap_err();
        assert_eq!(
            error,
            "the role `mesos-master` wants 3 nodes, and 2 nodes can take it: it demands disk=ssd"
        );
        let error = numbers(&role(Size::Odd, &[("disk", "tape")]), &nodes).unwrap_err();
        assert!(error.contains("wants 1 node, and no node can take it"), "{error}");
    }

    #[test]
    fn units_read_who_takes_part() {
        let members = role(Size::All, &[]).members(&nodes(&[&[], &[]])).unwrap();
        let name = RoleName::parse("mesos-master").unwrap();
        let duty = Duty { role: name, members, port: Some(5050), checks: Vec::new() };
        let lines = |node| {
            let variables = duty.variables(&NodeName::parse(node).unwrap()).into_iter();
            variables.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(
            lines("core-02"),
            [
                "LAB_MESOS_MASTER_MEMBERS=core-01,core-02",
                "LAB_MESOS_MASTER_ADDRESSES=10.77.0.11,10.77.0.12",
                "LAB_MESOS_MASTER_NUMBERS=1,2",
                "LAB_MESOS_MASTER_COUNT=2",
                "LAB_MESOS_MASTER_QUORUM=2",
                "LAB_MESOS_MASTER_NUMBER=2",
                "LAB_MESOS_MASTER_HOSTS=10.77.0.11:5050,10.77.0.12:5050",
            ]
        );
        assert!(lines("core-03").contains(&"LAB_MESOS_MASTER_NUMBER=0".to_owned()));
    }
}
