//! One engine: how to reach it and what it is.

use std::collections::HashMap;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};

use super::Error;

const LIMIT_SECONDS: u64 = 120;
/// A frozen engine takes connections and says nothing.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const OLDEST_API: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };

/// An engine that has answered.
#[derive(Clone)]
pub struct Engine {
    pub(super) api: Docker,
    host: String,
}

/// What matters to us of an engine.
#[derive(Debug, Clone)]
pub struct EngineFacts {
    pub version: String,
    pub storage_driver: String,
    pub cgroup_version: u8,
    pub cpus: u64,
    pub memory_bytes: u64,
    pub root_dir: String,
    pub architecture: String,
    pub has_apparmor: bool,
    pub is_rootless: bool,
}

impl Engine {
    /// Reaches the engine at `host`, else the one that the local socket leads to.
    pub async fn connect(host: Option<&str>) -> Result<Self, Error> {
        let name = host.unwrap_or("unix:///var/run/docker.sock").to_owned();
        let unreachable = |source| Error::Unreachable { host: name.clone(), source: Box::new(source) };
        let client = dial(host).map_err(unreachable)?;
        let answer = tokio::time::timeout(CONNECT_LIMIT, client.negotiate_version()).await;
        let answer = answer.unwrap_or(Err(bollard::errors::Error::RequestTimeoutError));
        let client = answer.map_err(|source| match source {
            // An engine that answers anything at all is reachable, though perhaps too old for us.
            bollard::errors::Error::APIVersionParseError {} => {
                Error::TooOld { host: name.clone(), version: "unknown".to_owned() }
            }
            source => unreachable(source),
        })?;
        let spoken = client.client_version();
        if (spoken.major_version, spoken.minor_version) < (OLDEST_API.major_version, OLDEST_API.minor_version)
        {
            let version = format!("API {}.{}", spoken.major_version, spoken.minor_version);
            return Err(Error::TooOld { host: name, version });
        }
        Ok(Self { api: client, host: name })
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns whether the engine runs on this machine, so that its addresses can be reached from here.
    pub fn is_local(&self) -> bool {
        cfg!(target_os = "linux") && self.host.starts_with("unix://")
    }

    pub async fn facts(&self) -> Result<EngineFacts, Error> {
        let info = self.api.info().await.map_err(Error::of("describe itself"))?;
        let security = info.security_options.unwrap_or_default();
        let has = |word: &str| security.iter().any(|option| option.contains(word));
        Ok(EngineFacts {
            version: info.server_version.unwrap_or_default(),
            storage_driver: info.driver.unwrap_or_default(),
            cgroup_version: match info.cgroup_version {
                Some(bollard::models::SystemInfoCgroupVersionEnum::_2) => 2,
                _ => 1,
            },
            cpus: info.ncpu.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            memory_bytes: info.mem_total.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            root_dir: info.docker_root_dir.unwrap_or_default(),
            architecture: info.architecture.unwrap_or_default(),
            has_apparmor: has("name=apparmor"),
            is_rootless: has("name=rootless"),
        })
    }
}

fn dial(host: Option<&str>) -> Result<Docker, bollard::errors::Error> {
    match host {
        None => Docker::connect_with_unix_defaults(),
        Some(host) if host.starts_with("tcp://") || host.starts_with("http://") => {
            Docker::connect_with_http(host, LIMIT_SECONDS, API_DEFAULT_VERSION)
        }
        // The client would look for a socket of that name.
        Some(host) if host.starts_with("ssh://") => {
            Err(bollard::errors::Error::UnsupportedURISchemeError { uri: host.to_owned() })
        }
        Some(host) => Docker::connect_with_unix(host, LIMIT_SECONDS, API_DEFAULT_VERSION),
    }
}

/// Returns our sorted labels from the engine's unsorted ones.
pub(super) fn labels(of: Option<HashMap<String, String>>) -> super::Labels {
    of.unwrap_or_default().into_iter().collect()
}
