//! What the shell offers when the user presses tab. Fast, and silent where it knows nothing.

use camino::Utf8PathBuf;
use clap_complete::CompletionCandidate;

use crate::config::{Dirs, Flags, Settings, StateDir};
use crate::fleet::unit::UnitName;
use crate::fs;
use crate::model::LabName;

/// Returns the names of the nodes of the lab in this folder.
pub fn nodes() -> Vec<CompletionCandidate> {
    let state =
        settings().and_then(|settings| StateDir::new(&settings.project, &settings.lab).load().ok().flatten());
    let nodes = state.map(|state| state.topology.nodes).unwrap_or_default();
    nodes.into_iter().map(|node| CompletionCandidate::new(node.name.to_string())).collect()
}

/// Returns the names of nodes, ready for a path to follow.
pub fn node_paths() -> Vec<CompletionCandidate> {
    nodes()
        .into_iter()
        .map(|node| CompletionCandidate::new(format!("{}:", node.get_value().to_string_lossy())))
        .collect()
}

/// Returns the unit files of this folder. What the cluster knows would have to be asked for through ssh.
pub fn unit_files() -> Vec<CompletionCandidate> {
    let names = fs::list(camino::Utf8Path::new(".")).unwrap_or_default();
    names.into_iter().filter(|name| UnitName::parse(name).is_ok()).map(CompletionCandidate::new).collect()
}

/// Returns the names of the labs that were made from this folder.
pub fn labs() -> Vec<CompletionCandidate> {
    let folder = settings().map(|settings| settings.project.join(".lab"));
    let names = folder.and_then(|folder| fs::list(&folder).ok()).unwrap_or_default();
    names.into_iter().filter(|name| LabName::parse(name).is_ok()).map(CompletionCandidate::new).collect()
}

#[expect(clippy::disallowed_methods, reason = "nothing has read the command line yet")]
fn settings() -> Option<Settings> {
    let lab = std::env::var("LAB_LAB").ok().and_then(|name| LabName::parse(&name).ok());
    let file = std::env::var("LAB_FILE").ok().map(Utf8PathBuf::from);
    let cwd = Utf8PathBuf::from_path_buf(std::env::current_dir().ok()?).ok()?;
    let dirs = Dirs::from_env().ok()?;
    Settings::load(Flags { lab, file, ..Flags::default() }, &cwd, dirs.home()).ok()
}
