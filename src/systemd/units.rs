//! Units: what is known of them, and what is to become of them.

use super::bus::body;
use super::changes::UnitChanges;
use super::error::{Error, NO_SUCH_PROCESS, NO_SUCH_UNIT, NOT_SUPPORTED, unless};
use super::job::Job;
use super::manager::{Manager, UnitLine};

/// Links are made below `/run` and are gone after a reboot.
const UNTIL_REBOOT: bool = true;
/// A link of that name which leads elsewhere is replaced.
const FORCED: bool = true;
const SIGKILL: i32 = 9;

/// How systemd has a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitStatus {
    pub name: String,
    /// `loaded`, `not-found`, `masked`, `bad-setting` …
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating` …
    pub active: String,
    /// The state in words of the unit's kind, such as `running` or `exited` of a service.
    pub sub: String,
}

impl From<UnitLine> for UnitStatus {
    fn from((name, _, load, active, sub, ..): UnitLine) -> Self {
        Self { name, load, active, sub }
    }
}

impl Manager {
    /// Makes unit files elsewhere known, by absolute path and until reboot. systemd notices after a
    /// `reload`.
    pub async fn link(&self, paths: &[String]) -> Result<(), Error> {
        self.order("LinkUnitFiles", &(paths, UNTIL_REBOOT, FORCED)).await.map(drop)
    }

    /// Enables units as their `[Install]` says, until reboot; one without `[Install]` is left as it is.
    pub async fn enable(&self, names: &[String]) -> Result<(), Error> {
        self.order("EnableUnitFiles", &(names, UNTIL_REBOOT, FORCED)).await.map(drop)
    }

    /// Enables units as their `[Install]` says, for this boot and all that come.
    pub async fn enable_for_good(&self, names: &[String]) -> Result<(), Error> {
        self.order("EnableUnitFiles", &(names, !UNTIL_REBOOT, FORCED)).await.map(drop)
    }

    /// Removes all links to units that are made until reboot, those of `link` included. Units that are
    /// not known count as disabled.
    pub async fn disable(&self, names: &[String]) -> Result<(), Error> {
        let outcome = self.order("DisableUnitFiles", &(names, UNTIL_REBOOT)).await;
        unless(&[NO_SUCH_UNIT], outcome).map(drop)
    }

    /// Forgets that a unit failed. A unit that is not loaded counts as reset.
    pub async fn reset_failed(&self, unit: &str) -> Result<(), Error> {
        unless(&[NO_SUCH_UNIT], self.order("ResetFailedUnit", &(unit,)).await).map(drop)
    }

    /// Queues a start and returns as soon as it is queued.
    pub async fn queue_start(&self, unit: &str) -> Result<Job, Error> {
        self.queue("StartUnit", unit).await
    }

    /// Queues a stop and a start, or a start of what is stopped, and returns as soon as it is queued.
    pub async fn queue_restart(&self, unit: &str) -> Result<Job, Error> {
        self.queue("RestartUnit", unit).await
    }

    /// Has a unit read its settings again without an end of what it does; returns as soon as that is queued.
    pub async fn queue_reload(&self, unit: &str) -> Result<Job, Error> {
        self.queue("ReloadUnit", unit).await
    }

    /// Queues a stop and returns as soon as it is queued. For a unit that is not loaded the job is done.
    pub async fn queue_stop(&self, unit: &str) -> Result<Job, Error> {
        let queued = unless(&[NO_SUCH_UNIT], self.queue("StopUnit", unit).await)?;
        Ok(queued.unwrap_or_else(|| Job::done(unit)))
    }

    /// Sends SIGKILL to every process of a unit. One that has none, or is not loaded, is left alone.
    pub async fn kill(&self, unit: &str) -> Result<(), Error> {
        let outcome = self.order("KillUnit", &(unit, "all", SIGKILL)).await;
        unless(&[NO_SUCH_UNIT, NO_SUCH_PROCESS, NOT_SUPPORTED], outcome).map(drop)
    }

    /// Asks for many units in one call. One that is not known comes as `not-found`, `inactive`, `dead`.
    /// An alias comes under the name of its unit. A template, which never has a state, does not come, and
    /// neither does what cannot be the name of a unit.
    pub async fn unit_statuses(&self, names: &[String]) -> Result<Vec<UnitStatus>, Error> {
        let names = with_state(names);
        // systemd loads those that are not loaded, so this is no mere question.
        let answer = self.order("ListUnitsByNames", &(names,)).await?;
        let lines: Vec<UnitLine> = body("ListUnitsByNames", &answer)?;
        Ok(lines.into_iter().map(UnitStatus::from).collect())
    }

    /// Hears of changes of units from now on. What was the case before is to be asked after this.
    pub async fn watch_units(&self) -> Result<UnitChanges, Error> {
        UnitChanges::listen(&*self.bus().await?).await
    }
}

/// systemd leaves out what cannot be a name, but for the sake of one template it refuses to answer at all.
fn with_state(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).filter(|name| !name.contains("@.")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_not_asked_for() {
        let names = ["a.service", "web@.service", "web@1.service", "web@a.b.service"].map(str::to_owned);
        assert_eq!(with_state(&names), ["a.service", "web@1.service", "web@a.b.service"]);
    }
}
