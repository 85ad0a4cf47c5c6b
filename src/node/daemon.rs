//! A program that runs beside this one until it is told to end.

use std::process::Stdio;
use std::time::Duration;

use camino::Utf8PathBuf;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::timeout;

use crate::exec::{Cmd, Error};
use crate::fs;

/// Killed if it is dropped before it was stopped.
pub(super) struct Daemon {
    child: Child,
    cmd: Cmd,
    log: Utf8PathBuf,
}

impl Daemon {
    /// Starts a program that writes all it says to `log`.
    #[expect(clippy::disallowed_methods, reason = "this is a runner that the rule asks for")]
    pub(super) fn start(cmd: Cmd, log: Utf8PathBuf) -> Result<Self, Error> {
        let start = |source| Error::Start { cmd: Box::new(cmd.clone()), source };
        let file = std::fs::File::create(&log).map_err(start)?;
        let both = file.try_clone().map_err(start)?;
        let child = tokio::process::Command::new(cmd.program())
            .args(cmd.arguments())
            .envs(cmd.environment().iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(both)
            .kill_on_drop(true)
            .spawn()
            .map_err(start)?;
        Ok(Self { child, cmd, log })
    }

    /// Returns why it does not run any more, if it does not.
    pub(super) fn has_died(&mut self) -> Option<Error> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(self.failed(status.code().unwrap_or(-1)))
    }

    /// Asks it to end and waits until it has.
    pub(super) async fn stop(mut self, limit: Duration) -> Result<(), Error> {
        if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            // It may end by itself in this moment.
            kill_process(pid, Signal::TERM).ok();
        }
        match timeout(limit, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.failed(status.code().unwrap_or(-1))),
            Ok(Err(source)) => Err(Error::Start { cmd: Box::new(self.cmd.clone()), source }),
            Err(_) => Err(self.failed(-1)),
        }
    }

    fn failed(&self, code: i32) -> Error {
        let stderr = fs::read_to_string(&self.log).unwrap_or_default();
        Error::Failed { cmd: Box::new(self.cmd.clone()), code, stderr }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::wait_until;

    #[tokio::test]
    async fn a_daemon_ends_when_it_is_told_and_says_why_it_died() {
        let dir = tempfile::tempdir().unwrap();
        let log = Utf8PathBuf::from_path_buf(dir.path().join("log")).unwrap();
        let script = |text: &str| Cmd::new("sh").arg("-c").arg(text);
        let loops = script("trap 'exit 0' TERM; echo on; while :; do sleep 0.05; done");
        let mut daemon = Daemon::start(loops, log.clone()).unwrap();
        let often = Duration::from_millis(5);
        let on = wait_until("the daemon says `on`", Duration::from_secs(20), often, async || {
            fs::read_to_string(&log).is_ok_and(|said| said == "on\n").then_some(())
        });
        on.await.unwrap();
        assert!(daemon.has_died().is_none());
        daemon.stop(Duration::from_secs(20)).await.unwrap();

        let daemon = Daemon::start(script("echo no room >&2; exit 3"), log).unwrap();
        let error = daemon.stop(Duration::from_secs(20)).await.unwrap_err().to_string();
        assert!(error.contains("ended with code"), "{error}");
    }
}
