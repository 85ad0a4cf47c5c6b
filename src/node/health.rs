//! Asks everything on the node how it is: all at once, each with a limit, over connections that are kept.

use std::fs::File;
use std::io::{self, Read};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::{DOCKER_DATA, chain, usage};
use crate::model::{Answer, DockerHealth, EtcdHealth, EtcdRole, NodeConfig, NodeHealth, SystemdHealth};
use crate::{etcd, http, systemd};

const DOCKER_SOCKET: &str = "/var/run/docker.sock";
const ETCD: &str = "127.0.0.1:2379";

/// A service that hangs is down, and must not hide how the others are.
const LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("nobody listens at {address}")]
    Connect { address: &'static str, source: io::Error },
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error("it answered with {status}")]
    Refused { status: u16 },
    #[error("its answer could not be read")]
    Unreadable { source: serde_json::Error },
    #[error(transparent)]
    Etcd(#[from] etcd::Error),
    #[error(transparent)]
    Systemd(#[from] systemd::Error),
}

/// What the services of a node say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Services {
    systemd: Answer<SystemdHealth>,
    docker: Answer<DockerHealth>,
    etcd: Answer<EtcdHealth>,
}

/// A connection between two questions. Whoever asks takes it, and returns it if it still works; a
/// second one who asks meanwhile makes one of their own.
struct Kept<T>(Mutex<Option<T>>);

impl<T> Kept<T> {
    fn none() -> Self {
        Self(Mutex::new(None))
    }

    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, connection: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }
}

/// Asks the services of this node.
pub(super) struct Probe {
    systemd: Kept<systemd::Manager>,
    docker: Kept<http::Connection>,
    etcd: Kept<etcd::Client>,
}

impl Probe {
    pub(super) fn new() -> Self {
        Self { systemd: Kept::none(), docker: Kept::none(), etcd: Kept::none() }
    }

    pub(super) async fn services(&self, config: &NodeConfig) -> Services {
        let (systemd, docker, etcd) = tokio::join!(
            limited(LIMIT, self.systemd()),
            limited(LIMIT, self.docker()),
            limited(LIMIT, self.etcd(config)),
        );
        Services { systemd, docker, etcd }
    }

    async fn systemd(&self) -> Result<SystemdHealth, Error> {
        let manager = match self.systemd.take() {
            Some(manager) => manager,
            None => systemd::Manager::connect().await?,
        };
        let state = manager.state().await?;
        let failed_units = manager.failed_units().await?;
        self.systemd.put(manager);
        Ok(SystemdHealth { state, failed_units })
    }

    async fn docker(&self) -> Result<DockerHealth, Error> {
        // What was kept may lead to a daemon that has ended since; only a new connection tells.
        if let Some(kept) = self.docker.take()
            && let Ok(health) = self.docker_over(kept).await
        {
            return Ok(health);
        }
        self.docker_over(connect_docker().await?).await
    }

    async fn docker_over(&self, mut connection: http::Connection) -> Result<DockerHealth, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Version {
            version: String,
        }
        let reply = connection.get("/version").await?;
        if !reply.is_success() {
            return Err(Error::Refused { status: reply.status });
        }
        let Version { version } =
            serde_json::from_slice(&reply.body).map_err(|source| Error::Unreadable { source })?;
        self.docker.put(connection);
        Ok(DockerHealth { version })
    }

    async fn etcd(&self, config: &NodeConfig) -> Result<EtcdHealth, Error> {
        if let Some(kept) = self.etcd.take()
            && let Ok(health) = self.etcd_over(kept, config).await
        {
            return Ok(health);
        }
        self.etcd_over(connect_etcd().await?, config).await
    }

    async fn etcd_over(&self, mut client: etcd::Client, config: &NodeConfig) -> Result<EtcdHealth, Error> {
        let status = client.health().await?;
        let mut members: Vec<String> = client.members().await?.into_iter().map(name_of).collect();
        members.sort();
        self.etcd.put(client);
        let is_member = matches!(config.etcd, EtcdRole::Member { .. });
        Ok(EtcdHealth {
            is_leader: is_member && status.leader == Some(status.member_id),
            version: status.version,
            is_member,
            members,
            database_bytes: status.database_bytes,
        })
    }
}

async fn connect_docker() -> Result<http::Connection, Error> {
    let stream = UnixStream::connect(DOCKER_SOCKET).await;
    let stream = stream.map_err(|source| Error::Connect { address: DOCKER_SOCKET, source })?;
    Ok(http::Connection::over(stream).await?)
}

async fn connect_etcd() -> Result<etcd::Client, Error> {
    let stream = TcpStream::connect(ETCD).await;
    let stream = stream.map_err(|source| Error::Connect { address: ETCD, source })?;
    Ok(etcd::Client::over(stream).await?)
}

/// A member that has never started has told its name to nobody yet.
fn name_of(member: etcd::Member) -> String {
    if member.has_started() { member.name } else { member.peer_urls.join(",") }
}

async fn limited<T>(limit: Duration, asking: impl Future<Output = Result<T, Error>>) -> Answer<T> {
    match timeout(limit, asking).await {
        Ok(Ok(value)) => Answer::Up(value),
        Ok(Err(error)) => Answer::Down(chain(&error)),
        Err(_) => Answer::Down(format!("no answer within {} s", limit.as_secs_f32())),
    }
}

impl Services {
    /// Adds all that can be told without asking anyone.
    pub(super) fn into_health(self, config: &NodeConfig) -> NodeHealth {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        NodeHealth {
            node: config.node.clone(),
            config: config.fingerprint(),
            labd_version: env!("CARGO_PKG_VERSION").to_owned(),
            labd_build: build().to_owned(),
            systemd: self.systemd,
            docker: self.docker,
            etcd: self.etcd,
            clock_unix_ms: clock.as_millis().try_into().unwrap_or(u64::MAX),
            uptime_seconds: usage::uptime_seconds().unwrap_or_default(),
            disk: usage::disk(DOCKER_DATA),
            memory: usage::memory(),
        }
    }
}

/// Returns the first digits of the SHA-256 of this program, which is read once.
pub(super) fn build() -> &'static str {
    static BUILD: OnceLock<String> = OnceLock::new();
    BUILD.get_or_init(|| hash_of_this_program().unwrap_or_default())
}

fn hash_of_this_program() -> io::Result<String> {
    let mut program = File::open("/proc/self/exe")?;
    let mut digest = Sha256::new();
    let mut part = vec![0; 64 * 1024];
    loop {
        let length = program.read(&mut part)?;
        if length == 0 {
            return Ok(digest.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect());
        }
        digest.update(&part[..length]);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_service_that_hangs_is_down_after_the_limit() {
        let hung = limited(Duration::from_millis(5), pending::<Result<(), Error>>()).await;
        assert_eq!(hung, Answer::Down("no answer within 0.005 s".to_owned()));
    }

    #[tokio::test]
    async fn a_failure_is_told_with_its_cause() {
        let source = io::Error::from(io::ErrorKind::ConnectionRefused);
        let failed = async { Err::<(), _>(Error::Connect { address: ETCD, source }) };
        let want = "nobody listens at 127.0.0.1:2379: connection refused";
        assert_eq!(limited(LIMIT, failed).await, Answer::Down(want.to_owned()));
    }

    #[test]
    fn the_build_is_twelve_digits() {
        assert_eq!(build().len(), 12);
        assert!(build().chars().all(|c| c.is_ascii_hexdigit()));
    }
}
