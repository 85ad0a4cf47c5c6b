//! The lock of a lab: one process changes it at a time. The system frees it when its holder ends, however
//! that happens. The file stays: to remove it while another process opens it would give each a lock of its own.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

use crate::fs;
use crate::model::LabName;
use crate::wait::{Stop, wait_until};

const EVERY: Duration = Duration::from_millis(100);
/// How long a new holder may take to write who it is.
const INTRODUCTION: Duration = Duration::from_millis(200);

/// The right to change a lab, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Who holds a lock, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: i32,
    pub command: String,
    /// In seconds since 1970.
    pub since: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("lab `{lab}` is being changed by {}", name(holder.as_ref(), now()))]
    Busy { lab: LabName, holder: Option<Holder> },
    #[error("stopped while waiting for lab `{lab}`")]
    Stopped { lab: LabName },
    #[error("could not lock `{path}`")]
    File { path: Utf8PathBuf, source: io::Error },
    #[error(transparent)]
    Folder(#[from] fs::Error),
}

impl LockError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Busy { .. } => {
                Some("wait until it is done, or let this command wait for it: `--wait-lock 60`".to_owned())
            }
            Self::Folder(error) => error.hint(),
            Self::Stopped { .. } | Self::File { .. } => None,
        }
    }
}

impl Lock {
    /// Takes the lock of `lab` at `path`, at once or within `wait`; `command` is what others are told.
    pub async fn take(
        path: &Utf8Path,
        lab: &LabName,
        command: &str,
        wait: Option<Duration>,
        stop: &Stop,
    ) -> Result<Self, LockError> {
        let failed = |source| LockError::File { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir(folder)?;
        }
        let file = open(path).map_err(failed)?;
        let free = wait_until("the lock is free", wait.unwrap_or_default(), EVERY, async || try_lock(&file));
        match stop.run_until_cancelled(free).await {
            None => Err(LockError::Stopped { lab: lab.clone() }),
            Some(Err(_)) => Err(LockError::Busy { lab: lab.clone(), holder: holder(&file).await }),
            Some(Ok(locked)) => {
                locked.map_err(failed)?;
                introduce(&file, command);
                Ok(Self { file })
            }
        }
    }
}

impl Drop for Lock {
    /// Unlocks also the copies of the descriptor that a child holds which is just being started.
    fn drop(&mut self) {
        drop(self.file.set_len(0));
        drop(self.file.unlock());
    }
}

fn open(path: &Utf8Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Returns `None` while another process has the lock.
fn try_lock(file: &File) -> Option<io::Result<()>> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => Some(Err(error)),
        Ok(()) => Some(Ok(())),
    }
}

/// Writes who holds the lock. That is a courtesy: a full disk must not keep `lab down` from freeing it.
fn introduce(mut file: &File, command: &str) {
    let pid = rustix::process::getpid().as_raw_pid();
    let holder = Holder { pid, command: command.to_owned(), since: now() };
    let json = serde_json::to_vec(&holder).expect("a holder is plain data");
    drop(file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&json)));
}

/// Returns who holds the lock. A holder that was killed leaves its name in the file until the next one
/// has written its own, so a name counts only if it is read twice and its process is alive.
async fn holder(file: &File) -> Option<Holder> {
    let mut before = None;
    let named = wait_until("the holder is named", INTRODUCTION, INTRODUCTION / 10, async || {
        let found = read(file).filter(is_alive);
        let is_settled = found.is_some() && found == before;
        before.clone_from(&found);
        found.filter(|_| is_settled)
    });
    named.await.ok()
}

fn read(mut file: &File) -> Option<Holder> {
    let mut json = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut json).ok()?;
    serde_json::from_str(&json).ok()
}

fn is_alive(holder: &Holder) -> bool {
    // A negative number would mean a whole group of processes.
    let pid = (holder.pid > 0).then(|| Pid::from_raw(holder.pid)).flatten();
    pid.is_some_and(|pid| matches!(test_kill_process(pid), Ok(()) | Err(Errno::PERM)))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Names a holder for a message.
fn name(holder: Option<&Holder>, now: u64) -> impl fmt::Display {
    let Some(Holder { pid, command, since }) = holder else { return "another process".to_owned() };
    let seconds = now.saturating_sub(*since);
    let age = match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    };
    format!("process {pid} (`{}`, for {age})", command.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{self, Cmd};

    struct Place {
        _dir: tempfile::TempDir,
        path: Utf8PathBuf,
        lab: LabName,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = Utf8PathBuf::from_path_buf(dir.path().join("locks/web.lock")).unwrap();
            Self { _dir: dir, path, lab: LabName::parse("web").unwrap() }
        }

        async fn take(&self, wait: Option<Duration>) -> Result<Lock, LockError> {
            Lock::take(&self.path, &self.lab, "lab up --nodes 3", wait, &Stop::new()).await
        }

        /// Leaves the file as a process does that was killed while it held the lock.
        async fn leave_a_dead_holder(&self) -> i32 {
            let pid = exec::run(&Cmd::new("sh").arg("-c").arg("echo $$"), b"").await.unwrap().text();
            let pid = pid.parse().unwrap();
            let dead = Holder { pid, command: "lab down".to_owned(), since: 1 };
            fs::write(&self.path, serde_json::to_vec(&dead).unwrap(), fs::Access::Private).unwrap();
            pid
        }
    }

    #[tokio::test]
    async fn a_second_one_is_told_who_holds_the_lock() {
        let place = Place::new();
        let held = place.take(None).await.unwrap();
        let error = place.take(None).await.unwrap_err();
        let LockError::Busy { holder: Some(holder), .. } = &error else { panic!("{error}") };
        assert_eq!(holder.pid, rustix::process::getpid().as_raw_pid());
        let start = format!("lab `web` is being changed by process {} (`lab up --nodes 3`, for ", holder.pid);
        assert!(error.to_string().starts_with(&start), "{error}");
        assert!(error.hint().unwrap().contains("--wait-lock"));
        drop(held);
        place.take(None).await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_gets_the_lock_when_it_is_free() {
        let place = Place::new();
        let held = place.take(None).await.unwrap();
        let (waiting, ()) = tokio::join!(place.take(Some(Duration::from_secs(20))), async { drop(held) });
        waiting.unwrap();
    }

    #[tokio::test]
    async fn a_wait_ends_when_the_user_stops_it() {
        let place = Place::new();
        let _held = place.take(None).await.unwrap();
        let stop = Stop::new();
        let long = Some(Duration::from_mins(10));
        let waiting = Lock::take(&place.path, &place.lab, "lab down", long, &stop);
        let (waiting, ()) = tokio::join!(waiting, async { stop.cancel() });
        assert_eq!(waiting.unwrap_err().to_string(), "stopped while waiting for lab `web`");
    }

    #[tokio::test]
    async fn a_dead_holder_is_in_nobodys_way() {
        let place = Place::new();
        place.leave_a_dead_holder().await;
        place.take(None).await.unwrap();
    }

    #[tokio::test]
    async fn a_dead_holder_is_never_named_as_a_live_one() {
        let place = Place::new();
        let pid = place.leave_a_dead_holder().await;
        let nameless = open(&place.path).unwrap();
        nameless.try_lock().unwrap();
        let error = place.take(None).await.unwrap_err();
        assert_eq!(error.to_string(), "lab `web` is being changed by another process");
        assert_eq!(read(&nameless).unwrap().pid, pid, "the name was there to be read");
    }

    #[tokio::test]
    async fn a_lock_that_cannot_be_made_is_an_error_with_its_path() {
        let place = Place::new();
        fs::create_dir(&place.path).unwrap();
        let error = place.take(None).await.unwrap_err();
        assert_eq!(error.to_string(), format!("could not lock `{}`", place.path));
    }

    #[test]
    fn ages_are_told_in_fitting_units() {
        let holder = Holder { pid: 4711, command: "lab up".to_owned(), since: 1000 };
        for (now, want) in [(0, "0 s"), (1012, "12 s"), (1180, "3 min"), (1000 + 7200, "2 h")] {
            let told = name(Some(&holder), now).to_string();
            assert_eq!(told, format!("process 4711 (`lab up`, for {want})"));
        }
    }
}
