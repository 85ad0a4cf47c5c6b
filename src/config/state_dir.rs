//! The folder of a lab in its project: what is there, under which name, and what it says.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::fs::{self, Access};
use crate::model::{LabName, Topology};

/// The places of one lab's files: `.lab/<lab>/` in the folder of its project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    root: Utf8PathBuf,
    folder: Utf8PathBuf,
}

/// What `lab` remembers of a lab. It holds no secret, and all of it can be found again by labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub version: u32,
    pub topology: Topology,
    pub provider: String,
    /// How many nodes the lab is to have, when more or fewer are under way.
    #[serde(default)]
    pub wanted_nodes: Option<u16>,
    /// Whose units it was last to run.
    #[serde(default)]
    pub stacks: Option<Vec<String>>,
}

impl State {
    pub const VERSION: u32 = 1;

    pub fn new(topology: Topology, provider: impl Into<String>) -> Self {
        Self { version: Self::VERSION, topology, provider: provider.into(), wanted_nodes: None, stacks: None }
    }
}

/// All that is read of a file before its version is known.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error("`{path}` is damaged")]
    Damaged { path: Utf8PathBuf, source: serde_json::Error },
    #[error("`{path}` is of version {version}, written by another lab; this one reads {}", State::VERSION)]
    Version { path: Utf8PathBuf, version: u32 },
}

impl StateError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Damaged { path, .. } => {
                Some(format!("the lab can be found again by its labels: remove `{path}` and run `lab up`"))
            }
            Self::Version { path, .. } => Some(format!(
                "use the `lab` that wrote it; or remove `{path}` and run `lab up`, which finds the lab by its labels"
            )),
        }
    }
}

impl StateDir {
    pub fn new(project: &Utf8Path, lab: &LabName) -> Self {
        let root = project.join(".lab");
        let folder = root.join(lab.as_str());
        Self { root, folder }
    }

    pub fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    pub fn state(&self) -> Utf8PathBuf {
        self.folder.join("lab.json")
    }

    /// The key that opens the nodes; to be written with `Access::Private`.
    pub fn private_key(&self) -> Utf8PathBuf {
        self.folder.join("id_ed25519")
    }

    pub fn public_key(&self) -> Utf8PathBuf {
        self.folder.join("id_ed25519.pub")
    }

    /// The key by which nodes are known; to be written with `Access::Private`.
    pub fn private_host_key(&self) -> Utf8PathBuf {
        self.folder.join("host_ed25519")
    }

    pub fn public_host_key(&self) -> Utf8PathBuf {
        self.folder.join("host_ed25519.pub")
    }

    pub fn known_hosts(&self) -> Utf8PathBuf {
        self.folder.join("known_hosts")
    }

    pub fn ssh_config(&self) -> Utf8PathBuf {
        self.folder.join("ssh_config")
    }

    pub fn log(&self) -> Utf8PathBuf {
        self.folder.join("lab.log")
    }

    fn ignore_file(&self) -> Utf8PathBuf {
        self.root.join(".gitignore")
    }

    /// Makes the folder, and keeps it out of the project's repository: it holds keys.
    pub fn ensure(&self) -> Result<(), fs::Error> {
        fs::create_dir(&self.folder)?;
        if fs::read_if_present(&self.ignore_file())?.is_none() {
            fs::write(&self.ignore_file(), "*\n", Access::Public)?;
        }
        Ok(())
    }

    /// Returns what is remembered of the lab; `None` if it was never brought up from here.
    pub fn load(&self) -> Result<Option<State>, StateError> {
        let path = self.state();
        match fs::read(&path) {
            Err(error) if error.is_not_found() => Ok(None),
            bytes => parse(&bytes?, &path).map(Some),
        }
    }

    pub fn save(&self, state: &State) -> Result<(), fs::Error> {
        self.ensure()?;
        let json = serde_json::to_string_pretty(state).expect("a state is plain data");
        fs::write(&self.state(), json + "\n", Access::Public)
    }

    /// Forgets the lab. What other labs of the project have beside it stays.
    pub fn remove(&self) -> Result<(), fs::Error> {
        fs::remove_dir(&self.folder)?;
        if fs::list(&self.root)?.iter().all(|name| name == ".gitignore") {
            fs::remove_file(&self.ignore_file())?;
            if !fs::remove_dir_if_empty(&self.root)? {
                // Another lab began to use the folder in this moment; it believes the file to be there.
                fs::write(&self.ignore_file(), "*\n", Access::Public)?;
            }
        }
        Ok(())
    }
}

fn parse(json: &[u8], path: &Utf8Path) -> Result<State, StateError> {
    let damaged = |source| StateError::Damaged { path: path.to_owned(), source };
    let Versioned { version } = serde_json::from_slice(json).map_err(damaged)?;
    if version != State::VERSION {
        return Err(StateError::Version { path: path.to_owned(), version });
    }
    serde_json::from_slice(json).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::model::NodeName;

    fn project() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, path)
    }

    fn state_dir(project: &Utf8Path, lab: &str) -> StateDir {
        StateDir::new(project, &LabName::parse(lab).unwrap())
    }

    fn state() -> State {
        let lab = LabName::parse("web").unwrap();
        let fresh = Topology::fresh(lab, "0011".to_owned(), "10.77.0.0/24".parse().unwrap());
        State::new(fresh.resized(&NodeName::parse("core").unwrap(), 3).unwrap(), "container")
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let (_dir, project) = project();
        let web = state_dir(&project, "web");
        assert_eq!(web.load().unwrap(), None);
        web.save(&state()).unwrap();
        web.save(&state()).unwrap();
        assert_eq!(web.load().unwrap(), Some(state()));
        assert_eq!(fs::read_to_string(&project.join(".lab/.gitignore")).unwrap(), "*\n");
    }

    #[test]
    fn removal_leaves_what_belongs_to_others_and_may_be_repeated() {
        let (_dir, project) = project();
        let (web, shop) = (state_dir(&project, "web"), state_dir(&project, "shop"));
        web.save(&state()).unwrap();
        shop.ensure().unwrap();
        web.remove().unwrap();
        web.remove().unwrap();
        assert_eq!(fs::list(&project.join(".lab")).unwrap(), [".gitignore", "shop"]);
        shop.remove().unwrap();
        shop.remove().unwrap();
        assert!(fs::list(&project).unwrap().is_empty());
    }

    #[test]
    fn every_file_has_its_own_name_in_the_folder() {
        let web = state_dir(Utf8Path::new("/p"), "web");
        let files = [
            web.state(),
            web.private_key(),
            web.public_key(),
            web.private_host_key(),
            web.public_host_key(),
            web.known_hosts(),
            web.ssh_config(),
            web.log(),
        ];
        assert!(files.iter().all(|file| file.parent() == Some(Utf8Path::new("/p/.lab/web"))));
        let names: std::collections::BTreeSet<_> = files.iter().collect();
        assert_eq!(names.len(), files.len());
    }

    #[test]
    fn what_cannot_be_used_is_told_with_a_way_out() {
        let told = |text: &str| {
            let error = parse(text.as_bytes(), Utf8Path::new(".lab/web/lab.json")).unwrap_err();
            let cause = error.source().map(|cause| format!("because: {cause}\n")).unwrap_or_default();
            format!("{error}\n{cause}hint: {}", error.hint().unwrap())
        };
        insta::assert_snapshot!(told("{\"version\": 1, \"topology\": {"));
        insta::assert_snapshot!(told("{\"version\": 1, \"topology\": 5, \"provider\": \"container\"}"));
        insta::assert_snapshot!(told("{\"version\": 2, \"zones\": []}"));
        assert!(matches!(parse(b"\xff\0", Utf8Path::new("x")), Err(StateError::Damaged { .. })));
    }
}
