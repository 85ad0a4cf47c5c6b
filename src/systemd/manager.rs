//! The questions and orders that we have for systemd.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use serde::Serialize;
use tokio::time::timeout;
use zbus::message::{Message, Type};
use zbus::{Connection, DynamicType, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant};

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const INTERFACE: &str = "org.freedesktop.systemd1.Manager";

const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// systemd itself kills what does not stop within 10 s on our nodes.
const JOB_LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not reach the system bus")]
    Connect { source: zbus::Error },
    #[error("systemd refused `{method}`")]
    Call { method: &'static str, source: zbus::Error },
    #[error("systemd did not answer `{method}` within {} s", limit.as_secs())]
    TimedOut { method: &'static str, limit: Duration },
    #[error("the job of `{unit}` ended as `{result}`")]
    Job { unit: String, result: String },
    #[error("the bus went away before the job of `{unit}` ended")]
    JobLost { unit: String },
}

impl Error {
    /// Returns what to do about it, where the cause tells.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Job { unit, .. } => Some(format!("see why on the node: `journalctl -u {unit}`")),
            _ => None,
        }
    }
}

/// A unit as `ListUnits` describes it: name, text, load, active and sub state, followed unit, path, job.
type UnitLine =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// systemd's manager, reached over a connection that is kept and made anew when the bus was restarted.
#[derive(Debug)]
pub struct Manager {
    kept: Mutex<Connection>,
}

impl Manager {
    pub async fn connect() -> Result<Self, Error> {
        Ok(Self { kept: Mutex::new(open().await?) })
    }

    /// Returns `running`, `degraded`, `starting` … as `systemctl is-system-running` says it.
    pub async fn state(&self) -> Result<String, Error> {
        let bus = self.bus().await?;
        let properties = Some("org.freedesktop.DBus.Properties");
        let asking = bus.call_method(Some(NAME), PATH, properties, "Get", &(INTERFACE, "SystemState"));
        let answer = limited("Get", asking).await?;
        let value: OwnedVariant = body("Get", &answer)?;
        String::try_from(value).map_err(|source| Error::Call { method: "Get", source })
    }

    /// Returns the names of all units that have failed, sorted.
    pub async fn failed_units(&self) -> Result<Vec<String>, Error> {
        let answer = self.call("ListUnitsFiltered", &(vec!["failed"],)).await?;
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
        self.call("Reload", &()).await.map(drop)
    }

    async fn run_job(&self, method: &'static str, unit: &str) -> Result<(), Error> {
        let failed = |source| Error::Call { method, source };
        let bus = self.bus().await?;
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .interface(INTERFACE)
            .member("JobRemoved")
            .build()
            .map_err(failed)?;
        // Listening begins before the order, or a quick job would end unheard.
        let mut ended = MessageStream::for_match_rule(rule, &bus, None).await.map_err(failed)?;
        let answer = self.call(method, &(unit, "replace")).await?;
        let job: OwnedObjectPath = body(method, &answer)?;
        timeout(JOB_LIMIT, end_of_job(&mut ended, &job, unit))
            .await
            .map_err(|_| Error::TimedOut { method, limit: JOB_LIMIT })?
    }

    async fn call<B>(&self, method: &'static str, arguments: &B) -> Result<Message, Error>
    where
        B: Serialize + DynamicType,
    {
        let bus = self.bus().await?;
        limited(method, bus.call_method(Some(NAME), PATH, Some(INTERFACE), method, arguments)).await
    }

    async fn bus(&self) -> Result<Connection, Error> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !kept.is_closed() {
            return Ok(kept);
        }
        let fresh = open().await?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&fresh);
        Ok(fresh)
    }
}

async fn open() -> Result<Connection, Error> {
    let limit = ANSWER_LIMIT;
    let opening = timeout(limit, Connection::system()).await;
    let bus = opening
        .map_err(|_| Error::TimedOut { method: "Hello", limit })?
        .map_err(|source| Error::Connect { source })?;
    // systemd tells of jobs only those who asked for it, and refuses to be asked twice.
    limited("Subscribe", bus.call_method(Some(NAME), PATH, Some(INTERFACE), "Subscribe", &())).await?;
    Ok(bus)
}

async fn limited(
    method: &'static str,
    asking: impl Future<Output = zbus::Result<Message>>,
) -> Result<Message, Error> {
    let limit = ANSWER_LIMIT;
    let answer = timeout(limit, asking).await.map_err(|_| Error::TimedOut { method, limit })?;
    answer.map_err(|source| Error::Call { method, source })
}

fn body<T>(method: &'static str, answer: &Message) -> Result<T, Error>
where
    T: serde::de::DeserializeOwned + zbus::Type,
{
    answer.body().deserialize().map_err(|source| Error::Call { method, source })
}

/// Reads `JobRemoved` signals up to the one of our job.
async fn end_of_job(ended: &mut MessageStream, job: &OwnedObjectPath, unit: &str) -> Result<(), Error> {
    while let Some(Ok(signal)) = ended.next().await {
        let (_, path, _, result): (u32, OwnedObjectPath, String, String) = body("JobRemoved", &signal)?;
        if path == *job {
            return match result.as_str() {
                "done" => Ok(()),
                _ => Err(Error::Job { unit: unit.to_owned(), result }),
            };
        }
    }
    Err(Error::JobLost { unit: unit.to_owned() })
}
