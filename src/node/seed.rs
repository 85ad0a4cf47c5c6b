//! `labd seed`: makes a machine that has the kit a node of a lab. Every step may be repeated, and does nothing where
//! it was done before, so that a seed which was cut off anywhere is simply sown again.

use std::time::Duration;

use camino::Utf8Path;
use tokio::time::timeout;

use super::{apply, health::build, init, keys, network, serve, sshd};
use crate::fs;
use crate::model::{NodeConfig, NodeHealth, Seed};
use crate::systemd::{self, Manager};

const MACHINE_ID: &str = "/etc/machine-id";
/// Keys that a box was born with, on systems that make `authorized_keys` of them again and again.
const BORN_KEYS: &str = "/home/core/.ssh/authorized_keys.d";
const LABD: &str = "labd.service";
const JOURNAL: &str = "systemd-journald.service";
/// What a node runs, in the order in which it starts.
const SERVICES: [&str; 5] =
    ["lab-network.service", "docker.service", "lab-containers.service", "lab-etcd.service", LABD];
/// Names of sshd; a system has one of them, or starts it for each connection and has nothing to reload.
const SSHD: [&str; 2] = ["ssh.service", "sshd.service"];
/// An engine that starts for the first time on an emulated processor takes a while.
const START_LIMIT: Duration = Duration::from_mins(3);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the seed could not be read")]
    Seed { source: serde_json::Error },
    #[error(transparent)]
    Config(#[from] init::Error),
    #[error(transparent)]
    Apply(#[from] apply::Error),
    #[error(transparent)]
    Keys(#[from] keys::Error),
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error("the lab's network cannot be used")]
    Network(#[from] network::Error),
    #[error(transparent)]
    Systemd(#[from] systemd::Error),
    #[error(
        "`{unit}` did not start: its job ended as `{result}`; `journalctl -u {unit}` on the machine tells why"
    )]
    NotStarted { unit: String, result: String },
    #[error("`{unit}` did not start within {} s", START_LIMIT.as_secs())]
    Late { unit: String },
}

/// Makes this machine the node that `text` describes. A node of another lab is left as it is.
pub async fn seed(text: &str) -> Result<(), Error> {
    let seed: Seed = serde_json::from_str(text).map_err(|source| Error::Seed { source })?;
    let config = &seed.config;
    let old = init::load_config()?;
    if let Some(old) = &old {
        apply::check_identity(old, config)?;
    }
    let has_new_id =
        fs::read_if_present(Utf8Path::new(MACHINE_ID))?.unwrap_or_default().trim() != config.machine_id;
    keys::write(&seed)?;
    fs::remove_dir(Utf8Path::new(BORN_KEYS))?;
    apply::name_machine(config)?;
    sshd::write()?;
    network::ensure(config.mac.as_deref(), config.address).await?;
    match &old {
        Some(old) => apply::apply(old, config).await?,
        None => apply::write_all(config)?,
    }
    start(config, has_new_id).await
}

/// Has systemd run all that a node consists of, now and at each boot.
async fn start(config: &NodeConfig, has_new_id: bool) -> Result<(), Error> {
    let systemd = Manager::connect().await?;
    systemd.enable_for_good(&SERVICES.map(str::to_owned)).await?;
    // It makes the links known too.
    systemd.reload().await?;
    if has_new_id {
        // The journal of a machine id is found under that id only. Until the machine boots, systemd itself keeps the
        // former one, which it shows nowhere.
        systemd.restart_unit(JOURNAL).await?;
    }
    let mut jobs = Vec::new();
    for unit in SERVICES {
        // A labd that runs may be of another build, or know another configuration.
        let job = if unit == LABD && !is_current(config).await {
            systemd.queue_restart(unit).await?
        } else {
            systemd.queue_start(unit).await?
        };
        jobs.push((unit, job));
    }
    for (unit, job) in jobs {
        finish(unit, job).await?;
    }
    // Last: a machine that fails before lets its former users in, who can look why.
    let mut found = systemd.unit_statuses(&SSHD.map(str::to_owned)).await?;
    // Where one name is another for the same unit, both come under that unit's.
    found.dedup_by(|a, b| a.name == b.name);
    for unit in found.into_iter().filter(|unit| unit.active == "active") {
        let job = systemd.queue_reload(&unit.name).await?;
        finish(&unit.name, job).await?;
    }
    Ok(())
}

async fn finish(unit: &str, job: systemd::Job) -> Result<(), Error> {
    let unit = unit.to_owned();
    match timeout(START_LIMIT, job.end()).await {
        Err(_) => Err(Error::Late { unit }),
        Ok(result) => match result? {
            done if done == "done" => Ok(()),
            result => Err(Error::NotStarted { unit, result }),
        },
    }
}

/// Returns whether the labd that runs is this very program, and knows this configuration.
async fn is_current(config: &NodeConfig) -> bool {
    let told = serve::health().await.unwrap_or_default();
    let health: Option<NodeHealth> = serde_json::from_str(&told).ok();
    health.is_some_and(|health| health.labd_build == build() && health.config == config.fingerprint())
}
