//! The words of fleet's HTTP API, version 1, for the server and for clients. Fields that only this fleet
//! knows are optional: other servers leave them out, and other clients ignore them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::records::{MachineId, Phase, Scheduling};
use super::unit::{Hash, UnitOption};

pub const ROOT: &str = "/fleet/v1";
/// What clients of earlier days say instead.
pub const OLD_ROOT: &str = "/v1-alpha";
/// Where upstream's unit has fleetd listen; `/var/run` is `/run`.
pub const SOCKET: &str = "/run/fleet.sock";

/// A unit. What is not known is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Unit {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<UnitOption>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_state: Option<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_state: Option<Phase>,
    #[serde(rename = "machineID", skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<MachineId>,
    /// Ours: the unit file byte for byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Ours: where somebody wants to have it moved.
    #[serde(rename = "wishedMachineID", skip_serializing_if = "Option::is_none")]
    pub wish: Option<MachineId>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnitState {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<Hash>,
    #[serde(rename = "machineID", skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<MachineId>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub systemd_load_state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub systemd_active_state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub systemd_sub_state: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Machine {
    pub id: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    #[serde(rename = "primaryIP", skip_serializing_if = "String::is_empty")]
    pub primary_ip: String,
    /// Ours: what people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Ours: whether it takes units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,
    /// Ours: how much memory units may have set aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Ours: whether it stops units when it has lost its lease, where they do not say themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence: Option<bool>,
    /// Ours, in the list of all machines that are known: whether it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub present: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnitPage {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<Unit>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_page_token: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatePage {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<UnitState>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_page_token: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachinePage {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<Machine>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_page_token: String,
}

/// What is said where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub error: Complaint,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    #[serde(default)]
    pub code: u16,
    #[serde(default)]
    pub message: String,
}

/// Ours, the body of `PUT /fleet/v1/machines/ID`: whether a machine takes units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineChange {
    pub scheduling: Scheduling,
}

/// Ours, the body of `PUT /fleet/v1/units/NAME/machine`: where a unit is to be moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitMove {
    #[serde(rename = "machineID")]
    pub machine_id: MachineId,
}
