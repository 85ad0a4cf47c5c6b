//! Makes Debians from packages, so that a machine that reaches a package mirror and no registry will do.

use camino::{Utf8Path, Utf8PathBuf};

use super::node::Error;
use crate::docker::Engine;
use crate::exec::{self, Cmd};
use crate::fs;
use crate::progress::Step;

/// A Debian that can be made, and what it is called then.
pub(super) struct Recipe {
    pub(super) repository: &'static str,
    pub(super) tag: String,
    pub(super) suite: &'static str,
    pub(super) options: Vec<String>,
}

impl Recipe {
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }

    fn cmd(&self, archive: &Utf8Path, temporary: &Utf8Path, sources: &[Utf8PathBuf]) -> Cmd {
        Cmd::new("mmdebstrap")
            .env("TMPDIR", temporary.as_str())
            // A merged /usr from the start needs no Perl to make it so: 50 MB less.
            .arg("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr")
            .args(self.options.iter().map(String::as_str))
            .arg(self.suite)
            .arg(archive.as_str())
            .args(sources.iter().map(|path| path.as_str()))
    }
}

/// Makes a Debian, unless the engine has it by then.
pub(super) async fn make(
    engine: &Engine,
    recipe: &Recipe,
    workshop: &Utf8Path,
    step: &Step,
) -> Result<(), Error> {
    step.change(format!("making {} from Debian packages (about a minute)", recipe.name()));
    let work = Workshop::open(workshop).await?;
    // Another `lab` may have made it while we waited for the workshop.
    if engine.image_id(&recipe.name()).await?.is_none() {
        let archive = work.folder.join("base.tar");
        let cmd = recipe.cmd(&archive, &work.folder, &sources(recipe.suite));
        exec::run(&cmd, b"").await.map_err(|source| Error::Bootstrap { source })?;
        step.change(format!("importing {}", recipe.name()));
        engine.import_image(&archive, recipe.repository, &recipe.tag).await?;
    }
    work.close()
}

/// A folder of one process at a time; what a killed one left in it goes when the next opens it.
struct Workshop {
    folder: Utf8PathBuf,
    _lock: std::fs::File,
}

impl Workshop {
    async fn open(cache: &Utf8Path) -> Result<Self, Error> {
        let folder = cache.join("base");
        fs::create_dir(cache)?;
        let path = cache.join("base.lock");
        let waiting = path.clone();
        let locked = tokio::task::spawn_blocking(move || {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(&waiting)?;
            file.lock().map(|()| file)
        });
        let lock = locked.await.expect("taking a lock does not panic");
        let lock = lock.map_err(|source| Error::Workshop { path, source })?;
        fs::remove_dir(&folder)?;
        fs::create_dir(&folder)?;
        Ok(Self { folder, _lock: lock })
    }

    fn close(self) -> Result<(), Error> {
        Ok(fs::remove_dir(&self.folder)?)
    }
}

/// Returns the package sources of this host, if it is the Debian that we make.
pub(super) fn sources(suite: &str) -> Vec<Utf8PathBuf> {
    let release = fs::read_to_string(Utf8Path::new("/etc/os-release")).unwrap_or_default();
    let is_same = release.lines().any(|line| line == format!("VERSION_CODENAME={suite}"));
    let known = ["/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources"];
    let used = |path: &Utf8PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains(suite));
    known.into_iter().filter(|_| is_same).map(Utf8PathBuf::from).filter(used).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debian_is_made_with_the_sources_of_this_host() {
        let options = vec!["--variant=apt".to_owned(), "--dpkgopt=path-exclude=/x/*".to_owned()];
        let recipe = Recipe { repository: "lab/x", tag: "1".to_owned(), suite: "bookworm", options };
        assert_eq!(recipe.name(), "lab/x:1");
        let cmd = recipe.cmd(Utf8Path::new("/c/base.tar"), Utf8Path::new("/c"), &["/etc/apt/x".into()]);
        let line = cmd.to_string();
        assert!(line.starts_with("TMPDIR=/c mmdebstrap '--hook-dir="), "{line}");
        assert!(line.ends_with("'--dpkgopt=path-exclude=/x/*' bookworm /c/base.tar /etc/apt/x"), "{line}");
    }
}
