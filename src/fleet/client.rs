//! A client of fleet's HTTP API, for every server of it: ours, and those that CoreOS left behind. It knows what
//! is said, and not how the server is reached.

mod engine;
mod error;
mod snapshot;

use std::error::Error as StdError;
use std::sync::Mutex;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::records::{MachineId, Phase, Scheduling};
use super::registry::Finding;
use super::unit::UnitName;
use super::v1::{self, Machine, MachinePage, StatePage, Unit, UnitPage, UnitState};
use crate::http::{self, Connection, Reply};

pub use engine::Engine;
pub use error::Error;
pub use snapshot::{file_of, name_of, snapshot};

#[derive(serde::Deserialize)]
struct Findings {
    #[serde(default)]
    findings: Vec<Finding>,
}

/// More connections than anybody keeps busy are not kept.
const KEPT: usize = 16;

/// A way to the server. Each call makes a connection of its own.
#[expect(async_fn_in_trait, reason = "used generically by ops, on one thread")]
pub trait Dial {
    async fn dial(&self) -> Result<Connection, Box<dyn StdError + Send + Sync>>;
}

/// Speaks with a server over as many connections as there are questions at once.
pub struct Client<D> {
    dial: D,
    idle: Mutex<Vec<Connection>>,
    engine: Mutex<Engine>,
}

#[derive(Clone, Copy)]
enum Verb {
    Get,
    Put,
    Delete,
}

/// One question. All of them may be asked twice.
struct Question<'a> {
    verb: Verb,
    path: &'a str,
    body: Vec<u8>,
}

impl Question<'_> {
    async fn ask(&self, connection: &mut Connection) -> Result<Reply, http::Error> {
        match self.verb {
            Verb::Get => connection.get(self.path).await,
            Verb::Put => connection.put(self.path, self.body.clone()).await,
            Verb::Delete => connection.delete(self.path).await,
        }
    }
}

impl<D: Dial> Client<D> {
    pub fn new(dial: D) -> Self {
        Self { dial, idle: Mutex::default(), engine: Mutex::new(Engine::Unknown) }
    }

    pub fn dial(&self) -> &D {
        &self.dial
    }

    /// Returns who answered last.
    pub fn engine(&self) -> Engine {
        self.engine.lock().expect("nobody panics with it").clone()
    }

    pub async fn units(&self) -> Result<Vec<Unit>, Error> {
        self.list::<UnitPage>("units").await
    }

    pub async fn states(&self) -> Result<Vec<UnitState>, Error> {
        self.list::<StatePage>("state").await
    }

    /// Returns the machines that are there.
    pub async fn machines(&self) -> Result<Vec<Machine>, Error> {
        self.list::<MachinePage>("machines").await
    }

    /// Returns the machines that are there and, where the server remembers them, those that are away.
    pub async fn nodes(&self) -> Result<Vec<Machine>, Error> {
        if matches!(self.engine(), Engine::Fleet { .. }) {
            return self.machines().await;
        }
        match self.list::<MachinePage>("nodes").await {
            Err(error) if error.is_no_such_path() => self.machines().await,
            listed => listed,
        }
    }

    pub async fn unit(&self, name: &UnitName) -> Result<Option<Unit>, Error> {
        match self.read(&unit_path(name)).await {
            Err(Error::Refused { code: 404, .. }) => Ok(None),
            read => read.map(Some),
        }
    }

    /// Makes a unit, or gives one that exists this file and this state.
    pub async fn put(&self, unit: &Unit) -> Result<(), Error> {
        let path = format!("{}/units/{}", v1::ROOT, escape(&unit.name));
        self.write(&path, unit).await
    }

    pub async fn set_desired(&self, name: &UnitName, desired: Phase) -> Result<(), Error> {
        self.put(&Unit { name: name.to_string(), desired_state: Some(desired), ..Unit::default() }).await
    }

    /// Removes a unit; one that is not there is no error.
    pub async fn destroy(&self, name: &UnitName) -> Result<(), Error> {
        let path = unit_path(name);
        let question = Question { verb: Verb::Delete, path: &path, body: Vec::new() };
        match self.ask(&question).await {
            Err(Error::Refused { code: 404, .. }) => Ok(()),
            asked => asked.map(drop),
        }
    }

    /// Has the server forget a machine that is away and has no units.
    pub async fn forget(&self, machine: &MachineId) -> Result<(), Error> {
        let path = format!("{}/machines/{}", v1::ROOT, escape(machine.as_str()));
        let question = Question { verb: Verb::Delete, path: &path, body: Vec::new() };
        let asked = self.ask(&question).await.map(drop);
        self.ours(asked, "forget machines")
    }

    /// Says whether a machine takes units.
    pub async fn set_scheduling(&self, machine: &MachineId, scheduling: Scheduling) -> Result<(), Error> {
        let path = format!("{}/machines/{}", v1::ROOT, escape(machine.as_str()));
        let asked = self.write(&path, &v1::MachineChange { scheduling }).await;
        self.ours(asked, "cordon machines")
    }

    /// Asks to have a unit moved.
    pub async fn move_unit(&self, name: &UnitName, to: &MachineId) -> Result<(), Error> {
        let path = format!("{}/machine", unit_path(name));
        let asked = self.write(&path, &v1::UnitMove { machine_id: to.clone() }).await;
        self.ours(asked, "move units")
    }

    /// Returns what is wrong in the registry.
    pub async fn fsck(&self) -> Result<Vec<Finding>, Error> {
        let asked = self.read::<Findings>(&format!("{}/fsck", v1::ROOT)).await;
        self.ours(asked, "check its registry").map(|found| found.findings)
    }

    /// Tells a path that the server does not know from a thing that it does not know.
    fn ours<T>(&self, asked: Result<T, Error>, what: &'static str) -> Result<T, Error> {
        asked.map_err(|error| match self.engine() {
            Engine::Lab { .. } => error,
            engine if error.is_no_such_path() => Error::Unsupported { engine, what },
            _ => error,
        })
    }

    async fn list<P: Page>(&self, what: &str) -> Result<Vec<P::Item>, Error> {
        let first = format!("{}/{what}", v1::ROOT);
        let (mut all, mut token) = self.read::<P>(&first).await?.part();
        while !token.is_empty() {
            let page = self.read::<P>(&format!("{first}?nextPageToken={}", escape(&token))).await?;
            let (items, next) = page.part();
            // A server that goes round in circles would keep us for ever.
            if items.is_empty() || next == token {
                break;
            }
            all.extend(items);
            token = next;
        }
        Ok(all)
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let reply = self.ask(&Question { verb: Verb::Get, path, body: Vec::new() }).await?;
        serde_json::from_slice(&reply.body)
            .map_err(|source| Error::Unreadable { path: path.to_owned(), source })
    }

    async fn write(&self, path: &str, what: &impl Serialize) -> Result<(), Error> {
        let body = serde_json::to_vec(what).expect("what we say is plain data");
        self.ask(&Question { verb: Verb::Put, path, body }).await.map(drop)
    }

    async fn ask(&self, question: &Question<'_>) -> Result<Reply, Error> {
        let kept = self.idle.lock().expect("nobody panics with it").pop();
        if let Some(mut connection) = kept
            && let Ok(reply) = question.ask(&mut connection).await
        {
            return self.answered(connection, reply);
        }
        // One that was kept may have ended meanwhile; a new one leads to whoever answers now.
        let mut connection = self.dial.dial().await.map_err(|source| Error::Unreachable { source })?;
        let reply = question.ask(&mut connection).await.map_err(|source| Error::Broken { source })?;
        self.answered(connection, reply)
    }

    fn answered(&self, connection: Connection, reply: Reply) -> Result<Reply, Error> {
        *self.engine.lock().expect("nobody panics with it") = Engine::parse(reply.server.as_deref());
        // Who has lost the cluster is not asked again; the next connection may lead elsewhere.
        if reply.status != 503 {
            let mut idle = self.idle.lock().expect("nobody panics with it");
            if idle.len() < KEPT {
                idle.push(connection);
            }
        }
        if reply.is_success() { Ok(reply) } else { Err(Error::of(&reply)) }
    }
}

trait Page: DeserializeOwned {
    type Item;

    /// Returns what stands on the page, and how to ask for the next one.
    fn part(self) -> (Vec<Self::Item>, String);
}

impl Page for UnitPage {
    type Item = Unit;

    fn part(self) -> (Vec<Unit>, String) {
        (self.units, self.next_page_token)
    }
}

impl Page for StatePage {
    type Item = UnitState;

    fn part(self) -> (Vec<UnitState>, String) {
        (self.states, self.next_page_token)
    }
}

impl Page for MachinePage {
    type Item = Machine;

    fn part(self) -> (Vec<Machine>, String) {
        (self.machines, self.next_page_token)
    }
}

fn unit_path(name: &UnitName) -> String {
    format!("{}/units/{}", v1::ROOT, escape(name.as_str()))
}

/// Writes a word so that it is one part of a path, or one value of a query.
fn escape(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    word.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests;
