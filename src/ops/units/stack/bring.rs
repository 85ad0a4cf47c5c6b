//! Has fleet run the units of a lab's stacks, level after level, and starts again what changed, one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::all_joined;
use super::rollout::{Group, Level, next, put, rollout};
use crate::checkpoint::Checkpoint;
use crate::fleet::client::file_of;
use crate::fleet::unit::UnitName;
use crate::model::{NodeName, Topology};
use crate::ops::images::ImageIds;
use crate::ops::stack::{Instance, Stacks, labels};
use crate::ops::units::cluster::Cluster;
use crate::ops::units::goal::{Goal, Progress, judge};
use crate::ops::units::serve::{self, Checks};
use crate::ops::units::sight::Sight;
use crate::ops::{Error, Lab};
use crate::provider::Provider;

/// A service may have data to read, or to copy from another member, before it serves.
const PATIENCE: Duration = Duration::from_mins(3);

/// Brings the stacks to run, after all machines have joined: the first one would get everything.
pub async fn bring_stacks<P: Provider>(
    lab: &Lab<'_, P>,
    topology: &Topology,
    ids: &ImageIds,
) -> Result<(), Error> {
    let instances = lab.stacks()?.instances(&topology.duties()?, &lab.settings.images, ids);
    let cluster = Cluster::open(lab).await?.with_checks(checks(&instances)).await;
    all_joined(&cluster, topology).await?;
    let plan = rollout(&cluster.look().await?, &instances);
    if !plan.surplus.is_empty() {
        cluster.destroy_all(&plan.surplus).await?;
        let goals = plan.surplus.iter().map(|name| (name.clone(), Goal::Destroyed)).collect();
        cluster.wait(goals, PATIENCE, "did not stop").await?;
    }
    // What has just stopped has left its ports.
    check_ports(&cluster, lab.stacks()?, topology, &plan.levels).await?;
    for level in plan.levels {
        bring_level(&cluster, level).await?;
    }
    Ok(())
}

/// Starts the units again whose image is another than the one they were started with, and no others. Returns which.
pub async fn renew_images<P: Provider>(
    lab: &Lab<'_, P>,
    topology: &Topology,
    ids: &ImageIds,
) -> Result<Vec<UnitName>, Error> {
    let instances = lab.stacks()?.instances(&topology.duties()?, &lab.settings.images, ids);
    if instances.is_empty() {
        return Ok(Vec::new());
    }
    let cluster = Cluster::open(lab).await?.with_checks(checks(&instances)).await;
    let sight = cluster.look().await?;
    let mut renewed = Vec::new();
    for group in rollout(&sight, &instances).levels.into_iter().flat_map(|level| level.changed) {
        let is_image = |one: &Instance| {
            let held = sight.units.get(&one.name).and_then(|unit| file_of(unit).ok());
            held.is_some_and(|held| labels(&held).runs_another_image(&labels(&one.file)))
        };
        let (changed, others): (Vec<Instance>, Vec<Instance>) = group.changed.into_iter().partition(is_image);
        let same = group.same.into_iter().chain(others.into_iter().map(|one| one.name)).collect();
        renewed.extend(changed.iter().map(|one| one.name.clone()));
        roll(&cluster, Group { changed, same, ..Group::default() }).await?;
    }
    Ok(renewed)
}

fn checks(instances: &[Instance]) -> Checks {
    let check = |one: &Instance| Some((one.name.clone(), one.check.clone()?));
    instances.iter().filter_map(check).collect()
}

async fn bring_level<P: Provider>(cluster: &Cluster<'_, P>, level: Level) -> Result<(), Error> {
    cluster.put_all(&level.fresh).await?;
    Checkpoint::UnitsSubmitted.reached();
    for group in level.changed {
        roll(cluster, group).await?;
    }
    // Those that serve already need no line of their own.
    let sight = cluster.look().await?;
    let serves = |name: &UnitName| matches!(judge(&sight, name, &Goal::Active), Progress::Done(_));
    let goals: Vec<_> =
        level.all.into_iter().filter(|name| !serves(name)).map(|name| (name, Goal::Active)).collect();
    if goals.is_empty() {
        return Ok(());
    }
    cluster.wait(goals, PATIENCE, "did not come to serve").await
}

/// Starts the instances of one unit again, one at a time, each when all others serve.
async fn roll<P: Provider>(cluster: &Cluster<'_, P>, mut group: Group) -> Result<(), Error> {
    if !group.first.is_empty() {
        let goals = group.first.iter().map(|name| (name.clone(), Goal::Active)).collect();
        cluster.wait(goals, PATIENCE, "do not serve, so none that runs is started again").await?;
        group.same.append(&mut group.first);
    }
    while !group.changed.is_empty() {
        let sight = cluster.look().await?;
        let serves = |name: &UnitName| matches!(judge(&sight, name, &Goal::Active), Progress::Done(_));
        let leaders = leaders(cluster, &sight, &group.changed).await;
        let chosen =
            next(&group.changed, serves, |name| leaders.contains(name)).expect("it is not empty").clone();
        group.changed.retain(|one| one.name != chosen.name);
        if !group.late.is_empty() {
            // It needs the new ones to serve, and they come when it has started.
            cluster.put_all(&[put(&chosen.name, &chosen.file)]).await?;
            let started = vec![(chosen.name.clone(), Goal::Up)];
            cluster.wait(started, PATIENCE, "did not start again").await?;
            group.same.push(chosen.name);
            continue;
        }
        let others = group.changed.iter().map(|one| &one.name).chain(&group.same);
        let others: Vec<_> =
            others.filter(|name| !sight.is_unplaced(name)).map(|name| (name.clone(), Goal::Active)).collect();
        if serves(&chosen.name) && others.iter().any(|(name, _)| !serves(name)) {
            cluster.wait(others, PATIENCE, "do not serve, so no other is started again").await?;
        }
        cluster.put_all(&[put(&chosen.name, &chosen.file)]).await?;
        Checkpoint::UnitReplaced.reached();
        cluster.wait(vec![(chosen.name.clone(), Goal::Active)], PATIENCE, "did not serve again").await?;
        group.same.push(chosen.name);
    }
    cluster.put_all(&group.late).await
}

/// Returns which of these units say that they lead.
async fn leaders<P: Provider>(
    cluster: &Cluster<'_, P>,
    sight: &Sight,
    instances: &[Instance],
) -> BTreeSet<UnitName> {
    let checks: Checks =
        instances.iter().filter_map(|one| Some((one.name.clone(), one.leader.clone()?))).collect();
    let answers = serve::ask(cluster.links(), sight, &checks).await;
    answers.into_iter().filter(|(_, outcome)| outcome.is_ok()).map(|((name, _), _)| name).collect()
}

/// Refuses to start units on nodes where somebody else has their ports.
async fn check_ports<P: Provider>(
    cluster: &Cluster<'_, P>,
    stacks: &Stacks,
    topology: &Topology,
    levels: &[Level],
) -> Result<(), Error> {
    let fresh: BTreeSet<&str> =
        levels.iter().flat_map(|level| &level.fresh).map(|unit| unit.name.as_str()).collect();
    let duties = topology.duties()?;
    let mut asked: BTreeMap<NodeName, BTreeMap<u16, String>> = BTreeMap::new();
    let mut taken = Vec::new();
    for (stack, unit) in stacks.units().filter(|(_, unit)| !unit.ports.is_empty()) {
        // What runs already has its ports itself.
        if !unit.names(&duties).iter().all(|name| fresh.contains(name.as_str())) {
            continue;
        }
        for node in stacks.candidates(stack, unit, topology, &duties) {
            let Some(link) = cluster.links().get(&node) else { continue };
            if !asked.contains_key(&node) {
                let ports =
                    link.ports().await?.into_iter().map(|one| (one.port, one.program.unwrap_or_default()));
                asked.insert(node.clone(), ports.collect());
            }
            let hit = unit.ports.iter().find_map(|port| Some((port, asked[&node].get(port)?)));
            taken.extend(hit.map(|(port, program)| {
                let by = if program.is_empty() { String::new() } else { format!(" by {program}") };
                format!("`{}` takes port {port}, which is taken on {node}{by}", unit.name)
            }));
        }
    }
    if taken.is_empty() { Ok(()) } else { Err(Error::from(crate::ops::StackError::Ports(taken))) }
}
