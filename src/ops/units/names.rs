//! What people call machines: fleet knows them by ids, a lab by the names of its nodes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::fleet::records::MachineId;
use crate::fleet::v1;
use crate::model::{NodeName, machine_id};

#[derive(Debug, Clone, Default)]
pub struct Names {
    known: BTreeMap<MachineId, Known>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    node: Option<NodeName>,
    name: Option<String>,
    address: String,
}

impl Names {
    /// Brings together what a lab knows of its nodes and fleet of its machines. A machine that is cut off is
    /// known to the lab alone.
    pub fn of(lab_id: Option<&str>, nodes: &[(NodeName, Ipv4Addr)], machines: &[v1::Machine]) -> Self {
        let mut known = BTreeMap::new();
        for (node, address) in nodes {
            let Some(lab_id) = lab_id else { break };
            let id = MachineId::new(machine_id(lab_id, node));
            let (node, name) = (Some(node.clone()), Some(node.to_string()));
            known.insert(id, Known { node, name, address: address.to_string() });
        }
        for machine in machines {
            let id = MachineId::new(machine.id.as_str());
            let entry: &mut Known = known.entry(id).or_default();
            if !machine.primary_ip.is_empty() {
                entry.address.clone_from(&machine.primary_ip);
            }
            let name = machine.name.clone().filter(|name| !name.is_empty());
            entry.name = entry.name.take().or(name);
            let is_meant = |(node, address): &&(NodeName, Ipv4Addr)| {
                entry.name.as_deref() == Some(node.as_str()) || entry.address == address.to_string()
            };
            if entry.node.is_none() {
                entry.node = nodes.iter().find(is_meant).map(|(node, _)| node.clone());
            }
        }
        Self { known }
    }

    /// Returns the node of the lab that a machine is.
    pub fn node(&self, id: &MachineId) -> Option<&NodeName> {
        self.known.get(id)?.node.as_ref()
    }

    /// Returns a machine's name, or its short id.
    pub fn name(&self, id: &MachineId) -> String {
        let name = self.known.get(id).and_then(|known| known.name.clone());
        name.unwrap_or_else(|| id.short().to_owned())
    }

    /// Returns a machine as tables show it: `core-01/10.77.0.11`, or `1a2b3c4d.../10.0.0.1` as fleet does.
    pub fn label(&self, id: &MachineId) -> String {
        let known = self.known.get(id);
        let name = known.and_then(|known| known.name.clone()).unwrap_or_else(|| format!("{}...", id.short()));
        match known.map(|known| known.address.as_str()).filter(|address| !address.is_empty()) {
            Some(address) => format!("{name}/{address}"),
            None => name,
        }
    }

    /// Returns a machine's address; empty where nobody knows it.
    pub fn address(&self, id: &MachineId) -> &str {
        self.known.get(id).map_or("", |known| known.address.as_str())
    }

    /// Finds the one machine that somebody means: by name, by address, or by the beginning of its id.
    pub fn find(&self, text: &str) -> Option<MachineId> {
        let is_called = |known: &Known| {
            known.name.as_deref() == Some(text)
                || known.node.as_ref().is_some_and(|node| node.as_str() == text)
                || (!text.is_empty() && known.address == text)
        };
        let called = self.known.iter().find(|(_, known)| is_called(known));
        if let Some((id, _)) = called {
            return Some(id.clone());
        }
        let mut begun = self.known.keys().filter(|id| text.len() >= 4 && id.as_str().starts_with(text));
        let first = begun.next()?;
        begun.next().is_none().then(|| first.clone())
    }

    /// Returns the names of all machines.
    pub fn all(&self) -> Vec<String> {
        self.known.keys().map(|id| self.name(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(id: &str, ip: &str, name: Option<&str>) -> v1::Machine {
        let (id, primary_ip, name) = (id.to_owned(), ip.to_owned(), name.map(str::to_owned));
        v1::Machine { id, primary_ip, name, ..v1::Machine::default() }
    }

    fn names() -> (Names, MachineId) {
        let node = |name: &str| NodeName::parse(name).unwrap();
        let nodes = [
            (node("core-01"), Ipv4Addr::new(10, 77, 0, 11)),
            (node("core-02"), Ipv4Addr::new(10, 77, 0, 12)),
        ];
        let first = MachineId::new(machine_id("0011", &nodes[0].0));
        let machines = [
            machine(first.as_str(), "10.77.0.11", None),
            machine("abcd000011112222", "10.77.0.12", None),
            machine("abcdffff11112222", "192.0.2.1", None),
            machine("9999", "192.0.2.2", Some("db")),
        ];
        (Names::of(Some("0011"), &nodes, &machines), first)
    }

    #[test]
    fn a_machine_is_known_by_its_id_its_address_or_its_name() {
        let (names, first) = names();
        assert_eq!(names.label(&first), "core-01/10.77.0.11");
        let other = MachineId::new("abcd000011112222");
        assert_eq!(names.node(&other).map(NodeName::as_str), Some("core-02"));
        assert_eq!(names.label(&other), "abcd0000.../10.77.0.12");
        assert_eq!(names.label(&MachineId::new("9999")), "db/192.0.2.2");
        assert_eq!(names.label(&MachineId::new("1234567890")), "12345678...");
        // A machine that fleet does not see is still a node.
        let cut_off = MachineId::new(machine_id("0011", &NodeName::parse("core-02").unwrap()));
        assert_eq!(names.label(&cut_off), "core-02/10.77.0.12");
    }

    #[test]
    fn a_machine_is_found_by_what_means_one_alone() {
        let (names, first) = names();
        assert_eq!(names.find("core-01"), Some(first.clone()));
        assert_eq!(names.find("10.77.0.11"), Some(first));
        assert_eq!(names.find("db"), Some(MachineId::new("9999")));
        assert_eq!(names.find("abcdf"), Some(MachineId::new("abcdffff11112222")));
        for ambiguous_or_none in ["abcd", "core-09", "", "99"] {
            assert_eq!(names.find(ambiguous_or_none), None, "{ambiguous_or_none}");
        }
    }
}
