//! What a lab says of its fleet: who runs units, and what machines are told about themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::name::NodeName;

/// Who places and runs units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetEngine {
    /// Our own: labd.
    #[default]
    Lab,
    /// fleetd, which the nodes have already; nothing of ours is started.
    Fleet,
}

/// The metadata of one machine, or what all have in common.
pub type Metadata = BTreeMap<String, String>;

/// What a lab says of its fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetSettings {
    #[serde(default)]
    pub engine: FleetEngine,
    /// Whether a node that has lost its lease stops its units before others may start them.
    #[serde(default)]
    pub fence: bool,
    /// What all machines are told of themselves.
    #[serde(default)]
    pub metadata: Metadata,
    /// What single machines are told; it wins over what all are told.
    #[serde(default)]
    pub node_metadata: BTreeMap<NodeName, Metadata>,
}

/// What one node's fleet has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetConfig {
    pub fence: bool,
    pub metadata: Metadata,
}

impl FleetSettings {
    /// Returns what a node is told; `None` where the fleet is not ours.
    pub fn config(&self, node: &NodeName, own: Metadata) -> Option<FleetConfig> {
        let metadata = self.metadata_of(node, own);
        (self.engine == FleetEngine::Lab).then_some(FleetConfig { fence: self.fence, metadata })
    }

    /// Returns the metadata of a node's machine: what lab.toml says of it wins over what is its own.
    pub fn metadata_of(&self, node: &NodeName, own: Metadata) -> Metadata {
        let said = self.node_metadata.get(node).cloned().unwrap_or_default();
        own.into_iter().chain(self.metadata.clone()).chain(said).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Metadata {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_said_of_one_node_wins() {
        let (one, two) = (NodeName::parse("core-01").unwrap(), NodeName::parse("core-02").unwrap());
        let mut settings = FleetSettings {
            metadata: map(&[("disk", "hdd"), ("zone", "a")]),
            node_metadata: [(one.clone(), map(&[("disk", "ssd")]))].into(),
            ..FleetSettings::default()
        };
        let told = |settings: &FleetSettings, node| settings.config(node, map(&[("hostname", "x")]));
        let want = map(&[("disk", "ssd"), ("hostname", "x"), ("zone", "a")]);
        assert_eq!(told(&settings, &one).unwrap().metadata, want);
        assert_eq!(told(&settings, &two).unwrap().metadata["disk"], "hdd");
        settings.engine = FleetEngine::Fleet;
        assert_eq!(told(&settings, &one), None);
    }
}
