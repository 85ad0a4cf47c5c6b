//! What the cluster knows: the values that stand in the registry, and the words in them.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::unit::Hash;

/// What `/etc/machine-id` says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MachineId(String);

impl MachineId {
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the eight characters by which people know a machine.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for MachineId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// How far a unit is to come, or has come: known, on a machine, started there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    #[default]
    Inactive,
    Loaded,
    Launched,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid unit state: {0:?}; it is one of inactive, loaded and launched")]
pub struct BadPhase(String);

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Inactive => "inactive",
            Self::Loaded => "loaded",
            Self::Launched => "launched",
        })
    }
}

impl FromStr for Phase {
    type Err = BadPhase;

    fn from_str(text: &str) -> Result<Self, BadPhase> {
        match text {
            "inactive" => Ok(Self::Inactive),
            "loaded" => Ok(Self::Loaded),
            "launched" => Ok(Self::Launched),
            other => Err(BadPhase(other.to_owned())),
        }
    }
}

/// Whether a machine takes units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduling {
    #[default]
    Open,
    /// Keeps what it has and takes no more.
    Cordoned,
    /// Gives away what it has.
    Drained,
}

/// `unit/NAME`: what the cluster knows of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRecord {
    /// The unit file, byte for byte.
    pub text: String,
    pub desired: Phase,
    /// How often a launched unit was told to stop: one that stops and starts in quick succession is
    /// restarted, even if its machine sees only the end of it.
    #[serde(default)]
    pub stops: u64,
    /// Where the engine has put it; never set for a global unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineId>,
    /// Where somebody wants to have it moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<MachineId>,
}

/// `target/MACHINE/NAME` and `global/NAME`: what machines are told. Written in the same transaction as the
/// unit, so that a machine need not look at units of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub text: String,
    pub desired: Phase,
    #[serde(default)]
    pub stops: u64,
}

impl UnitRecord {
    pub fn order(&self) -> Order {
        Order { text: self.text.clone(), desired: self.desired, stops: self.stops }
    }
}

/// `machine/ID`: a machine that is there, for as long as its lease lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    pub name: String,
    pub address: String,
    /// What the machine's configuration says of it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    pub version: String,
}

/// `node/ID`: what lasts of a machine, also while it is away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub address: String,
    /// What was said of it through the API, which wins over its configuration; an empty text takes a key away.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub scheduling: Scheduling,
}

impl NodeRecord {
    /// Returns the metadata that holds.
    pub fn over(&self, configured: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut metadata = configured.clone();
        for (key, value) in &self.metadata {
            if value.is_empty() {
                metadata.remove(key);
            } else {
                metadata.insert(key.clone(), value.clone());
            }
        }
        metadata
    }
}

/// `leader`: which engine leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    pub machine: MachineId,
}

/// `state/NAME/MACHINE`: how a unit is on a machine. A machine writes it before it starts the unit and
/// removes it after it has stopped it, so a unit of which there is none runs nowhere that is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub load: String,
    pub active: String,
    pub sub: String,
    pub hash: Hash,
    /// How far the unit has come on this machine.
    pub reached: Phase,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_says_wins_over_the_configuration() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let node = NodeRecord { metadata: map(&[("a", "2"), ("b", ""), ("c", "3")]), ..Default::default() };
        let held = node.over(&map(&[("a", "1"), ("b", "1"), ("d", "4")]));
        assert_eq!(held, map(&[("a", "2"), ("c", "3"), ("d", "4")]));
    }

    #[test]
    fn a_short_id_has_eight_characters() {
        assert_eq!(MachineId::new("0123456789").short(), "01234567");
        assert_eq!(MachineId::new("01").short(), "01");
    }
}
