//! The way to fleet: through ssh to a node that runs, and there to the socket on which fleet listens.

use std::error::Error as StdError;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::fleet::client::Dial;
use crate::fleet::v1;
use crate::http::{self, Connection};
use crate::model::{LabName, NodeName};
use crate::ssh::{Identity, Session, Target};

use crate::ops::Error;

/// Where fleet listens. The second is for machines on which `/var/run` is no link.
const SOCKETS: [&str; 2] = [v1::SOCKET, "/var/run/fleet.sock"];
/// How long a node is waited for alone before the next one is asked too.
const HEAD_START: Duration = Duration::from_millis(400);
/// An upstream server may have to ask its etcd several times; a node that was cut off says nothing at all.
const LIMIT: Duration = Duration::from_secs(5);

/// All nodes that may know the cluster. One that answers is kept until it answers no more.
pub struct Ways {
    lab: LabName,
    targets: Vec<Target>,
    identity: Identity,
    chosen: Mutex<Option<Way>>,
}

#[derive(Clone)]
struct Way {
    session: Session,
    socket: &'static str,
}

impl Ways {
    pub fn new(lab: LabName, targets: Vec<Target>, identity: Identity) -> Self {
        Self { lab, targets, identity, chosen: Mutex::default() }
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let mut chosen = self.chosen.lock().await;
        if let Some(way) = chosen.take()
            && let Ok(connection) = through(&way.session, way.socket).await
        {
            *chosen = Some(way);
            return Ok(connection);
        }
        let (way, connection) = self.choose().await?;
        *chosen = Some(way);
        Ok(connection)
    }

    /// Takes the first node that answers. They are asked one after the other, and a slow one does not hold
    /// the next one up.
    async fn choose(&self) -> Result<(Way, Connection), Error> {
        let mut waiting = self.targets.iter();
        let mut asked = FuturesUnordered::new();
        let mut reasons = Vec::new();
        asked.extend(waiting.next().map(|target| self.try_one(target)));
        while !asked.is_empty() {
            tokio::select! {
                Some((node, result)) = asked.next() => match result {
                    Ok(found) => return Ok(found),
                    Err(error) => {
                        reasons.push((node, error));
                        asked.extend(waiting.next().map(|target| self.try_one(target)));
                    }
                },
                () = sleep(HEAD_START), if waiting.len() > 0 => {
                    asked.extend(waiting.next().map(|target| self.try_one(target)));
                }
            }
        }
        Err(Error::NoFleet { lab: self.lab.clone(), reasons })
    }

    async fn try_one(&self, target: &Target) -> (NodeName, Result<(Way, Connection), Error>) {
        let connecting = async {
            let session = Session::connect(target, &self.identity).await?;
            let mut first = None;
            for socket in SOCKETS {
                match through(&session, socket).await {
                    Ok(connection) => return Ok((Way { session, socket }, connection)),
                    Err(error) => first = first.or(Some(error)),
                }
            }
            Err(first.expect("there is a socket to try"))
        };
        (target.node.clone(), connecting.await)
    }
}

impl Dial for Ways {
    async fn dial(&self) -> Result<Connection, Box<dyn StdError + Send + Sync>> {
        Ok(self.connect().await?)
    }
}

async fn through(session: &Session, socket: &str) -> Result<Connection, Error> {
    let late = |_| Error::FleetBroken { source: http::Error::TimedOut { limit: LIMIT } };
    timeout(LIMIT, try_through(session, socket)).await.map_err(late)?
}

/// Connects to fleet on a node, and makes sure that it can work.
async fn try_through(session: &Session, socket: &str) -> Result<Connection, Error> {
    let stream = session.unix(socket).await?;
    let broken = |source| Error::FleetBroken { source };
    let mut connection = Connection::over(stream).await.map_err(broken)?.with_limit(LIMIT);
    // A server that has lost the cluster says so to every question.
    let reply = connection.get(&format!("{}/machines", v1::ROOT)).await.map_err(broken)?;
    if reply.status >= 500 {
        let told = reply.text();
        return Err(Error::FleetCutOff {
            told: if told.is_empty() { reply.status.to_string() } else { told },
        });
    }
    Ok(connection)
}

/// The way to fleet through a session that exists, for one look.
pub struct Through<'a>(pub &'a Session);

impl Dial for Through<'_> {
    async fn dial(&self) -> Result<Connection, Box<dyn StdError + Send + Sync>> {
        match through(self.0, SOCKETS[0]).await {
            Ok(connection) => Ok(connection),
            Err(_) => Ok(through(self.0, SOCKETS[1]).await?),
        }
    }
}
