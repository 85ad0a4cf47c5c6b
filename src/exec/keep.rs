//! Runs a program that must not be left to itself: whoever wanted it holds our standard input open, and when
//! that closes, however it came to, the program is ended in order.
//!
//! It is the work of a process of its own, so that it is done also for one that was killed.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use camino::Utf8Path;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::{Cmd, Error};

/// What a program has to end in after the first wish, and after the second.
type Graces = [Duration; 2];
const GRACES: Graces = [Duration::from_secs(30), Duration::from_secs(5)];
/// What outlives the program may hold its output open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs a program to its end and returns its code. All that it says goes to `log`, and to our own output as long
/// as somebody reads that. `held` is locked, shared with others, until it has ended.
pub async fn keep(cmd: &Cmd, log: &Utf8Path, held: &Utf8Path) -> Result<i32, Error> {
    keep_until(wanted_no_more(), GRACES, cmd, log, held).await
}

#[expect(clippy::disallowed_methods, reason = "this is a runner that the rule asks for")]
async fn keep_until(
    wanted_no_more: impl Future<Output = ()>,
    graces: Graces,
    cmd: &Cmd,
    log: &Utf8Path,
    held: &Utf8Path,
) -> Result<i32, Error> {
    let start = |source| Error::Start { cmd: Box::new(cmd.clone()), source };
    let lock = File::options().create(true).append(true).open(held).map_err(start)?;
    lock.lock_shared().map_err(start)?;
    let log = File::options().create(true).append(true).open(log).map_err(start)?;
    // A shell has what it starts in the background ignore Ctrl-C, and what is ignored stays so in programs that are
    // started from there. What is listened to does not, and then the program hears it.
    let _heard = signal(SignalKind::interrupt()).map_err(start)?;
    // A group of its own: the terminal's Ctrl-C is for whoever wanted it, and passed on from here.
    let mut child = tokio::process::Command::new(cmd.program())
        .args(cmd.arguments())
        .envs(cmd.environment().iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(start)?;
    let copy = log.try_clone().map_err(start)?;
    let stdout = tokio::spawn(pass_on(child.stdout.take().expect("it is piped"), log, io::stdout()));
    let stderr = tokio::spawn(pass_on(child.stderr.take().expect("it is piped"), copy, io::stderr()));
    let status = tokio::select! {
        status = child.wait() => status,
        () = wanted_no_more => end(&mut child, graces).await,
    };
    drop(timeout(LAST_WORDS, async { tokio::join!(stdout, stderr) }).await);
    Ok(code(status.map_err(start)?))
}

/// Reads our standard input until it closes; nothing is ever written to it.
async fn wanted_no_more() {
    let mut rest = Vec::new();
    drop(tokio::io::stdin().read_to_end(&mut rest).await);
}

/// Asks twice, as people do, and then insists.
async fn end(child: &mut Child, graces: Graces) -> io::Result<ExitStatus> {
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let send = |signal| {
        // It may have ended in this moment, and its group with it.
        group.and_then(|group| kill_process_group(group, signal).ok())
    };
    for grace in graces {
        send(Signal::INT);
        if let Ok(status) = timeout(grace, child.wait()).await {
            return status;
        }
    }
    send(Signal::KILL);
    child.wait().await
}

/// Copies line by line. Where nobody reads any more, the log still does.
async fn pass_on(from: impl AsyncRead + Unpin, mut log: File, mut to: impl Write) {
    let mut lines = BufReader::new(from);
    let mut line = Vec::new();
    let mut is_heard = true;
    while matches!(lines.read_until(b'\n', &mut line).await, Ok(1..)) {
        // A full disk must not stop the program whose words these are.
        drop(log.write_all(&line));
        is_heard = is_heard && to.write_all(&line).and_then(|()| to.flush()).is_ok();
        line.clear();
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Waits until nothing is kept under this lock any more; returns whether that came to be.
pub async fn until_all_ended(held: &Utf8Path, limit: Duration) -> bool {
    const EVERY: Duration = Duration::from_millis(50);
    let Ok(file) = File::options().append(true).open(held) else { return true };
    let free = async {
        while file.try_lock().is_err() {
            sleep(EVERY).await;
        }
    };
    timeout(limit, free).await.is_ok()
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Instant;

    use camino::Utf8PathBuf;
    use tokio::sync::oneshot;

    use super::*;

    const SHORT: Graces = [Duration::from_millis(100), Duration::from_millis(50)];
    const LONG: Graces = [Duration::from_mins(1); 2];

    fn read(path: &Utf8Path) -> String {
        String::from_utf8(std::fs::read(path).unwrap_or_default()).unwrap()
    }

    struct Desk {
        _dir: tempfile::TempDir,
        top: Utf8PathBuf,
    }

    impl Desk {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let top = Utf8Path::from_path(dir.path()).unwrap().to_owned();
            Self { _dir: dir, top }
        }

        /// Keeps a line of shell, which is not wanted any more as soon as it said `ready`.
        async fn keep(&self, line: &str, graces: Graces) -> i32 {
            let said = async {
                while !self.log().contains("ready") {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            self.keep_until(said, line, graces).await
        }

        async fn keep_until(&self, until: impl Future<Output = ()>, line: &str, graces: Graces) -> i32 {
            let (log, held) = (self.top.join("log"), self.top.join("held"));
            keep_until(until, graces, &Cmd::new("sh").arg("-c").arg(line), &log, &held).await.unwrap()
        }

        fn log(&self) -> String {
            read(&self.top.join("log"))
        }

        /// A program that another test starts in this moment has the lock too, until it is another program.
        async fn is_free(&self, limit: Duration) -> bool {
            until_all_ended(&self.top.join("held"), limit).await
        }
    }

    #[tokio::test]
    async fn a_program_ends_as_it_likes() {
        for (line, want) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + 15)] {
            let desk = Desk::new();
            assert_eq!(desk.keep_until(pending(), line, LONG).await, want, "{line}");
            assert!(desk.is_free(Duration::from_secs(10)).await);
        }
    }

    #[tokio::test]
    async fn all_that_it_says_is_in_the_log() {
        let desk = Desk::new();
        File::create(desk.top.join("log")).unwrap().write_all(b"$ begun\n").unwrap();
        let line = "echo one; echo two >&2; printf 'no end'";
        assert_eq!(desk.keep_until(pending(), line, LONG).await, 0);
        let log = desk.log();
        let mut lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.remove(0), "$ begun");
        lines.sort_unstable();
        assert!(log.contains("one\n") && log.contains("two\n") && log.contains("no end"), "{log}");
    }

    #[tokio::test]
    async fn one_that_heeds_the_first_wish_is_asked_once() {
        let desk = Desk::new();
        let line = "trap 'echo asked; exit 3' INT; echo ready; while :; do sleep 0.02; done";
        assert_eq!(desk.keep(line, LONG).await, 3);
        assert_eq!(desk.log(), "ready\nasked\n");
    }

    #[tokio::test]
    async fn one_that_heeds_the_second_wish_is_asked_twice() {
        let desk = Desk::new();
        let line = "trap 'echo asked; trap \"echo again; exit 4\" INT' INT; echo ready; \
                    while :; do sleep 0.02; done";
        assert_eq!(desk.keep(line, [SHORT[0], LONG[1]]).await, 4);
        assert_eq!(desk.log(), "ready\nasked\nagain\n");
    }

    #[tokio::test]
    async fn one_that_heeds_nothing_is_killed_with_all_that_it_started() {
        let desk = Desk::new();
        let line = "trap 'echo asked' INT; sh -c 'trap \"\" INT; while :; do sleep 0.02; done' & \
                    echo child $!; echo ready; while :; do sleep 0.02; done";
        assert_eq!(desk.keep(line, SHORT).await, 128 + 9);
        let log = desk.log();
        // It is asked twice; a host that is busy may not let it answer in between.
        assert!(log.contains("asked"), "{log}");
        let child = log.lines().find_map(|line| line.strip_prefix("child ")).unwrap();
        let ended = async {
            // Whoever takes care of orphans may do so late.
            let stat = Utf8PathBuf::from(format!("/proc/{child}/stat"));
            let is_gone = || {
                let stat = read(&stat);
                stat.is_empty() || stat.contains(") Z ")
            };
            while !is_gone() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), ended).await.unwrap();
    }

    #[tokio::test]
    async fn the_lock_is_held_until_the_end() {
        let desk = Desk::new();
        let (let_go, gone) = oneshot::channel::<()>();
        let line = "trap 'sleep 0.2; echo done; exit 0' INT; echo ready; while :; do sleep 0.02; done";
        let until = async { drop(gone.await) };
        let watch = async {
            while !desk.log().contains("ready") {
                sleep(Duration::from_millis(5)).await;
            }
            assert!(!desk.is_free(Duration::ZERO).await, "it runs");
            let_go.send(()).unwrap();
            let since = Instant::now();
            assert!(until_all_ended(&desk.top.join("held"), Duration::from_secs(10)).await);
            assert!(desk.log().contains("done"), "it was still at work for {:?}", since.elapsed());
        };
        let (code, ()) = tokio::join!(desk.keep_until(until, line, LONG), watch);
        assert_eq!(code, 0);
    }

    #[tokio::test]
    async fn what_outlives_the_program_is_not_waited_for() {
        let desk = Desk::new();
        let since = Instant::now();
        assert_eq!(desk.keep_until(pending(), "sleep 5 & exit 2", LONG).await, 2);
        assert!(since.elapsed() < Duration::from_secs(4));
    }
}
