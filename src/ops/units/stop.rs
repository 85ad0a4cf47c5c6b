//! `lab unit stop`, `unload`, `destroy` and `restart`.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::fleet::records::Phase;
use crate::fleet::unit::UnitName;
use crate::ops::{Error, Lab};
use crate::provider::Provider;

use super::cluster::Cluster;
use super::goal::{Goal, StopProof};
use super::select::{UnitArg, select, select_all};
use super::wait::{Failure, PATIENCE};

/// Stops units, which stay on their machines. Ends when systemd says that they do not run.
pub async fn stop<P: Provider>(
    lab: &Lab<'_, P>,
    args: &[UnitArg],
    wait: Option<Duration>,
) -> Result<(), Error> {
    let cluster = Cluster::open(lab).await?;
    let sight = cluster.look().await?;
    let names = runnable(select_all(args, &sight.known())?);
    let (wanted, idle): (Vec<UnitName>, Vec<UnitName>) =
        names.into_iter().partition(|name| sight.desired(name) != Phase::Inactive);
    for name in idle {
        cluster.progress().note(name.to_string(), "is on no machine; nothing to stop");
    }
    let launched: Vec<UnitName> =
        wanted.iter().filter(|name| sight.desired(name) == Phase::Launched).cloned().collect();
    cluster.set_desired(&launched, Phase::Loaded).await?;
    finish(&cluster, wanted, &Goal::Stopped(StopProof::Systemd), wait, "did not stop").await
}

/// Takes units from their machines; the cluster goes on knowing them.
pub async fn unload<P: Provider>(
    lab: &Lab<'_, P>,
    args: &[UnitArg],
    wait: Option<Duration>,
) -> Result<(), Error> {
    let cluster = Cluster::open(lab).await?;
    let sight = cluster.look().await?;
    let names: Vec<UnitName> = select_all(args, &sight.known())?.into_iter().collect();
    let loaded: Vec<UnitName> =
        names.iter().filter(|name| sight.desired(name) != Phase::Inactive).cloned().collect();
    cluster.set_desired(&loaded, Phase::Inactive).await?;
    finish(&cluster, names, &Goal::Unloaded, wait, "could not be unloaded").await
}

/// Makes the cluster forget units. What is not there is no error.
pub async fn destroy<P: Provider>(
    lab: &Lab<'_, P>,
    args: &[UnitArg],
    wait: Option<Duration>,
) -> Result<(), Error> {
    let cluster = Cluster::open(lab).await?;
    let sight = cluster.look().await?;
    let (names, none) = select(args, &sight.known());
    for arg in none {
        cluster.progress().note(arg.to_string(), "is not there; nothing to destroy");
    }
    let names: Vec<UnitName> = names.into_iter().collect();
    cluster.destroy_all(&names).await?;
    finish(&cluster, names, &Goal::Destroyed, wait, "could not be destroyed").await
}

/// Stops units and starts them again, once they have stopped.
pub async fn restart<P: Provider>(
    lab: &Lab<'_, P>,
    args: &[UnitArg],
    wait: Option<Duration>,
) -> Result<(), Error> {
    let cluster = Cluster::open(lab).await?;
    let sight = cluster.look().await?;
    let names = runnable(select_all(args, &sight.known())?);
    let of = names.len();
    let inactive = names.iter().filter(|name| sight.desired(name) == Phase::Inactive);
    let failures: Vec<Failure> = inactive.map(never_started).collect();
    if !failures.is_empty() {
        return Err(Error::Unfinished { what: "could not be restarted", failures, of });
    }
    let launched: Vec<UnitName> =
        names.iter().filter(|name| sight.desired(name) == Phase::Launched).cloned().collect();
    cluster.set_desired(&launched, Phase::Loaded).await?;
    // Without having stopped, a unit would not be started again but go on.
    let goal = Goal::Stopped(cluster.stop_proof());
    let stopped =
        finish(&cluster, launched.clone(), &goal, Some(wait.unwrap_or(PATIENCE)), "did not stop").await;
    // What was running is to run again, also where another one would not stop.
    cluster.set_desired(&names, Phase::Launched).await?;
    stopped?;
    finish(&cluster, names, &Goal::Active, wait, "did not start again").await
}

/// Leaves out templates, which patterns such as `web@*` mean too.
fn runnable(names: BTreeSet<UnitName>) -> Vec<UnitName> {
    names.into_iter().filter(|name| !name.is_template()).collect()
}

fn never_started(unit: &UnitName) -> Failure {
    Failure {
        unit: unit.clone(),
        why: format!("it is inactive; `lab unit start {unit}` starts it"),
        details: Vec::new(),
        is_late: false,
    }
}

async fn finish<P: Provider>(
    cluster: &Cluster<'_, P>,
    names: Vec<UnitName>,
    goal: &Goal,
    wait: Option<Duration>,
    what: &'static str,
) -> Result<(), Error> {
    let Some(limit) = wait.filter(|_| !names.is_empty()) else { return Ok(()) };
    cluster.wait(names.into_iter().map(|name| (name, goal.clone())).collect(), limit, what).await
}
