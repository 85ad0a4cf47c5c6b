//! Does the cures that are safe to do unasked.

use std::time::Duration;

use camino::Utf8Path;
use tokio::time::timeout;

use super::finding::{Finding, Fix};
use crate::exec::{self, Cmd};
use crate::fs;

const SYSCTLS: &str = "/proc/sys";
/// An engine with many containers to take up again is not quick.
const START_LIMIT: Duration = Duration::from_mins(1);

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("only root may do this: `{cure}`")]
    NotRoot { cure: String },
    #[error("{}", whole(source))]
    File { source: fs::Error },
    #[error("`{key}` is still {value}")]
    Unchanged { key: &'static str, value: u64 },
    #[error(transparent)]
    Command(#[from] exec::Error),
    #[error("Docker does not start within {} s; `journalctl -u docker` tells why", START_LIMIT.as_secs())]
    Slow,
}

impl From<fs::Error> for Error {
    fn from(source: fs::Error) -> Self {
        Self::File { source }
    }
}

/// Mends what the findings say can be mended, and tells of each check what was done or why not.
///
/// What was written is read back; whether the host is well now, another examination tells.
pub async fn mend(findings: &[Finding]) -> Vec<(&'static str, Result<String, String>)> {
    let mut told = Vec::new();
    for finding in findings {
        let Some(fix) = &finding.fix else { continue };
        let cure = finding.cure.clone().unwrap_or_default();
        told.push((finding.check, apply(fix, cure).await.map_err(|error| error.to_string())));
    }
    told
}

async fn apply(fix: &Fix, cure: String) -> Result<String, Error> {
    if needs_root(fix) && !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot { cure });
    }
    let sysctls = Utf8Path::new(SYSCTLS);
    match fix {
        Fix::RaiseInotify { instances, watches } => {
            raise(sysctls, "fs/inotify/max_user_instances", *instances)?;
            raise(sysctls, "fs/inotify/max_user_watches", *watches)?;
            Ok(format!("raised to {instances} instances and {watches} watches, until the next boot"))
        }
        Fix::ForwardPackets => {
            raise(sysctls, "net/ipv4/ip_forward", 1)?;
            Ok("the kernel forwards packets, until the next boot".to_owned())
        }
        Fix::CreateFolder { path } => {
            fs::create_dir(path)?;
            Ok(format!("made `{path}`"))
        }
        Fix::StartDocker => {
            let cmd = Cmd::new("systemctl").arg("start").arg("docker");
            timeout(START_LIMIT, exec::run(&cmd, b"")).await.map_err(|_| Error::Slow)??;
            Ok("started Docker".to_owned())
        }
    }
}

fn needs_root(fix: &Fix) -> bool {
    !matches!(fix, Fix::CreateFolder { .. })
}

/// Sets a number of the kernel's, unless it is as high already, and reads it back.
fn raise(sysctls: &Utf8Path, key: &'static str, wanted: u64) -> Result<(), Error> {
    let path = sysctls.join(key);
    let read = || Ok::<_, fs::Error>(super::proc::number(&fs::read_to_string(&path)?).unwrap_or(0));
    if read()? >= wanted {
        return Ok(());
    }
    fs::overwrite(&path, wanted.to_string())?;
    match read()? {
        value if value >= wanted => Ok(()),
        value => Err(Error::Unchanged { key, value }),
    }
}

/// Returns an error with its cause, as what is told here is text.
fn whole(error: &fs::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, path)
    }

    #[test]
    fn a_limit_is_raised_and_never_lowered() {
        let (_dir, root) = folder();
        let key = "fs/limit";
        for (before, wanted, after) in [("128\n", 1024, "1024"), ("4096\n", 1024, "4096\n"), ("0\n", 1, "1")]
        {
            fs::write(&root.join(key), before, fs::Access::Public).unwrap();
            raise(&root, key, wanted).unwrap();
            assert_eq!(fs::read_to_string(&root.join(key)).unwrap(), after);
        }
    }

    #[test]
    fn a_limit_that_is_not_there_tells_its_path_and_the_cause() {
        let (_dir, root) = folder();
        let error = raise(&root, "absent", 1).unwrap_err().to_string();
        assert!(error.starts_with("could not read `") && error.contains("No such file"), "{error}");
    }

    #[tokio::test]
    async fn only_findings_with_a_fix_are_mended() {
        let (_dir, root) = folder();
        let path = root.join("deep/cache");
        let findings = [
            Finding::warning("ssh", "not installed", "apt-get install openssh-client"),
            Finding::note("cache", "absent").fixed_by(Fix::CreateFolder { path: path.clone() }),
        ];
        let told = mend(&findings).await;
        assert_eq!(told, [("cache", Ok(format!("made `{path}`")))]);
        assert!(path.is_dir());
        assert_eq!(mend(&findings).await.len(), 1, "once more is no error");
    }

    #[tokio::test]
    async fn a_fix_that_fails_says_why() {
        let (_dir, root) = folder();
        fs::write(&root.join("file"), "", fs::Access::Public).unwrap();
        let path = root.join("file/cache");
        let told = mend(&[Finding::note("cache", "absent").fixed_by(Fix::CreateFolder { path })]).await;
        assert!(told[0].1.as_ref().unwrap_err().starts_with("could not create the folder"), "{told:?}");
    }
}
