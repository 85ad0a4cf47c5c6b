//! Where the labs of this user are that Vagrant made. Their machines bear no labels that could tell.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::fs::{self, Access};
use crate::model::{LabName, NodeName};
use crate::vagrant::Kind;

/// A folder with a small file for each lab, named after it.
#[derive(Debug, Clone)]
pub struct Index(Utf8PathBuf);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub project: Utf8PathBuf,
    pub provider: Kind,
    /// Those that were ever made, so that also the machines of a lab can be removed whose folder is gone.
    #[serde(default)]
    pub nodes: BTreeSet<NodeName>,
}

impl Index {
    pub fn at(folder: &Utf8Path) -> Self {
        Self(folder.to_owned())
    }

    fn file(&self, lab: &LabName) -> Utf8PathBuf {
        self.0.join(format!("{lab}.json"))
    }

    /// Returns where a lab is; one whose entry cannot be read is nowhere, and found again by its next `up`.
    pub fn find(&self, lab: &LabName) -> Option<Entry> {
        let text = fs::read_if_present(&self.file(lab)).ok()??;
        serde_json::from_str(&text).ok()
    }

    /// Returns who runs the machines of a lab.
    pub fn provider(&self, lab: &LabName) -> Option<Kind> {
        self.find(lab).map(|entry| entry.provider)
    }

    pub fn labs(&self) -> Result<Vec<(LabName, Entry)>, fs::Error> {
        let names = fs::list(&self.0)?;
        let labs = names.iter().filter_map(|name| LabName::parse(name.strip_suffix(".json")?).ok());
        Ok(labs.filter_map(|lab| self.find(&lab).map(|entry| (lab, entry))).collect())
    }

    pub(super) fn put(&self, lab: &LabName, entry: &Entry) -> Result<(), fs::Error> {
        if self.find(lab).as_ref() == Some(entry) {
            return Ok(());
        }
        let json = serde_json::to_string(entry).expect("an entry is plain data");
        fs::write(&self.file(lab), json, Access::Public)
    }

    /// Writes down that a node is going to be made.
    pub(super) fn add(&self, lab: &LabName, node: &NodeName) -> Result<(), fs::Error> {
        let Some(mut entry) = self.find(lab) else { return Ok(()) };
        entry.nodes.insert(node.clone());
        self.put(lab, &entry)
    }

    pub(super) fn remove(&self, lab: &LabName) -> Result<(), fs::Error> {
        fs::remove_file(&self.file(lab))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labs_are_found_until_they_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::at(&Utf8Path::from_path(dir.path()).unwrap().join("deep/down"));
        let (web, shop) = (LabName::parse("web").unwrap(), LabName::parse("shop").unwrap());
        let entry =
            |project: &str| Entry { project: project.into(), provider: Kind::Docker, nodes: BTreeSet::new() };
        assert_eq!(index.labs().unwrap(), []);
        index.put(&web, &entry("/a")).unwrap();
        index.put(&shop, &entry("/b")).unwrap();
        index.put(&web, &entry("/c")).unwrap();
        assert_eq!((index.find(&web), index.provider(&web)), (Some(entry("/c")), Some(Kind::Docker)));
        index.add(&web, &NodeName::parse("core-01").unwrap()).unwrap();
        assert_eq!(index.find(&web).map(|entry| entry.nodes.len()), Some(1));
        index.remove(&web).unwrap();
        index.remove(&web).unwrap();
        assert_eq!(index.labs().unwrap(), [(shop, entry("/b"))]);
    }
}
