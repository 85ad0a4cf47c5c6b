//! Containers, one of which makes a node.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum,
    ContainerUpdateBody, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigCgroupnsModeEnum, Mount,
    MountType, MountVolumeOptions, NetworkingConfig, PortBinding,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use futures_util::StreamExt;

use super::engine::labels;
use super::{Engine, Error, Labels, by_label};
use crate::wait::wait_until;

const REMOVAL_LIMIT: Duration = Duration::from_mins(2);
/// In microseconds: what the kernel, and Docker, count a share of the CPUs against.
const CPU_PERIOD: i64 = 100_000;
/// What a machine keeps in memory; of all else in it, one wants to know after its end.
pub(super) const TMPFS: [(&str, &str); 3] = [("/run", "exec,mode=755"), ("/run/lock", ""), ("/tmp", "exec")];
/// More memory than any machine has, as the engine cannot lift a limit that it has once set.
const ALL_MEMORY: i64 = 1 << 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// Made but never started.
    Created,
    Running,
    Paused,
    /// Ended, or was ended.
    Stopped,
    /// Neither alive nor usable: it can only be removed.
    Broken,
}

/// A container as the engine lists it.
#[derive(Debug, Clone)]
pub struct Container {
    pub name: String,
    pub labels: Labels,
    pub state: ContainerState,
    /// Its address in each network, by the network's name; absent while it does not run.
    pub addresses: Vec<(String, Option<Ipv4Addr>)>,
    /// Where on this host each of its published ports is reached.
    pub ports: Vec<(u16, SocketAddr)>,
}

/// What a container may use of its host; `None` is all of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    pub memory_bytes: Option<u64>,
    pub cpus: Option<f64>,
}

/// What only a closer look at one container shows.
#[derive(Debug, Clone)]
pub struct Inspected {
    pub is_running: bool,
    pub ports: Vec<(u16, SocketAddr)>,
    pub limits: Limits,
}

/// A named volume, made with the container if need be.
#[derive(Debug, Clone)]
pub struct VolumeMount {
    pub volume: String,
    pub target: String,
    pub is_read_only: bool,
}

/// A folder of the engine's host, to be read only.
#[derive(Debug, Clone)]
pub struct Bind {
    pub source: String,
    pub target: String,
}

/// A container that boots systemd as a machine would.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    pub name: String,
    pub hostname: String,
    pub image: String,
    pub labels: Labels,
    pub env: Vec<String>,
    pub network: String,
    pub address: Ipv4Addr,
    pub published_port: u16,
    pub volumes: Vec<VolumeMount>,
    pub binds: Vec<Bind>,
    pub limits: Limits,
    pub capabilities: Vec<String>,
    pub security: Vec<String>,
}

impl Engine {
    /// Lists all containers that carry `label`, running or not.
    pub async fn containers(&self, label: &str) -> Result<Vec<Container>, Error> {
        let options = ListContainersOptionsBuilder::new().all(true).filters(&by_label(label)).build();
        let found = self.api.list_containers(Some(options)).await.map_err(Error::of("list containers"))?;
        Ok(found.into_iter().map(read).collect())
    }

    pub async fn create_container(&self, spec: &ContainerSpec) -> Result<(), Error> {
        let options = CreateContainerOptionsBuilder::new().name(&spec.name).build();
        let made = self.api.create_container(Some(options), body(spec)).await;
        made.map(drop).map_err(Error::of(format!("make the container `{}`", spec.name)))
    }

    /// Looks one container up; `None` if there is none of that name.
    pub async fn inspect_container(&self, name: &str) -> Result<Option<Inspected>, Error> {
        let found = self.api.inspect_container(name, None).await;
        match found.map_err(Error::of(format!("look up the container `{name}`"))) {
            Ok(container) => Ok(Some(inspected(container))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Starts a container; one that runs already is left alone.
    pub async fn start_container(&self, name: &str) -> Result<(), Error> {
        let started = self.api.start_container(name, None).await;
        already_fine(started.map_err(Error::of(format!("start the container `{name}`"))))
    }

    /// Lets a container's init end it, and kills it after `seconds`; a stopped one is left alone.
    pub async fn stop_container(&self, name: &str, seconds: i32) -> Result<(), Error> {
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let stopped = self.api.stop_container(name, Some(options)).await;
        already_fine(stopped.map_err(Error::of(format!("stop the container `{name}`"))))
    }

    /// Thaws a container; one that is not frozen is left alone.
    pub async fn unpause_container(&self, name: &str) -> Result<(), Error> {
        let thawed = self.api.unpause_container(name).await;
        already_fine(thawed.map_err(Error::of(format!("unpause the container `{name}`"))))
    }

    /// Removes a container, running or not, and keeps its volumes; one that is not there counts as removed.
    pub async fn remove_container(&self, name: &str) -> Result<(), Error> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(false).build();
        let removed = self.api.remove_container(name, Some(options)).await;
        already_fine(removed.map_err(Error::of(format!("remove the container `{name}`"))))?;
        self.wait_until_gone(name).await
    }

    /// The engine may still be busy with a removal that someone else began.
    async fn wait_until_gone(&self, name: &str) -> Result<(), Error> {
        let what = format!("the container `{name}` is gone");
        let gone = wait_until(what, REMOVAL_LIMIT, Duration::from_millis(50), async || {
            match self.inspect_container(name).await {
                Ok(None) => Some(Ok(())),
                Ok(Some(_)) => None,
                Err(error) => Some(Err(error)),
            }
        });
        gone.await.unwrap_or_else(|waited| Err(Error::Slow { source: waited }))
    }

    /// Changes what a container may use, also while it runs.
    pub async fn limit_container(&self, name: &str, limits: Limits) -> Result<(), Error> {
        let limited = self.api.update_container(name, limits_update(limits)).await;
        limited.map_err(Error::of(format!("limit the container `{name}`")))
    }

    /// Returns the last `lines` that the container's first process printed.
    pub async fn container_log(&self, name: &str, lines: u32) -> Result<String, Error> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&lines.to_string()).build();
        let mut stream = self.api.logs(name, Some(options));
        let mut text = String::new();
        while let Some(line) = stream.next().await {
            text += &line.map_err(Error::of(format!("show the log of `{name}`")))?.to_string();
        }
        Ok(text)
    }
}

/// A thing that is gone, or already as wanted, is no failure of a verb that may be repeated.
fn already_fine(result: Result<(), Error>) -> Result<(), Error> {
    result.or_else(|error| {
        let is_fine = error.is_already_so() || error.is_not_found() || error.is_not_paused();
        if is_fine { Ok(()) } else { Err(error) }
    })
}

fn read(summary: ContainerSummary) -> Container {
    let networks = summary.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let address = |endpoint: &EndpointSettings| endpoint.ip_address.as_deref()?.parse().ok();
    let ports = summary.ports.unwrap_or_default().into_iter().filter_map(|port| {
        let address = SocketAddr::new(port.ip?.parse().ok()?, port.public_port?);
        Some((port.private_port, address))
    });
    Container {
        name: summary
            .names
            .unwrap_or_default()
            .first()
            .map(|name| name.trim_start_matches('/').to_owned())
            .unwrap_or_default(),
        labels: labels(summary.labels),
        state: state(summary.state),
        addresses: networks.iter().map(|(name, endpoint)| (name.clone(), address(endpoint))).collect(),
        ports: ports.collect(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of CPUs, times 100,000")]
fn inspected(container: ContainerInspectResponse) -> Inspected {
    let bindings = container.network_settings.and_then(|settings| settings.ports).unwrap_or_default();
    let ports = bindings.into_iter().flat_map(|(port, hosts)| {
        let port = port.split('/').next().and_then(|port| port.parse::<u16>().ok());
        let host = |binding: PortBinding| {
            let address = SocketAddr::new(binding.host_ip?.parse().ok()?, binding.host_port?.parse().ok()?);
            Some((port?, address))
        };
        hosts.unwrap_or_default().into_iter().filter_map(host).collect::<Vec<_>>()
    });
    let host = container.host_config.unwrap_or_default();
    let memory = host.memory.filter(|bytes| (1..ALL_MEMORY).contains(bytes));
    let quota = host.cpu_quota.filter(|quota| *quota > 0);
    let period = host.cpu_period.filter(|period| *period > 0).unwrap_or(CPU_PERIOD);
    Inspected {
        is_running: container.state.and_then(|state| state.running).unwrap_or(false),
        ports: ports.collect(),
        limits: Limits {
            memory_bytes: memory.and_then(|bytes| u64::try_from(bytes).ok()),
            cpus: quota.map(|quota| quota as f64 / period as f64),
        },
    }
}

fn state(state: Option<ContainerSummaryStateEnum>) -> ContainerState {
    use ContainerSummaryStateEnum as Api;
    match state {
        Some(Api::CREATED) => ContainerState::Created,
        Some(Api::RUNNING | Api::RESTARTING) => ContainerState::Running,
        Some(Api::PAUSED) => ContainerState::Paused,
        Some(Api::EXITED | Api::STOPPING) => ContainerState::Stopped,
        Some(Api::REMOVING | Api::DEAD | Api::EMPTY) | None => ContainerState::Broken,
    }
}

fn body(spec: &ContainerSpec) -> ContainerCreateBody {
    let port = format!("{}/tcp", spec.published_port);
    let endpoint = EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(spec.address.to_string()),
            ..Default::default()
        }),
        aliases: Some(vec![spec.hostname.clone()]),
        ..Default::default()
    };
    ContainerCreateBody {
        hostname: Some(spec.hostname.clone()),
        image: Some(spec.image.clone()),
        env: Some(spec.env.clone()),
        labels: Some(spec.labels.clone().into_iter().collect()),
        exposed_ports: Some(vec![port.clone()]),
        host_config: Some(host_config(spec, port)),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some([(spec.network.clone(), endpoint)].into()),
        }),
        ..Default::default()
    }
}

fn host_config(spec: &ContainerSpec, port: String) -> HostConfig {
    // Docker's own ports are chosen by the engine, so that two labs never want the same one.
    let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(String::new()) };
    let update = limits_update(spec.limits);
    HostConfig {
        network_mode: Some(spec.network.clone()),
        port_bindings: Some([(port, Some(vec![binding]))].into()),
        mounts: Some(mounts(&spec.volumes, &spec.binds, &spec.labels)),
        tmpfs: Some(TMPFS.map(|(path, options)| (path.to_owned(), options.to_owned())).into()),
        cap_add: Some(spec.capabilities.clone()),
        security_opt: Some(spec.security.clone()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        // The client's `systempaths=unconfined`: a nested engine writes to /proc/sys.
        masked_paths: Some(Vec::new()),
        readonly_paths: Some(Vec::new()),
        memory: spec.limits.memory_bytes.and(update.memory),
        memory_swap: spec.limits.memory_bytes.and(update.memory_swap),
        cpu_period: spec.limits.cpus.and(update.cpu_period),
        cpu_quota: spec.limits.cpus.and(update.cpu_quota),
        ..Default::default()
    }
}

/// Volumes that have to be made get `labels`.
pub(super) fn mounts(volumes: &[VolumeMount], binds: &[Bind], labels: &Labels) -> Vec<Mount> {
    let volumes = volumes.iter().map(|mount| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(mount.volume.clone()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.is_read_only),
        volume_options: Some(MountVolumeOptions {
            // Whoever only reads a volume did not make it.
            labels: (!mount.is_read_only).then(|| labels.clone().into_iter().collect()),
            ..Default::default()
        }),
        ..Default::default()
    });
    let binds = binds.iter().map(|bind| Mount {
        typ: Some(MountType::BIND),
        source: Some(bind.source.clone()),
        target: Some(bind.target.clone()),
        read_only: Some(true),
        ..Default::default()
    });
    volumes.chain(binds).collect()
}

/// Zero would leave an earlier limit in force, so its absence is said in other ways.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a number of CPUs, times 100,000"
)]
fn limits_update(limits: Limits) -> ContainerUpdateBody {
    let memory = limits.memory_bytes.and_then(|bytes| i64::try_from(bytes).ok());
    ContainerUpdateBody {
        memory: Some(memory.unwrap_or(ALL_MEMORY)),
        // Counted together with memory: as much as memory is no swap at all.
        memory_swap: Some(memory.unwrap_or(2 * ALL_MEMORY)),
        cpu_period: Some(CPU_PERIOD),
        cpu_quota: Some(limits.cpus.map_or(-1, |cpus| (cpus * CPU_PERIOD as f64).round() as i64)),
        ..Default::default()
    }
}
