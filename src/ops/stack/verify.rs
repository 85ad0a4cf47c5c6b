//! What this host says against a stack: folders that are not there, and systemd's own opinion of its units.

use camino::Utf8Path;

use super::{Instance, Stack, StackError};
use crate::exec::{self, Cmd};
use crate::fs::{self, Access};
use crate::model::image::{ImageSource, ImageSpec};

const PROGRAM: &str = "systemd-analyze";
/// What is on nodes and need not be on this host.
const OF_NODES: [&str; 3] = ["is not executable", "Failed to open", "No such file or directory"];

/// Returns the images of a stack that are to be built from folders without a Dockerfile. `images` are all of the lab.
pub fn missing_builds(stack: &Stack, images: &[ImageSpec]) -> Vec<String> {
    let used = |spec: &&ImageSpec| stack.units.iter().any(|unit| unit.images.contains(&spec.key));
    let missing = |spec: &ImageSpec| match &spec.source {
        ImageSource::Build(build) if !build.folder.join(&build.dockerfile).is_file() => Some(format!(
            "the image `{}` is built from `{}`, which has no {}",
            spec.key, build.folder, build.dockerfile
        )),
        _ => None,
    };
    images.iter().filter(used).filter_map(missing).collect()
}

/// Returns what systemd says against units; `None` where it cannot be asked. `folder` is for files of its own.
pub async fn verify(instances: &[Instance], folder: &Utf8Path) -> Result<Option<Vec<String>>, StackError> {
    if which::which(PROGRAM).is_err() {
        return Ok(None);
    }
    // It reads files by the names of units; one instance of each template stands for all.
    let mut names = Vec::new();
    let mut seen = Vec::new();
    for instance in instances {
        if !seen.contains(&&instance.of) {
            seen.push(&instance.of);
            let path = folder.join(instance.name.as_str());
            fs::write(&path, instance.file.text(), Access::Public)?;
            names.push(path);
        }
    }
    let cmd = Cmd::new(PROGRAM).args(["verify", "--man=no", "--generators=no", "--recursive-errors=no"]);
    let told = match exec::run(&cmd.args(names.iter().map(|path| path.as_str())), b"").await {
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(exec::Error::Failed { stderr, .. }) => stderr,
        Err(exec::Error::Start { .. }) => return Ok(None),
    };
    let prefix = format!("{folder}/");
    let is_ours = |line: &&str| names.iter().any(|path| line.contains(path.file_name().unwrap_or_default()));
    let lines = told.lines().filter(is_ours).filter(|line| !OF_NODES.iter().any(|text| line.contains(text)));
    Ok(Some(lines.map(|line| line.replace(&prefix, "")).collect()))
}
