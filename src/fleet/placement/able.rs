//! Whether a machine may run a unit, and why not.

use std::fmt;

use crate::fleet::records::{MachineId, Scheduling};
use crate::fleet::unit::{Needs, UnitName};
use crate::model::Bytes;

use super::floor::Floor;
use super::snapshot::{Machine, Snapshot, Standing};

/// What a machine is to a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Able,
    Away,
    Cordoned,
    Drained,
    OtherMachine { wanted: String },
    OtherMetadata { key: String, wanted: Vec<String>, has: Option<String> },
    PeerElsewhere { peer: String, on: Option<String> },
    Conflict { with: UnitName, pattern: String, by_other: bool },
    Replaced { by: UnitName },
    NoMemory { wanted: u64, free: u64 },
}

impl Verdict {
    pub fn is_able(&self) -> bool {
        *self == Self::Able
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Able => f.write_str("it may run here"),
            Self::Away => f.write_str("the machine is away"),
            Self::Cordoned => f.write_str("the machine takes no units: it is cordoned"),
            Self::Drained => f.write_str("the machine takes no units: it is drained"),
            Self::OtherMachine { wanted } => write!(f, "MachineID={wanted} is another machine"),
            Self::OtherMetadata { key, wanted, has } => {
                write!(f, "it wants {key}={}", wanted.join(&format!(" or {key}=")))?;
                match has {
                    Some(value) => write!(f, ", the machine has {key}={value}"),
                    None => write!(f, ", the machine has no {key}"),
                }
            }
            Self::PeerElsewhere { peer, on: Some(on) } => write!(f, "MachineOf={peer} is on {on}"),
            Self::PeerElsewhere { peer, on: None } => write!(f, "MachineOf={peer} is on no machine"),
            Self::Conflict { with, pattern, by_other: false } => {
                write!(f, "Conflicts={pattern}: {with} is here")
            }
            Self::Conflict { with, pattern, by_other: true } => {
                write!(f, "{with} is here and has Conflicts={pattern}")
            }
            Self::Replaced { by } => write!(f, "{by} is here and replaces it"),
            Self::NoMemory { wanted, free } => {
                write!(f, "it wants {} of memory, {} are free", Bytes::new(*wanted), Bytes::new(*free))
            }
        }
    }
}

/// Returns what keeps a unit that is not there from coming to a machine.
pub(super) fn newcomer(machine: &Machine) -> Verdict {
    match (machine.standing, machine.scheduling) {
        (Standing::Awaited | Standing::Fencing | Standing::Gone, _) => Verdict::Away,
        (Standing::Here, Scheduling::Cordoned) => Verdict::Cordoned,
        (Standing::Here, Scheduling::Drained) => Verdict::Drained,
        (Standing::Here, Scheduling::Open) => Verdict::Able,
    }
}

/// Checks what a unit demands against a machine and what stands on it already, in fleet's order. The unit
/// itself does not count.
pub(super) fn check(
    snapshot: &Snapshot,
    floor: &Floor,
    (name, needs): (&UnitName, &Needs),
    id: &MachineId,
) -> Verdict {
    let stranger = demands(needs, &snapshot.machines[id], id);
    let lost = || {
        let peer = needs.machine_of.iter().find(|peer| !floor.is_on(peer, id))?;
        let on = floor.machine_of(peer).map(|id| snapshot.machines[id].name.clone());
        Some(Verdict::PeerElsewhere { peer: peer.clone(), on })
    };
    stranger.or_else(lost).unwrap_or_else(|| check_alone(snapshot, floor, (name, needs), id))
}

/// Checks all but where the unit's peers are.
pub(super) fn check_alone(
    snapshot: &Snapshot,
    floor: &Floor,
    (name, needs): (&UnitName, &Needs),
    id: &MachineId,
) -> Verdict {
    let machine = &snapshot.machines[id];
    let against = demands(needs, machine, id).or_else(|| floor.neighbour_against(name, needs, id));
    if let Some(verdict) = against {
        return verdict;
    }
    match machine.memory_bytes.map(|all| all.saturating_sub(floor.memory(id))) {
        Some(free) if needs.memory() > free => Verdict::NoMemory { wanted: needs.memory(), free },
        _ => Verdict::Able,
    }
}

fn demands(needs: &Needs, machine: &Machine, id: &MachineId) -> Option<Verdict> {
    if let Some(wanted) = needs.machine_id.as_ref().filter(|wanted| !is_meant(wanted, id)) {
        return Some(Verdict::OtherMachine { wanted: wanted.clone() });
    }
    metadata(needs, machine)
}

fn is_meant(wanted: &str, id: &MachineId) -> bool {
    wanted == id.as_str() || wanted == id.short()
}

/// Checks what is demanded of a machine alone, whatever stands on it.
pub(super) fn metadata(needs: &Needs, machine: &Machine) -> Option<Verdict> {
    needs.metadata.iter().find_map(|(key, wanted)| {
        let has = machine.metadata.get(key);
        let fits = has.is_some_and(|has| wanted.contains(has));
        (!fits).then(|| Verdict::OtherMetadata {
            key: key.clone(),
            wanted: wanted.iter().cloned().collect(),
            has: has.cloned(),
        })
    })
}
