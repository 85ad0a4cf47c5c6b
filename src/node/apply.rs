//! From a configuration to the files and services that follow from it.

use std::io;

use camino::Utf8Path;
use rustix::system::sethostname;

use super::hosts;
use crate::fs::{self, Access};
use crate::model::{EtcdRole, NodeConfig};
use crate::systemd::{self, Manager};

const ETCD_UNIT: &str = "lab-etcd.service";
const ETCD_DATA: &str = "/var/lib/etcd/data";
const HOSTS: &str = "/etc/hosts";
const HOSTNAME: &str = "/etc/hostname";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error(transparent)]
    Systemd(#[from] systemd::Error),
    #[error("could not set the name of this machine")]
    Hostname { source: io::Error },
    #[error("this is node `{node}` of the lab `{lab}` ({lab_id}), and its {what} cannot change")]
    AnotherNode { node: String, lab: String, lab_id: String, what: &'static str },
}

/// A file that follows from the configuration alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    path: &'static str,
    content: String,
}

/// What a new configuration means for etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EtcdChange {
    None,
    Restart,
    /// The role is another: data of the former life would bring a removed member back.
    StartAfresh,
}

/// Writes everything but keys, for systemd to find when it starts.
pub(super) fn write_all(config: &NodeConfig) -> Result<(), Error> {
    write_files(config)?;
    write_config(config)
}

/// Brings a running node from one configuration to another. May be repeated after a failure anywhere:
/// what is in force is written last, and a node that starts again begins from there.
pub(super) async fn apply(old: &NodeConfig, new: &NodeConfig) -> Result<(), Error> {
    check_identity(old, new)?;
    write_files(new)?;
    match etcd_change(old, new) {
        EtcdChange::None => {}
        EtcdChange::Restart => Manager::connect().await?.restart_unit(ETCD_UNIT).await?,
        EtcdChange::StartAfresh => {
            let systemd = Manager::connect().await?;
            systemd.stop_unit(ETCD_UNIT).await?;
            fs::remove_dir(Utf8Path::new(ETCD_DATA))?;
            systemd.restart_unit(ETCD_UNIT).await?;
        }
    }
    write_config(new)
}

/// A node stays who it is, also if somebody tells it otherwise by mistake.
pub(super) fn check_identity(old: &NodeConfig, new: &NodeConfig) -> Result<(), Error> {
    let what = match () {
        () if old.lab_id != new.lab_id || old.lab != new.lab => "lab",
        () if old.node != new.node => "name",
        () if old.address != new.address => "address",
        () if old.machine_id != new.machine_id => "machine id",
        () => return Ok(()),
    };
    Err(Error::AnotherNode {
        node: old.node.to_string(),
        lab: old.lab.to_string(),
        lab_id: old.lab_id.clone(),
        what,
    })
}

fn etcd_change(old: &NodeConfig, new: &NodeConfig) -> EtcdChange {
    let is_member = |config: &NodeConfig| matches!(config.etcd, EtcdRole::Member { .. });
    if is_member(old) != is_member(new) {
        return EtcdChange::StartAfresh;
    }
    // How a cluster begins is of no interest to a member that has data, and one without data exits and
    // is started again until it can join: no reason to interrupt it.
    let lasting = |config: &NodeConfig| {
        let args = config.etcd_args().into_iter();
        args.filter(|arg| !arg.starts_with("--initial-cluster")).collect::<Vec<_>>()
    };
    if lasting(old) == lasting(new) { EtcdChange::None } else { EtcdChange::Restart }
}

fn render(config: &NodeConfig) -> Vec<File> {
    let file = |path, content| File { path, content };
    vec![
        file("/etc/machine-id", format!("{}\n", config.machine_id)),
        file("/etc/lab/env", config.env()),
        file("/etc/lab/etcd", format!("LAB_ETCD_ARGS={}\n", config.etcd_args().join(" "))),
    ]
}

fn write_files(config: &NodeConfig) -> Result<(), Error> {
    for File { path, content } in render(config) {
        write_if_changed(Utf8Path::new(path), &content)?;
    }
    let path = Utf8Path::new(HOSTS);
    let current = fs::read_if_present(path)?.unwrap_or_default();
    let merged = hosts::merge(&current, config);
    if merged != current {
        write_mounted(path, &merged)?;
    }
    Ok(())
}

/// Gives a machine that was not born with it the node's name, now and at each boot.
pub(super) fn name_machine(config: &NodeConfig) -> Result<(), Error> {
    let name = config.node.as_str();
    let (path, line) = (Utf8Path::new(HOSTNAME), format!("{name}\n"));
    if fs::read_if_present(path)?.as_deref() != Some(&line) {
        write_mounted(path, &line)?;
    }
    sethostname(name.as_bytes()).map_err(|source| Error::Hostname { source: source.into() })
}

/// Writes a file that Docker mounts, so that it cannot be replaced; where /usr is read-only, it may be a link into it.
pub(super) fn write_mounted(path: &Utf8Path, content: &str) -> Result<(), fs::Error> {
    if path.is_symlink() { fs::write(path, content, Access::Public) } else { fs::overwrite(path, content) }
}

fn write_config(config: &NodeConfig) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(config).expect("a configuration is plain data");
    write_if_changed(Utf8Path::new(NodeConfig::PATH), &json)
}

fn write_if_changed(path: &Utf8Path, content: &str) -> Result<(), Error> {
    if fs::read_if_present(path)?.as_deref() != Some(content) {
        fs::write(path, content, Access::Public)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::samples;

    #[test]
    fn a_configuration_becomes_files() {
        let files = render(&samples::config());
        let text =
            files.iter().map(|file| format!("--- {}\n{}", file.path, file.content)).collect::<String>();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn etcd_is_disturbed_only_where_its_part_changes() {
        let member = samples::config();
        let gateway = samples::gateway();
        let mut wider = member.clone();
        wider.nodes[3].is_etcd_member = true;
        let mut elsewhere = gateway.clone();
        elsewhere.nodes[1].is_etcd_member = false;
        for (old, new, want) in [
            (&member, &member, EtcdChange::None),
            (&member, &wider, EtcdChange::None),
            (&member, &samples::joining(), EtcdChange::None),
            (&gateway, &elsewhere, EtcdChange::Restart),
            (&member, &gateway, EtcdChange::StartAfresh),
            (&gateway, &samples::joining(), EtcdChange::StartAfresh),
        ] {
            assert_eq!(etcd_change(old, new), want, "{:?} -> {:?}", old.etcd, new.etcd);
        }
    }

    #[test]
    fn a_node_stays_who_it_is() {
        let config = samples::config();
        let other = |change: &dyn Fn(&mut NodeConfig)| {
            let mut new = config.clone();
            change(&mut new);
            check_identity(&config, &new).err().map(|error| error.to_string())
        };
        let want = |what: &str| {
            Some(format!("this is node `core-01` of the lab `web` (0011), and its {what} cannot change"))
        };
        assert_eq!(other(&|_| {}), None);
        assert_eq!(other(&|new| new.lab_id = "22".to_owned()), want("lab"));
        assert_eq!(other(&|new| new.node = new.nodes[1].name.clone()), want("name"));
        assert_eq!(other(&|new| new.address = new.nodes[1].address), want("address"));
        assert_eq!(other(&|new| new.machine_id = String::new()), want("machine id"));
    }
}
