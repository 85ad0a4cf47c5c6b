//! The words that everything else is written in. Pure: no files, no clock, no vendor.

mod bytes;
mod check;
mod fleet;
mod health;
pub mod image;
mod kernel;
mod name;
mod node;
mod role;
mod subnet;
mod topology;

pub use bytes::{BadBytes, Bytes};
pub use check::{Ask, Check, CheckEnd, CheckReply, CheckRequest, Outcome, Statuses, TakenPort};
pub use fleet::{FleetConfig, FleetEngine, FleetSettings, Metadata};
pub use health::{Answer, DiskUse, DockerHealth, EtcdHealth, MemoryUse, NodeHealth, SystemdHealth};
pub use kernel::{CAPABILITIES, HostRoute, bounding_set, missing_capabilities, parse_routes};
pub use name::{BadName, LabName, NodeName, RoleName};
pub use node::{EtcdJoin, EtcdRole, NodeConfig, Peer, Seed, build_id};
pub use role::{Candidate, Duty, Member, NoRoom, Role, Roles, Size, variable};
pub use subnet::{BadSubnet, NoFreeSubnet, Subnet};
pub use topology::{MAX_NODES, Node, Topology, machine_id, member_count, node_mac};
