//! What a node says of itself.

use serde::{Deserialize, Serialize};

use super::name::NodeName;

/// A service's answer to a question: what it says, or why it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<T> {
    Up(T),
    Down(String),
}

impl<T> Answer<T> {
    pub fn up(&self) -> Option<&T> {
        match self {
            Self::Up(value) => Some(value),
            Self::Down(_) => None,
        }
    }

    pub fn into_result(self) -> Result<T, String> {
        match self {
            Self::Up(value) => Ok(value),
            Self::Down(why) => Err(why),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemdHealth {
    /// `running`, `degraded`, `starting` … as `systemctl is-system-running` says it.
    pub state: String,
    pub failed_units: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerHealth {
    pub version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdHealth {
    pub version: String,
    pub is_member: bool,
    /// Whether this node's member leads the cluster.
    pub is_leader: bool,
    /// The names of all members of the cluster.
    pub members: Vec<String>,
    pub database_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUse {
    pub total_bytes: u64,
    pub free_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// The node's limit, or all that the host has where there is none.
    pub total_bytes: u64,
    pub used_bytes: u64,
}

/// The answer of `labd` to `GET /v1/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHealth {
    pub node: NodeName,
    /// The fingerprint of the configuration that is in force.
    pub config: String,
    pub labd_version: String,
    /// The first digits of the SHA-256 of the running `labd`.
    pub labd_build: String,
    pub systemd: Answer<SystemdHealth>,
    pub docker: Answer<DockerHealth>,
    pub etcd: Answer<EtcdHealth>,
    /// The node's wall clock, in milliseconds since 1970.
    pub clock_unix_ms: u64,
    pub uptime_seconds: u64,
    /// The file system of `/var/lib/docker`.
    pub disk: Option<DiskUse>,
    pub memory: Option<MemoryUse>,
}

impl NodeHealth {
    /// Returns what keeps the node from serving, if anything does.
    pub fn trouble(&self) -> Option<String> {
        match (&self.systemd, &self.docker, &self.etcd) {
            (Answer::Down(why), _, _) => Some(format!("systemd: {why}")),
            (Answer::Up(systemd), _, _) if systemd.state == "degraded" => {
                Some(format!("failed units: {}", systemd.failed_units.join(", ")))
            }
            (Answer::Up(systemd), _, _) if systemd.state != "running" => {
                Some(format!("systemd is {}", systemd.state))
            }
            (_, Answer::Down(why), _) => Some(format!("docker: {why}")),
            (_, _, Answer::Down(why)) => Some(format!("etcd: {why}")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(state: &str, docker: bool, etcd: bool) -> NodeHealth {
        let down = |what: &str| Answer::Down(format!("no {what}"));
        NodeHealth {
            node: NodeName::parse("core-01").unwrap(),
            config: String::new(),
            labd_version: String::new(),
            labd_build: String::new(),
            systemd: Answer::Up(SystemdHealth {
                state: state.to_owned(),
                failed_units: vec!["a.service".to_owned()],
            }),
            docker: if docker {
                Answer::Up(DockerHealth { version: "20".to_owned() })
            } else {
                down("socket")
            },
            etcd: if etcd {
                Answer::Up(EtcdHealth {
                    version: String::new(),
                    is_member: true,
                    is_leader: false,
                    members: Vec::new(),
                    database_bytes: 0,
                })
            } else {
                Answer::Down("no leader".to_owned())
            },
            clock_unix_ms: 0,
            uptime_seconds: 0,
            disk: None,
            memory: None,
        }
    }

    #[test]
    fn trouble_names_the_first_thing_to_look_at() {
        for (node, want) in [
            (health("running", true, true), None),
            (health("starting", true, true), Some("systemd is starting")),
            (health("degraded", false, true), Some("failed units: a.service")),
            (health("running", false, true), Some("docker: no socket")),
            (health("running", true, false), Some("etcd: no leader")),
        ] {
            assert_eq!(node.trouble().as_deref(), want);
        }
    }
}
