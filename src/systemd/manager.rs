//! systemd as a whole, and orders that are awaited.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;
use zbus::message::Message;
use zbus::{DynamicType, OwnedObjectPath, OwnedVariant};

use super::bus::{ANSWER_LIMIT, Bus, ORDER_LIMIT, body};
use super::error::Error;

/// systemd itself kills what does not stop within 10 s on our nodes.
const JOB_LIMIT: Duration = Duration::from_secs(20);

/// A unit as `ListUnits` describes it: name, text, load, active and sub state, followed unit, path, job.
pub(super) type UnitLine =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// systemd's manager, reached over a connection that is kept and made anew when the bus was restarted.
#[derive(Debug)]
pub struct Manager {
    kept: Mutex<Arc<Bus>>,
}

impl Manager {
    pub async fn connect() -> Result<Self, Error> {
        Ok(Self { kept: Mutex::new(Arc::new(Bus::open().await?)) })
    }

    /// Returns `running`, `degraded`, `starting` … as `systemctl is-system-running` says it.
    pub async fn state(&self) -> Result<String, Error> {
        let answer = self.bus().await?.property("SystemState").await?;
        let value: OwnedVariant = body("Get", &answer)?;
        String::try_from(value).map_err(|source| Error::Call { method: "Get", source })
    }

    /// Returns the names of all units that have failed, sorted.
    pub async fn failed_units(&self) -> Result<Vec<String>, Error> {
        let answer = self.call("ListUnitsFiltered", ANSWER_LIMIT, &(vec!["failed"],)).await?;
        let units: Vec<UnitLine> = body("ListUnitsFiltered", &answer)?;
        let mut names: Vec<String> = units.into_iter().map(|unit| unit.0).collect();
        names.sort();
        Ok(names)
    }

    /// Stops and starts a unit, or starts one that is stopped, and waits until that is done.
    pub async fn restart_unit(&self, unit: &str) -> Result<(), Error> {
        self.run_job("RestartUnit", unit).await
    }

    /// Stops a unit and waits until it has; one that is stopped already is left alone.
    pub async fn stop_unit(&self, unit: &str) -> Result<(), Error> {
        self.run_job("StopUnit", unit).await
    }

    /// Makes systemd read all unit files again.
    pub async fn reload(&self) -> Result<(), Error> {
        self.order("Reload", &()).await.map(drop)
    }

    async fn run_job(&self, method: &'static str, unit: &str) -> Result<(), Error> {
        let job = self.queue(method, unit).await?;
        let ended = timeout(JOB_LIMIT, job.end()).await;
        let result = ended.map_err(|_| Error::TimedOut { method, limit: JOB_LIMIT })??;
        match result.as_str() {
            "done" => Ok(()),
            _ => Err(Error::Job { unit: unit.to_owned(), result }),
        }
    }

    /// Tells systemd to do something that may take it a while.
    pub(super) async fn order<B>(&self, method: &'static str, arguments: &B) -> Result<Message, Error>
    where
        B: Serialize + DynamicType,
    {
        self.call(method, ORDER_LIMIT, arguments).await
    }

    async fn call<B>(&self, method: &'static str, limit: Duration, arguments: &B) -> Result<Message, Error>
    where
        B: Serialize + DynamicType,
    {
        self.bus().await?.call(method, limit, arguments).await
    }

    pub(super) async fn bus(&self) -> Result<Arc<Bus>, Error> {
        let kept = Arc::clone(&self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        if !kept.is_closed() {
            return Ok(kept);
        }
        let fresh = Arc::new(Bus::open().await?);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&fresh);
        Ok(fresh)
    }
}
