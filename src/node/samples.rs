//! Configurations for the tests of this module.

use crate::model::{EtcdJoin, EtcdRole, LabName, NodeConfig, NodeName, Topology};

/// The first node, a member, of a lab of four.
pub(super) fn config() -> NodeConfig {
    let lab = LabName::parse("web").unwrap();
    let prefix = NodeName::parse("core").unwrap();
    let lab = Topology::fresh(lab, "0011".to_owned(), "10.77.3.0/24".parse().unwrap());
    let lab = lab.resized(&prefix, 4).unwrap();
    lab.config(&lab.nodes[0])
}

pub(super) fn gateway() -> NodeConfig {
    let mut config = config();
    config.nodes[0].is_etcd_member = false;
    NodeConfig { etcd: EtcdRole::Gateway, ..config }
}

pub(super) fn joining() -> NodeConfig {
    NodeConfig { etcd: EtcdRole::Member { join: EtcdJoin::Existing }, ..config() }
}
