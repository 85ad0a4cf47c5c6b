//! Commands of Vagrant as values. Each runs in the lab's folder, asks nothing, and speaks to machines.

use camino::Utf8Path;

use super::{BoxRef, Folder, Kind};
use crate::exec::Cmd;
use crate::model::NodeName;

const PROGRAM: &str = "vagrant";

/// Prints the version, without a look at any Vagrantfile.
pub(super) fn version() -> Cmd {
    Cmd::new(PROGRAM).arg("--version")
}

pub(super) fn up(folder: &Folder, nodes: &[NodeName]) -> Cmd {
    // What a machine needs is done over ssh, where it can be repeated.
    about(folder, &["up", "--no-provision"], nodes)
}

pub(super) fn halt(folder: &Folder, nodes: &[NodeName]) -> Cmd {
    about(folder, &["halt"], nodes)
}

pub(super) fn resume(folder: &Folder, nodes: &[NodeName]) -> Cmd {
    about(folder, &["resume", "--no-provision"], nodes)
}

pub(super) fn destroy(folder: &Folder, nodes: &[NodeName]) -> Cmd {
    about(folder, &["destroy", "--force"], nodes)
}

pub(super) fn ssh_config(folder: &Folder, nodes: &[NodeName]) -> Cmd {
    about(folder, &["ssh-config"], nodes)
}

pub(super) fn box_add(empty: &Utf8Path, base: &BoxRef, kind: Kind) -> Cmd {
    let cmd = quiet(empty, &["box", "add", "--provider", kind.name()]);
    let version = base.version.iter().filter(|_| base.url.is_none());
    let cmd = version.fold(cmd, |cmd, version| cmd.arg("--box-version").arg(version));
    match &base.url {
        Some(url) => cmd.arg("--name").arg(&base.name).arg(url),
        None => cmd.arg(&base.name),
    }
}

fn about(folder: &Folder, words: &[&str], nodes: &[NodeName]) -> Cmd {
    quiet(folder.path(), words).args(nodes.iter().map(NodeName::as_str))
}

fn quiet(folder: &Utf8Path, words: &[&str]) -> Cmd {
    Cmd::new(PROGRAM)
        .env("VAGRANT_CWD", folder.as_str())
        // Asks a server whether there is a newer version.
        .env("VAGRANT_CHECKPOINT_DISABLE", "1")
        .env("VAGRANT_NO_COLOR", "1")
        .args(words.iter().copied())
        .arg("--machine-readable")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LabName;

    #[test]
    fn commands_print_as_they_could_be_typed() {
        let folder = Folder::of(Utf8Path::new("/p"), &LabName::parse("web").unwrap());
        let nodes = [NodeName::parse("core-01").unwrap(), NodeName::parse("core-02").unwrap()];
        let quiet = "VAGRANT_CHECKPOINT_DISABLE=1 VAGRANT_NO_COLOR=1 vagrant";
        let here = format!("VAGRANT_CWD=/p/.lab/web/vagrant {quiet}");
        let check = |cmd: Cmd, want: &str| assert_eq!(cmd.to_string(), want);
        check(up(&folder, &nodes), &format!("{here} up --no-provision --machine-readable core-01 core-02"));
        check(halt(&folder, &nodes[..1]), &format!("{here} halt --machine-readable core-01"));
        check(destroy(&folder, &[]), &format!("{here} destroy --force --machine-readable"));
        let there = format!("VAGRANT_CWD=/e {quiet}");
        let pinned = BoxRef { name: "a/b".to_owned(), version: Some("1.2".to_owned()), url: None };
        check(
            box_add("/e".into(), &pinned, Kind::Libvirt),
            &format!("{there} box add --provider libvirt --machine-readable --box-version 1.2 a/b"),
        );
        let placed = BoxRef { url: Some("/x.box".to_owned()), ..pinned };
        check(
            box_add("/e".into(), &placed, Kind::VirtualBox),
            &format!("{there} box add --provider virtualbox --machine-readable --name a/b /x.box"),
        );
    }
}
