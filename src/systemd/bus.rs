//! A connection to the system bus, and what systemd says over it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use zbus::message::{Message, Type};
use zbus::{Connection, DynamicType, MatchRule, MessageStream, match_rule};

use super::error::Error;
use super::job::Jobs;

const NAME: &str = "org.freedesktop.systemd1";
pub(super) const PATH: &str = "/org/freedesktop/systemd1";
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// A question is answered from memory.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// An order reads or writes files. systemd does one thing at a time, so each order also waits for those
/// before it, such as a reload of all units.
pub(super) const ORDER_LIMIT: Duration = Duration::from_secs(20);

/// One connection. Once it is lost it stays so, and whatever was heard over it has to be asked anew.
#[derive(Debug)]
pub(super) struct Bus {
    connection: Connection,
    jobs: OnceCell<Arc<Jobs>>,
}

impl Bus {
    pub(super) async fn open() -> Result<Self, Error> {
        let limit = ANSWER_LIMIT;
        let opening = timeout(limit, Connection::system()).await;
        let connection = opening
            .map_err(|_| Error::TimedOut { method: "Hello", limit })?
            .map_err(|source| Error::Connect { source })?;
        let bus = Self { connection, jobs: OnceCell::new() };
        // systemd sends signals only while somebody asked for them, and refuses to be asked twice.
        bus.call("Subscribe", limit, &()).await?;
        Ok(bus)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    /// Calls a method of systemd's manager.
    pub(super) async fn call<B>(
        &self,
        method: &'static str,
        limit: Duration,
        arguments: &B,
    ) -> Result<Message, Error>
    where
        B: Serialize + DynamicType,
    {
        let calling = self.connection.call_method(Some(NAME), PATH, Some(MANAGER), method, arguments);
        limited(method, limit, calling).await
    }

    /// Asks for a property of systemd's manager.
    pub(super) async fn property(&self, name: &str) -> Result<Message, Error> {
        let arguments = (MANAGER, name);
        let asking = self.connection.call_method(Some(NAME), PATH, Some(PROPERTIES), "Get", &arguments);
        limited("Get", ANSWER_LIMIT, asking).await
    }

    /// Hears signals of systemd from now on. Whoever gets the stream has to read it without a pause: once
    /// its queue is full the library reads nothing more from the bus, neither signals nor answers.
    pub(super) async fn listen(
        &self,
        interface: &str,
        member: &str,
        place: impl FnOnce(match_rule::Builder<'_>) -> match_rule::Builder<'_>,
    ) -> Result<MessageStream, Error> {
        // Anybody on the node may send signals of any name; the bus checks for us whose they are.
        let rule = MatchRule::builder().msg_type(Type::Signal).sender(NAME);
        let rule = place(rule.interface(interface).member(member));
        let rule = rule.build().map_err(|source| Error::Call { method: "AddMatch", source })?;
        let listening = MessageStream::for_match_rule(rule, &self.connection, None);
        limited("AddMatch", ANSWER_LIMIT, listening).await
    }

    /// Returns what hears the ends of jobs over this connection, from the first call on.
    pub(super) async fn jobs(&self) -> Result<&Arc<Jobs>, Error> {
        self.jobs.get_or_try_init(|| Jobs::listen(self)).await
    }
}

async fn limited<T>(
    method: &'static str,
    limit: Duration,
    asking: impl Future<Output = zbus::Result<T>>,
) -> Result<T, Error> {
    let answer = timeout(limit, asking).await.map_err(|_| Error::TimedOut { method, limit })?;
    answer.map_err(|source| Error::Call { method, source })
}

pub(super) fn body<T>(method: &'static str, answer: &Message) -> Result<T, Error>
where
    T: serde::de::DeserializeOwned + zbus::Type,
{
    answer.body().deserialize().map_err(|source| Error::Call { method, source })
}
