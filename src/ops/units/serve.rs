//! Whether units serve: what their stacks ask of them, put to the nodes that they run on.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use crate::fleet::records::MachineId;
use crate::fleet::unit::UnitName;
use crate::model::{Check, NodeName, Outcome};
use crate::ops::link::Link;

use super::sight::Sight;

/// What is asked of each unit.
pub type Checks = BTreeMap<UnitName, Check>;
/// What each unit answers on each machine where systemd says that it runs.
pub type Answers = BTreeMap<(UnitName, MachineId), Outcome>;

/// A check, and the node that is to make it.
pub type Question = (NodeName, Check);

/// Asks all units that run.
pub async fn ask(links: &BTreeMap<NodeName, Link>, sight: &Sight, checks: &Checks) -> Answers {
    let mut asked: Vec<(UnitName, MachineId)> = Vec::new();
    let mut questions: Vec<Question> = Vec::new();
    for (name, check) in checks {
        let is_up = |id: &&MachineId| {
            sight.state_on(name, id).is_some_and(|state| state.systemd_active_state == "active")
        };
        for id in sight.homes(name).iter().filter(is_up) {
            let Some(node) = sight.names.node(id) else { continue };
            asked.push((name.clone(), id.clone()));
            questions.push((node.clone(), check.clone()));
        }
    }
    asked.into_iter().zip(put(links, &questions).await).collect()
}

/// Has nodes make checks, all of one node in one request, and returns how each ended.
pub async fn put(links: &BTreeMap<NodeName, Link>, questions: &[Question]) -> Vec<Outcome> {
    let mut by_node: BTreeMap<&NodeName, Vec<usize>> = BTreeMap::new();
    for (index, (node, _)) in questions.iter().enumerate() {
        by_node.entry(node).or_default().push(index);
    }
    let asking = by_node.into_iter().map(async |(node, indices)| {
        let checks: Vec<Check> = indices.iter().map(|index| questions[*index].1.clone()).collect();
        let outcomes = match links.get(node) {
            None => Err("its node cannot be entered".to_owned()),
            Some(link) => link.ask_checks(&checks).await.map_err(|error| error.to_string()),
        };
        let outcomes = outcomes.unwrap_or_else(|why| indices.iter().map(|_| Err(why.clone())).collect());
        indices.into_iter().zip(outcomes).collect::<Vec<_>>()
    });
    let mut all = vec![Err("its node did not say".to_owned()); questions.len()];
    for (index, outcome) in join_all(asking).await.into_iter().flatten() {
        all[index] = outcome;
    }
    all
}
