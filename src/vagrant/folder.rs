//! A lab's Vagrant folder, in which also plain `vagrant` works: `.lab/<lab>/vagrant/`.

use camino::{Utf8Path, Utf8PathBuf};

use super::{Error, Kind, NodesFile};
use crate::fs::{self, Access};
use crate::model::{LabName, NodeName};

/// The same for all labs; what differs is in the nodes file.
const VAGRANTFILE: &str = include_str!("../../vagrant/Vagrantfile");

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(Utf8PathBuf);

impl Folder {
    pub fn of(project: &Utf8Path, lab: &LabName) -> Self {
        Self(project.join(".lab").join(lab.as_str()).join("vagrant"))
    }

    pub fn path(&self) -> &Utf8Path {
        &self.0
    }

    fn nodes_file(&self) -> Utf8PathBuf {
        self.0.join("nodes.json")
    }

    /// Where a command about these nodes writes all that it says.
    pub(super) fn log(&self, name: &str) -> Utf8PathBuf {
        self.0.join("log").join(format!("{name}.log"))
    }

    /// Locked by every command under way.
    pub(super) fn held(&self) -> Utf8PathBuf {
        self.0.join("held.lock")
    }

    /// Returns the folder for what a machine's hypervisor writes, such as its serial console.
    pub fn console(&self, node: &NodeName) -> Utf8PathBuf {
        self.0.join("log").join(format!("{node}.console"))
    }

    /// Returns the file from which a container has its environment. It holds secrets.
    pub fn environment(&self, node: &NodeName) -> Utf8PathBuf {
        self.0.join("seeds").join(format!("{node}.env"))
    }

    pub fn ignition(&self, node: &NodeName) -> Utf8PathBuf {
        self.0.join("seeds").join(format!("{node}.ign"))
    }

    /// Returns what is known of the lab's machines; `None` if Vagrant never made any.
    pub fn load(&self) -> Result<Option<NodesFile>, Error> {
        let path = self.nodes_file();
        let Some(text) = fs::read_if_present(&path)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|source| Error::Damaged { path, source })
    }

    /// Writes what Vagrant reads.
    pub fn save(&self, nodes: &NodesFile) -> Result<(), Error> {
        fs::create_dir(&self.0.join("log"))?;
        let vagrantfile = self.0.join("Vagrantfile");
        if fs::read_if_present(&vagrantfile)?.as_deref() != Some(VAGRANTFILE) {
            fs::write(&vagrantfile, VAGRANTFILE, Access::Public)?;
        }
        let json = serde_json::to_string_pretty(nodes).expect("nodes are plain data") + "\n";
        if fs::read_if_present(&self.nodes_file())?.as_deref() != Some(json.as_str()) {
            fs::write(&self.nodes_file(), json, Access::Public)?;
        }
        Ok(())
    }

    /// Returns by what id Vagrant knows a machine; one that it never made, or only began to, has none.
    pub fn machine_id(&self, node: &NodeName, kind: Kind) -> Result<Option<String>, Error> {
        let path = self.machine_folder(node, kind).join("id");
        let id = fs::read_if_present(&path)?.map(|id| id.trim().to_owned());
        Ok(id.filter(|id| !id.is_empty() && id != "preparing"))
    }

    /// Has Vagrant forget a machine that does not exist.
    pub fn forget(&self, node: &NodeName, kind: Kind) -> Result<(), Error> {
        Ok(fs::remove_dir(&self.machine_folder(node, kind))?)
    }

    fn machine_folder(&self, node: &NodeName, kind: Kind) -> Utf8PathBuf {
        self.0.join(".vagrant/machines").join(node.as_str()).join(kind.to_string())
    }

    pub fn remove(&self) -> Result<(), Error> {
        Ok(fs::remove_dir(&self.0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vagrant::nodes_file::samples;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        let folder = Folder::of(path, &LabName::parse("web").unwrap());
        (dir, folder)
    }

    #[test]
    fn what_is_saved_is_loaded_and_removed() {
        let (_dir, folder) = folder();
        assert_eq!(folder.load().unwrap(), None);
        let nodes = samples::virtualbox();
        folder.save(&nodes).unwrap();
        assert_eq!(folder.load().unwrap(), Some(nodes));
        assert_eq!(fs::read_to_string(&folder.path().join("Vagrantfile")).unwrap(), VAGRANTFILE);
        folder.remove().unwrap();
        folder.remove().unwrap();
        assert_eq!(folder.load().unwrap(), None);
    }

    #[test]
    fn a_machine_that_was_never_finished_has_no_id() {
        let (_dir, folder) = folder();
        let node = NodeName::parse("core-01").unwrap();
        let id = |text: &str| {
            let path = folder.machine_folder(&node, Kind::Docker).join("id");
            fs::write(&path, text, Access::Public).unwrap();
            folder.machine_id(&node, Kind::Docker).unwrap()
        };
        assert_eq!(folder.machine_id(&node, Kind::Docker).unwrap(), None);
        assert_eq!(id("preparing"), None);
        assert_eq!(id(""), None);
        assert_eq!(id("0011\n"), Some("0011".to_owned()));
        folder.forget(&node, Kind::Docker).unwrap();
        assert_eq!(folder.machine_id(&node, Kind::Docker).unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_told_with_a_way_out() {
        let (_dir, folder) = folder();
        fs::write(&folder.nodes_file(), "{", Access::Public).unwrap();
        let error = folder.load().unwrap_err();
        assert!(error.to_string().ends_with("nodes.json` is damaged"), "{error}");
        assert!(error.hint().is_some());
    }
}
