//! The lab's stack: what of it does not run, and how it comes to run.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fleet::client::{Client, file_of};
use crate::fleet::records::{MachineId, Phase};
use crate::fleet::unit::{UnitFile, UnitName};
use crate::model::{NodeName, Topology};
use crate::ops::stack::Stack;
use crate::ops::{Error, Lab};
use crate::provider::{Provider, Seen};
use crate::ssh::Session;
use crate::wait::wait_until;

use super::cluster::Cluster;
use super::goal::{Goal, Progress, judge};
use super::names::Names;
use super::sight::Sight;
use super::source::{Differing, Here, Local};
use super::start::{Bring, plan};
use super::{PATIENCE, ways};

const OFTEN: Duration = Duration::from_millis(100);
/// A machine whose lease an earlier life of it still holds has to wait for its end.
const JOIN_LIMIT: Duration = Duration::from_secs(20);
/// A machine that was removed is listed until its lease is over and its units are elsewhere.
const FORGET_LIMIT: Duration = Duration::from_secs(15);

/// Asks, through a session that exists, what of a stack is not as it should be.
pub(in crate::ops) async fn lacks(
    session: &Session,
    seen: &Seen,
    stack: &Stack,
) -> Result<Vec<String>, Error> {
    let client = Client::new(ways::Through(session));
    let (units, states, machines) = tokio::try_join!(client.units(), client.states(), client.nodes())?;
    let nodes: Vec<_> = seen.machines.iter().map(|(node, machine)| (node.clone(), machine.address)).collect();
    let names = Names::of(seen.lab_id.as_deref(), &nodes, &machines);
    Ok(missing(&Sight::of(units, states, machines, names), stack))
}

/// Returns what is wrong with each unit of a stack that is not well.
fn missing(sight: &Sight, stack: &Stack) -> Vec<String> {
    let wrong = |(name, file): &(UnitName, UnitFile)| {
        let Some(unit) = sight.units.get(name) else { return Some(format!("{name} is not there")) };
        if file_of(unit).ok().is_none_or(|held| held.hash() != file.hash()) {
            return Some(format!("{name} has another file"));
        }
        if sight.desired(name) != Phase::Launched {
            return Some(format!("{name} is not launched"));
        }
        match judge(sight, name, &Goal::Active) {
            // Only the node of a unit that has ended can tell how; that is asked when it is started.
            Progress::Done(_) | Progress::Ended { .. } => None,
            _ => Some(format!("{name} does not run")),
        }
    };
    stack.units.iter().filter_map(wrong).collect()
}

/// Brings a stack to run, after all machines have joined: the first one would get everything.
pub(in crate::ops) async fn bring_stack<P: Provider>(
    lab: &Lab<'_, P>,
    stack: &Stack,
    topology: &Topology,
) -> Result<(), Error> {
    let cluster = Cluster::open(lab).await?;
    all_joined(&cluster, topology).await?;
    let sight = cluster.look().await?;
    let here: BTreeMap<UnitName, Here> =
        stack.units.iter().map(|(name, file)| (name.clone(), here(name, file))).collect();
    let how = Bring {
        to: Phase::Launched,
        differing: Differing::Replace { up_to: Phase::Launched },
        wait: Some(PATIENCE),
    };
    let puts = plan(&sight, &here, &BTreeMap::new(), here.keys(), &how)?.puts;
    // In the order of the stack; what one of them needs from another is said in their files.
    let order = |name: &str| stack.units.iter().position(|(unit, _)| unit.as_str() == name);
    let mut puts = puts;
    puts.sort_by_key(|unit| order(&unit.name));
    cluster.put_all(&puts).await?;
    let goals = stack.units.iter().map(|(name, _)| (name.clone(), Goal::Active)).collect();
    cluster.wait(goals, PATIENCE, "did not start").await
}

fn here(name: &UnitName, file: &UnitFile) -> Here {
    let path = name.as_str().into();
    Here { own: Some(Local { path, file: file.clone() }), template: None }
}

async fn all_joined<P: Provider>(cluster: &Cluster<'_, P>, topology: &Topology) -> Result<(), Error> {
    let step = cluster.progress().begin("units", "waiting until all machines have joined");
    let mut trouble = None;
    let joined = wait_until("all machines have joined", JOIN_LIMIT, OFTEN, async || {
        match cluster.client.machines().await {
            Ok(machines) if machines.len() >= topology.nodes.len() => Some(()),
            Ok(machines) => {
                step.change(format!("{} of {} machines have joined", machines.len(), topology.nodes.len()));
                trouble = None;
                None
            }
            Err(error) => {
                trouble = Some(error);
                None
            }
        }
    });
    let joined = joined.await;
    match (joined, trouble) {
        (Ok(()), _) => step.done("all machines have joined"),
        (Err(_), Some(error)) => {
            step.failed("fleet does not serve");
            return Err(error.into());
        }
        // A machine that is missing is no reason to start nothing: what runs is told by each unit.
        (Err(_), None) => step.failed("some machines have not joined"),
    }
    Ok(())
}

/// Returns everything in the fleet's registry that leads nowhere or contradicts itself.
pub async fn fsck<P: Provider>(lab: &Lab<'_, P>) -> Result<Vec<String>, Error> {
    let found = Cluster::open(lab).await?.client.fsck().await?;
    Ok(found.iter().map(ToString::to_string).collect())
}

/// Has the fleet forget machines that were removed: it would wait for them whenever it begins.
pub(in crate::ops) async fn forget<P: Provider>(
    lab: &Lab<'_, P>,
    machines: &[(NodeName, MachineId)],
) -> Result<(), Error> {
    if machines.is_empty() {
        return Ok(());
    }
    let cluster = Cluster::open(lab).await?;
    for (node, id) in machines {
        let forgotten = wait_until(format!("{node} is forgotten"), FORGET_LIMIT, OFTEN, async || {
            cluster.client.forget(id).await.ok()
        });
        if forgotten.await.is_err() {
            lab.progress.note(node.as_str(), "fleet still remembers it; `lab machines` lists it as away");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::units::sight::tests::{name, sight, state, unit};

    const TEXT: &str = "[Service]\nExecStart=/a\n";

    fn stack() -> Stack {
        Stack { name: "demo".to_owned(), units: vec![(name("a.service"), UnitFile::parse(TEXT).unwrap())] }
    }

    #[test]
    fn whatever_of_a_stack_is_not_well_is_told() {
        let told = |units, states| missing(&sight(units, states), &stack());
        assert_eq!(told(Vec::new(), Vec::new()), ["a.service is not there"]);
        let other = unit("a.service", "[Service]\nExecStart=/b\n", Phase::Launched, Some("m1"));
        assert_eq!(told(vec![other], Vec::new()), ["a.service has another file"]);
        let stopped = unit("a.service", TEXT, Phase::Loaded, Some("m1"));
        assert_eq!(told(vec![stopped], Vec::new()), ["a.service is not launched"]);
        let homeless = || unit("a.service", TEXT, Phase::Launched, None);
        assert_eq!(told(vec![homeless()], Vec::new()), ["a.service does not run"]);
        let running = || unit("a.service", TEXT, Phase::Launched, Some("m1"));
        assert_eq!(told(vec![running()], vec![state("a.service", "m1", "active", "running")]), [""; 0]);
    }
}
