//! What the agent has under way: each operation is a future of its own, and its end is an event.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use tokio::time::{Duration, sleep};

use crate::fleet::records::Report;
use crate::fleet::unit::{Hash, UnitFile, UnitName};

use super::report::Published;
use super::units::{Error, Status, Units};

/// How an operation ended.
#[derive(Debug)]
pub(super) enum End {
    Loaded {
        loaded: Vec<(UnitName, Hash)>,
        failed: Vec<(UnitName, Hash)>,
    },
    Started(UnitName),
    Stopped {
        unit: UnitName,
        status: Option<Status>,
    },
    Killed(UnitName),
    Unloaded(Vec<UnitName>),
    /// Files could not be removed; the units are as they were.
    Kept(Vec<UnitName>),
    Seen(BTreeMap<UnitName, Status>),
    /// Systemd does not answer.
    Unseen,
    Published(Published),
    /// What stands in the registry under this lease, from an earlier run.
    Remembered {
        lease: u64,
        reports: BTreeMap<UnitName, Report>,
    },
    /// The registry did not say.
    Forgotten,
}

pub(super) type Operation = BoxFuture<'static, End>;

/// What failed is not tried again in a rush.
const PAUSE: Duration = Duration::from_secs(1);

fn warn(unit: &UnitName, error: &Error, what: &str) {
    tracing::warn!(%unit, error = &**error as &dyn std::error::Error, "could not {what}");
}

pub(super) fn load<U: Units>(units: &U, files: Vec<(UnitName, UnitFile, Hash)>) -> Operation {
    let units = units.clone();
    Box::pin(async move {
        let failed =
            units.load(files.iter().map(|(name, file, _)| (name.clone(), file.clone())).collect()).await;
        for (unit, error) in &failed {
            warn(unit, error, "load it");
        }
        let failed: Vec<UnitName> = failed.into_iter().map(|(name, _)| name).collect();
        let all = files.into_iter().map(|(name, _, hash)| (name, hash));
        let (failed, loaded) = all.partition(|(name, _)| failed.contains(name));
        End::Loaded { loaded, failed }
    })
}

pub(super) fn start<U: Units>(units: &U, unit: UnitName, stops: u64) -> Operation {
    let units = units.clone();
    Box::pin(async move {
        if let Err(error) = units.start(&unit, stops).await {
            warn(&unit, &error, "start it");
        }
        End::Started(unit)
    })
}

/// A unit that did not stop is looked at again after a pause.
pub(super) fn stop<U: Units>(units: &U, unit: UnitName) -> Operation {
    let units = units.clone();
    Box::pin(async move {
        if let Err(error) = units.stop(&unit).await {
            warn(&unit, &error, "stop it");
        }
        let status = units.statuses(vec![unit.clone()]).await.ok().and_then(|mut all| all.remove(&unit));
        if !status.as_ref().is_some_and(Status::is_still) {
            sleep(PAUSE).await;
        }
        End::Stopped { unit, status }
    })
}

pub(super) fn kill<U: Units>(units: &U, unit: UnitName) -> Operation {
    let units = units.clone();
    Box::pin(async move {
        if let Err(error) = units.kill(&unit).await {
            warn(&unit, &error, "kill it");
            sleep(PAUSE).await;
        }
        End::Killed(unit)
    })
}

pub(super) fn unload<U: Units>(units: &U, names: Vec<UnitName>) -> Operation {
    let units = units.clone();
    Box::pin(async move {
        match units.unload(names.clone()).await {
            Ok(()) => End::Unloaded(names),
            Err(error) => {
                tracing::warn!(error = &*error as &dyn std::error::Error, "could not remove units");
                sleep(PAUSE).await;
                End::Kept(names)
            }
        }
    })
}

pub(super) fn look<U: Units>(units: &U, names: Vec<UnitName>) -> Operation {
    let units = units.clone();
    Box::pin(async move {
        match units.statuses(names).await {
            Ok(seen) => End::Seen(seen),
            Err(error) => {
                tracing::warn!(
                    error = &*error as &dyn std::error::Error,
                    "systemd does not say how units are"
                );
                sleep(PAUSE).await;
                End::Unseen
            }
        }
    })
}
