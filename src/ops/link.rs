//! A connection to one node, kept for the length of a command: ssh, and labd through it.

use std::io;
use std::time::Duration;

use futures_util::Stream;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use crate::etcd;
use crate::http::{self, Bytes, Connection};
use crate::model::image::{LoadEvent, NodeImage};
use crate::model::{Check, CheckReply, CheckRequest, NodeConfig, NodeHealth, NodeName, Outcome, TakenPort};
use crate::ssh::{Identity, Session, Target};
use crate::wait::{Stop, wait_until};

use super::Error;

/// The user as whom nodes are entered.
pub const USER: &str = "core";
const LABD: &str = "/run/lab/labd.sock";
/// Each service has 2 s to answer before labd says that it does not.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

pub struct Link {
    node: NodeName,
    session: Session,
    labd: Mutex<Option<Connection>>,
}

impl Link {
    pub async fn open(target: &Target, identity: &Identity) -> Result<Self, Error> {
        let session = Session::connect(target, identity).await?;
        Ok(Self { node: target.node.clone(), session, labd: Mutex::default() })
    }

    pub fn node(&self) -> &NodeName {
        &self.node
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Lends the connection to labd to `ask`, made first if need be, and forgets it if it broke.
    async fn ask_labd<T>(
        &self,
        ask: impl AsyncFnOnce(&mut Connection) -> Result<T, http::Error>,
    ) -> Result<T, Error> {
        let broken = |source| Error::Labd { node: self.node.clone(), source };
        let mut kept = self.labd.lock().await;
        let mut labd = if let Some(labd) = kept.take() {
            labd
        } else {
            let made = Connection::over(self.session.unix(LABD).await?).await;
            made.map_err(broken)?.with_limit(ANSWER_LIMIT)
        };
        let answer = ask(&mut labd).await.map_err(broken)?;
        *kept = Some(labd);
        Ok(answer)
    }

    pub async fn health(&self) -> Result<NodeHealth, Error> {
        let reply = self.ask_labd(async |labd| labd.get("/v1/health").await).await?;
        self.read_health(&reply)
    }

    /// Asks until labd, which was told to restart, answers again.
    pub async fn health_soon(&self, limit: Duration) -> Result<NodeHealth, Error> {
        let mut trouble = None;
        let answer = wait_until("labd answers", limit, Duration::from_millis(50), async || {
            self.health().await.map_err(|error| trouble = Some(error)).ok()
        });
        match answer.await {
            Ok(health) => Ok(health),
            Err(_) => Err(trouble.expect("what is waited for in vain has failed")),
        }
    }

    /// Tells the node how the lab looks now.
    pub async fn configure(&self, config: &NodeConfig) -> Result<(), Error> {
        let json = serde_json::to_vec(config).expect("a configuration is plain data");
        let connection = Connection::over(self.session.unix(LABD).await?).await;
        let broken = |source| Error::Labd { node: self.node.clone(), source };
        // etcd may have to stop and start on the way.
        let mut labd = connection.map_err(broken)?.with_limit(Duration::from_secs(30));
        let reply = labd.put("/v1/config", json).await.map_err(broken)?;
        self.read_health(&reply).map(drop)
    }

    /// Has the node ask what runs on it, all at once, and returns how each check ended.
    pub async fn ask_checks(&self, checks: &[Check]) -> Result<Vec<Outcome>, Error> {
        let json =
            serde_json::to_vec(&CheckRequest { checks: checks.to_vec() }).expect("checks are plain data");
        let reply = self.ask_labd(async |labd| labd.post("/v1/checks", json).await).await?;
        let reply: CheckReply = self.read_news(&reply)?;
        if reply.outcomes.len() != checks.len() {
            let complaint = format!("{} checks have {} outcomes", checks.len(), reply.outcomes.len());
            return Err(Error::LabdRefused { node: self.node.clone(), complaint });
        }
        Ok(reply.outcomes.into_iter().map(Outcome::from).collect())
    }

    /// Lists the TCP ports on which something listens on the node.
    pub async fn ports(&self) -> Result<Vec<TakenPort>, Error> {
        let reply = self.ask_labd(async |labd| labd.get("/v1/ports").await).await?;
        self.read_news(&reply)
    }

    /// Reads an answer that not every labd can give.
    fn read_news<T: DeserializeOwned>(&self, reply: &http::Reply) -> Result<T, Error> {
        if reply.status == 404 {
            return Err(Error::LabdTooOld { node: self.node.clone() });
        }
        self.read(reply)
    }

    fn read_health(&self, reply: &http::Reply) -> Result<NodeHealth, Error> {
        self.read(reply)
    }

    fn read<T: DeserializeOwned>(&self, reply: &http::Reply) -> Result<T, Error> {
        let refused = |complaint| Error::LabdRefused { node: self.node.clone(), complaint };
        if !reply.is_success() {
            return Err(refused(reply.text()));
        }
        serde_json::from_slice(&reply.body).map_err(|error| refused(error.to_string()))
    }

    /// Waits until the node serves, and tells of each change on the way.
    pub async fn ready(
        &self,
        limit: Duration,
        mut on_change: impl FnMut(&NodeHealth),
    ) -> Result<NodeHealth, Error> {
        let broken = |source| Error::Labd { node: self.node.clone(), source };
        let mut trouble = "labd has said nothing yet".to_owned();
        let watching = async {
            let labd = Connection::over(self.session.unix(LABD).await?).await.map_err(broken)?;
            let mut labd = labd.with_limit(ANSWER_LIMIT);
            let mut lines = labd.lines("/v1/ready").await.map_err(broken)?;
            while let Some(line) = lines.next().await.map_err(broken)? {
                let reply = http::Reply { status: 200, server: None, body: line };
                let health = self.read_health(&reply)?;
                on_change(&health);
                match health.trouble() {
                    None => return Ok(health),
                    Some(now) => trouble = now,
                }
            }
            self.health().await
        };
        match tokio::time::timeout(limit, watching).await {
            Ok(result) => result,
            Err(_) => Err(Error::NotServing { node: self.node.clone(), limit, trouble }),
        }
    }

    /// Lists the images that the node's engine has.
    pub async fn images(&self) -> Result<Vec<NodeImage>, Error> {
        let reply = self.ask_labd(async |labd| labd.get("/v1/images").await).await?;
        self.read(&reply)
    }

    /// Begins a load of images; see [`crate::model::image::LoadRequest`] for the body.
    pub async fn load<S>(&self, body: S) -> Result<LoadNews, Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + Sync + 'static,
    {
        let broken = |source| Error::Labd { node: self.node.clone(), source };
        let mut labd = Connection::over(self.session.unix(LABD).await?).await.map_err(broken)?;
        let lines = labd.post_stream("/v1/images", body).await.map_err(broken)?;
        Ok(LoadNews { node: self.node.clone(), lines })
    }

    /// Reaches etcd as this node does.
    pub async fn etcd(&self) -> Result<etcd::Client, Error> {
        let stream = self.session.tcp("127.0.0.1", 2379).await?;
        etcd::Client::over(stream).await.map_err(|source| Error::Members { source })
    }
}

/// What a node tells while it loads images.
pub struct LoadNews {
    node: NodeName,
    lines: http::Lines,
}

impl LoadNews {
    pub async fn next(&mut self) -> Result<Option<LoadEvent>, Error> {
        let line =
            self.lines.next().await.map_err(|source| Error::Labd { node: self.node.clone(), source })?;
        let refused = |error: serde_json::Error| Error::LabdRefused {
            node: self.node.clone(),
            complaint: error.to_string(),
        };
        line.map(|line| serde_json::from_slice(&line)).transpose().map_err(refused)
    }
}

/// Ends `work` when the user wants to stop.
pub(super) async fn until_stopped<T>(
    stop: &Stop,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    stop.run_until_cancelled(work).await.unwrap_or(Err(Error::Interrupted))
}
