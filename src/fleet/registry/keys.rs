//! Which key says what. The only place that knows how keys are spelled.

use std::fmt;

use crate::fleet::records::MachineId;
use crate::fleet::unit::UnitName;

const ROOT: &str = "/lab/fleet/v1/";

/// A key of the registry, or the beginning of several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Everything.
    All,
    Units,
    Unit(UnitName),
    Globals,
    Global(UnitName),
    /// All targets of one machine: the only ones that it has to hear of.
    Targets(MachineId),
    Target(MachineId, UnitName),
    States,
    StatesOf(UnitName),
    State(UnitName, MachineId),
    Machines,
    Machine(MachineId),
    Nodes,
    Node(MachineId),
    Leader,
}

impl Key {
    /// Reads a whole key; `None` for what is not ours, or is spelled in a way in which we spell nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.strip_prefix(ROOT)?.split('/').collect();
        let unit = |name: &str| UnitName::parse(name).ok();
        let machine = |id: &str| (!id.is_empty()).then(|| MachineId::new(id));
        match parts[..] {
            ["leader"] => Some(Self::Leader),
            ["unit", name] => Some(Self::Unit(unit(name)?)),
            ["global", name] => Some(Self::Global(unit(name)?)),
            ["target", id, name] => Some(Self::Target(machine(id)?, unit(name)?)),
            ["state", name, id] => Some(Self::State(unit(name)?, machine(id)?)),
            ["machine", id] => Some(Self::Machine(machine(id)?)),
            ["node", id] => Some(Self::Node(machine(id)?)),
            _ => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROOT)?;
        match self {
            Self::All => Ok(()),
            Self::Units => f.write_str("unit/"),
            Self::Unit(name) => write!(f, "unit/{name}"),
            Self::Globals => f.write_str("global/"),
            Self::Global(name) => write!(f, "global/{name}"),
            Self::Targets(id) => write!(f, "target/{id}/"),
            Self::Target(id, name) => write!(f, "target/{id}/{name}"),
            Self::States => f.write_str("state/"),
            Self::StatesOf(name) => write!(f, "state/{name}/"),
            Self::State(name, id) => write!(f, "state/{name}/{id}"),
            Self::Machines => f.write_str("machine/"),
            Self::Machine(id) => write!(f, "machine/{id}"),
            Self::Nodes => f.write_str("node/"),
            Self::Node(id) => write!(f, "node/{id}"),
            Self::Leader => f.write_str("leader"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let (unit, id) = (UnitName::parse("a@1.service").unwrap(), MachineId::new("m1"));
        for key in [
            Key::Leader,
            Key::Unit(unit.clone()),
            Key::Global(unit.clone()),
            Key::Target(id.clone(), unit.clone()),
            Key::State(unit, id.clone()),
            Key::Machine(id.clone()),
            Key::Node(id),
        ] {
            assert_eq!(Key::parse(&key.to_string()), Some(key));
        }
        for other in ["/registry/x", "/lab/fleet/v1/unit/", "/lab/fleet/v1/unit/x", "/lab/fleet/v1/more/x"] {
            assert_eq!(Key::parse(other), None, "{other}");
        }
    }
}
