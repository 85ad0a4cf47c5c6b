//! What a stack would do in a lab, thought through without one: where its units go, and what in it leads nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::{Instance, Stack, StackError, Stacks};
use crate::fleet::placement::{Machine, Snapshot, Standing, Unit, explain, settle};
use crate::fleet::records::{MachineId, Phase, Scheduling};
use crate::fleet::unit::{Needs, UnitName};
use crate::model::image::ImageSpec;
use crate::model::{NodeName, Topology};

/// What was found out about a stack.
#[derive(Debug, Default, Serialize)]
pub struct Examined {
    pub roles: BTreeMap<String, Vec<NodeName>>,
    /// Where each unit goes; on several nodes if it is global.
    pub units: Vec<Placed>,
    /// What keeps it from running as it is meant to.
    pub problems: Vec<String>,
    /// What is odd and does no harm.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placed {
    pub unit: UnitName,
    pub nodes: Vec<String>,
}

/// Thinks one stack of a lab through. `images` are all that the lab has.
pub fn examine(stacks: &Stacks, stack: &Stack, topology: &Topology, images: &[ImageSpec]) -> Examined {
    let mut examined = Examined::default();
    let duties = match topology.duties() {
        Ok(duties) => duties,
        Err(error) => return Examined { problems: vec![error.to_string()], ..examined },
    };
    let own = duties.iter().filter(|duty| stack.roles.iter().any(|role| role.name == duty.role));
    examined.roles = own
        .map(|duty| {
            let members = duty.members.iter().map(|member| member.node.clone()).collect();
            (duty.role.to_string(), members)
        })
        .collect();
    if let Err(error) = stacks.check_ports(topology) {
        match error {
            StackError::Ports(clashes) => examined.problems.extend(clashes),
            other => examined.problems.push(other.to_string()),
        }
    }
    let instances = stack.instances(&duties, &BTreeMap::new());
    examined.problems.extend(unknown_variables(stack, topology));
    examined.problems.extend(pulls(stack));
    examined.notes.extend(unused(stack, images));
    place(&instances, topology, &mut examined);
    examined
}

/// Has fleet's own planner place all units on machines that stand idle.
fn place(instances: &[Instance], topology: &Topology, examined: &mut Examined) {
    let machines = topology.nodes.iter().map(|node| {
        let machine = Machine {
            name: node.name.to_string(),
            metadata: topology.metadata_of(node),
            scheduling: Scheduling::Open,
            memory_bytes: None,
            standing: Standing::Here,
        };
        (MachineId::new(node.name.as_str()), machine)
    });
    let unit = |instance: &Instance| {
        let needs = Needs::of(&instance.name, &instance.file).map(Arc::new).map_err(|bad| bad.to_string());
        let (machine, wish, reported_on) = (None, None, BTreeSet::new());
        (instance.name.clone(), Unit { needs, desired: Phase::Launched, machine, wish, reported_on })
    };
    let units = instances.iter().map(unit).collect();
    let (end, _) = settle(Snapshot { machines: machines.collect(), units, ..Snapshot::default() });
    for instance in instances {
        let unit = &end.units[&instance.name];
        let verdicts = explain(&end, &instance.name).unwrap_or_default();
        let nodes: Vec<String> = match &unit.machine {
            _ if unit.is_global() => {
                let able = verdicts.iter().filter(|(_, verdict)| verdict.is_able());
                able.map(|(id, _)| end.machines[id].name.clone()).collect()
            }
            Some(id) => vec![end.machines[id].name.clone()],
            None => Vec::new(),
        };
        if nodes.is_empty() {
            let why =
                verdicts.iter().map(|(id, verdict)| format!("\n    {}: {verdict}", end.machines[id].name));
            let why: String = why.collect();
            examined.problems.push(format!("`{}` finds no node{why}", instance.name));
        }
        examined.units.push(Placed { unit: instance.name.clone(), nodes });
    }
}

/// Tells variables of ours that no node sets: a role or an image is called otherwise.
fn unknown_variables(stack: &Stack, topology: &Topology) -> Vec<String> {
    let Some(node) = topology.nodes.first() else { return Vec::new() };
    let known: BTreeSet<String> =
        topology.config(node).variables().into_iter().map(|(name, _)| name).collect();
    let mut lost = Vec::new();
    for unit in &stack.units {
        let names: BTreeSet<&str> = variables_in(unit.file.text()).collect();
        for name in names.into_iter().filter(|name| !known.contains(*name)) {
            lost.push(format!(
                "`{}` reads {name}, which no role, image or lab of this stack sets",
                unit.name
            ));
        }
    }
    lost
}

/// Returns all that looks like a variable of ours in a text.
fn variables_in(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with(['#', ';']));
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    lines
        .flat_map(move |line| line.split(move |c: char| !is_part(c)))
        .filter(|word| word.strip_prefix("LAB_").is_some_and(|rest| !rest.is_empty() && !rest.ends_with('_')))
}

/// Tells units that would fetch an image while they start: offline they would not.
fn pulls(stack: &Stack) -> Vec<String> {
    let pulls = |text: &str| {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with(['#', ';']));
        lines.into_iter().any(|line| line.contains("docker pull"))
    };
    let units = stack.units.iter().filter(|unit| pulls(unit.file.text()));
    units
        .map(|unit| format!("`{}` pulls its image while it starts; name it in `images` instead", unit.name))
        .collect()
}

/// Tells images that no unit runs, and units that run what is not named.
fn unused(stack: &Stack, images: &[ImageSpec]) -> Vec<String> {
    let used: BTreeSet<&String> = stack.units.iter().flat_map(|unit| &unit.images).collect();
    let idle = stack.images.iter().filter(|spec| !used.contains(&spec.key));
    let mut notes: Vec<String> = idle
        .map(|spec| format!("no unit names the image `{}`, so it goes to every node", spec.key))
        .collect();
    for unit in stack.units.iter().filter(|unit| unit.images.is_empty()) {
        let runs = images.iter().find(|spec| unit.file.text().contains(&spec.name.unpinned().familiar()));
        notes.extend(runs.map(|spec| {
            format!("`{}` runs the image `{}` and does not name it in `images`", unit.name, spec.key)
        }));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_where_they_are_read() {
        let text = "# LAB_NOT\nExecStart=/bin/x ${LAB_A_HOSTS} $LAB_B,LAB_ LAB_C_ D=LAB_E\n";
        let found: Vec<&str> = variables_in(text).collect();
        assert_eq!(found, ["LAB_A_HOSTS", "LAB_B", "LAB_E"]);
    }
}
