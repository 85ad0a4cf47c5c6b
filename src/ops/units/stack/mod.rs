//! The lab's stacks: what of them does not run, and how it comes to run.

mod bring;
mod rollout;
mod serving;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fleet::client::{Client, file_of};
use crate::fleet::records::{MachineId, Phase};
use crate::model::{NodeName, Topology};
use crate::ops::link::Link;
use crate::ops::stack::{Instance, labels};
use crate::ops::{Error, Lab};
use crate::provider::{Provider, Seen};
use crate::wait::wait_until;

use super::cluster::Cluster;
use super::goal::{Goal, Progress, judge};
use super::names::Names;
use super::serve;
use super::sight::Sight;
use super::ways;

pub(in crate::ops) use bring::{bring_stacks, renew_images};
pub(in crate::ops) use serving::serving;
pub use serving::{EndpointStatus, StackStatus, UnitStatus};

const OFTEN: Duration = Duration::from_millis(100);
/// A machine whose lease an earlier life of it still holds has to wait for its end.
const JOIN_LIMIT: Duration = Duration::from_secs(20);
/// A machine that was removed is listed until its lease is over and its units are elsewhere.
const FORGET_LIMIT: Duration = Duration::from_secs(15);

/// Asks, through connections that exist, what of the stacks is not as it should be.
pub(in crate::ops) async fn lacks(
    links: &BTreeMap<NodeName, Link>,
    seen: &Seen,
    wanted: &[Instance],
) -> Result<Vec<String>, Error> {
    let Some(link) = links.values().next() else { return Ok(vec!["no node runs".to_owned()]) };
    let client = Client::new(ways::Through(link.session()));
    let (units, states, machines) = tokio::try_join!(client.units(), client.states(), client.nodes())?;
    let nodes: Vec<_> = seen.machines.iter().map(|(node, machine)| (node.clone(), machine.address)).collect();
    let names = Names::of(seen.lab_id.as_deref(), &nodes, &machines);
    let mut sight = Sight::of(units, states, machines, names);
    let checks = wanted.iter().filter_map(|one| Some((one.name.clone(), one.check.clone()?))).collect();
    sight.answers = serve::ask(links, &sight, &checks).await;
    Ok(missing(&sight, wanted))
}

/// Returns what is wrong with each unit that is not well, and which are too many.
fn missing(sight: &Sight, wanted: &[Instance]) -> Vec<String> {
    let wrong = |one: &Instance| {
        let name = &one.name;
        let Some(unit) = sight.units.get(name) else { return Some(format!("{name} is not there")) };
        let held = file_of(unit).ok();
        if held.as_ref().is_none_or(|held| held.hash() != one.file.hash()) {
            let held = held.as_ref().map(labels).unwrap_or_default();
            return Some(format!("{name}: {}", held.difference(&labels(&one.file))));
        }
        if sight.desired(name) != Phase::Launched {
            return Some(format!("{name} is not launched"));
        }
        match judge(sight, name, &Goal::Active) {
            // Only the node of a unit that has ended can tell how; that is asked when it is started.
            Progress::Done(_) | Progress::Ended { .. } => None,
            _ if sight.answers.keys().any(|(unit, _)| unit == name) => Some(format!("{name} does not serve")),
            _ => Some(format!("{name} does not run")),
        }
    };
    let surplus =
        rollout::surplus(sight, wanted).into_iter().map(|name| format!("{name} is in no stack any more"));
    wanted.iter().filter_map(wrong).chain(surplus).collect()
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
    use crate::fleet::unit::UnitFile;
    use crate::ops::units::sight::tests::{name, sight, state, unit};

    const TEXT: &str = "[Service]\nExecStart=/a\n";

    fn wanted(text: &str) -> [Instance; 1] {
        [Instance {
            stack: "demo".to_owned(),
            of: name("a.service"),
            level: 0,
            name: name("a.service"),
            file: UnitFile::parse(text).unwrap(),
            check: None,
            leader: None,
        }]
    }

    #[test]
    fn whatever_of_a_stack_is_not_well_is_told() {
        let told = |units, states| missing(&sight(units, states), &wanted(TEXT));
        assert_eq!(told(Vec::new(), Vec::new()), ["a.service is not there"]);
        let other = unit("a.service", "[Service]\nExecStart=/b\n", Phase::Launched, Some("m1"));
        assert_eq!(told(vec![other], Vec::new()), ["a.service: it has another file"]);
        let stopped = unit("a.service", TEXT, Phase::Loaded, Some("m1"));
        assert_eq!(told(vec![stopped], Vec::new()), ["a.service is not launched"]);
        let homeless = || unit("a.service", TEXT, Phase::Launched, None);
        assert_eq!(told(vec![homeless()], Vec::new()), ["a.service does not run"]);
        let running = || unit("a.service", TEXT, Phase::Launched, Some("m1"));
        assert_eq!(told(vec![running()], vec![state("a.service", "m1", "active", "running")]), [""; 0]);
    }

    #[test]
    fn a_unit_is_well_when_it_says_so() {
        let unit = unit("a.service", TEXT, Phase::Launched, Some("m1"));
        let mut sight = sight(vec![unit], vec![state("a.service", "m1", "active", "running")]);
        let key = (name("a.service"), MachineId::new("m1"));
        sight.answers = [(key.clone(), Err("connection refused".to_owned()))].into();
        assert_eq!(missing(&sight, &wanted(TEXT)), ["a.service does not serve"]);
        sight.answers = [(key, Ok("Mode: leader".to_owned()))].into();
        assert_eq!(missing(&sight, &wanted(TEXT)), [""; 0]);
    }

    #[test]
    fn what_changed_is_told_by_what_a_unit_was_made_for() {
        let held = |labels: &str| format!("{TEXT}[X-Lab]\nStack=demo\n{labels}");
        let told = |old: &str, new: &str| {
            let unit = unit("a.service", &held(old), Phase::Launched, Some("m1"));
            missing(&sight(vec![unit], Vec::new()), &wanted(&held(new))).join(", ")
        };
        assert_eq!(told("Image=a:1 sha256:1\n", "Image=a:1 sha256:2\n"), "a.service: its image changed");
        let (three, five) = ("Members=zookeeper a,b,c\n", "Members=zookeeper a,b,c,d,e\n");
        assert_eq!(told(three, five), "a.service: the members of zookeeper changed");
        assert_eq!(told("Env=1\n", "Env=2\n"), "a.service: its variables changed");
        let rest =
            missing(&sight(vec![unit("a.service", &held(""), Phase::Launched, None)], Vec::new()), &[]);
        assert_eq!(rest, ["a.service is in no stack any more"]);
    }
}
