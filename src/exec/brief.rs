//! Runs a command that has little time, and of whose words only the first are kept.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

use super::local::process;
use super::{Cmd, Error, Output};

/// Runs a command to its end, whatever its code. Returns `None` for one that takes longer than `limit`. It is killed
/// then, as is all that it started, also when nobody waits for it any more. Of its output the first `most` bytes are
/// kept.
pub async fn run_briefly(cmd: &Cmd, limit: Duration, most: usize) -> Result<Option<Output>, Error> {
    let deadline = Instant::now() + limit;
    let start = |source| Error::Start { cmd: Box::new(cmd.clone()), source };
    let mut child = process(cmd).stdin(Stdio::null()).process_group(0).spawn().map_err(start)?;
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let pipes = (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let reading = async {
        tokio::join!(read_first(pipes.0, &mut stdout, most), read_first(pipes.1, &mut stderr, most));
    };
    let ending = async {
        let status = child.wait().await;
        // What it left behind may hold its output open.
        drop(group);
        status
    };
    let ended = timeout_at(deadline, async { tokio::join!(ending, reading).0 }).await;
    let Ok(status) = ended else { return Ok(None) };
    let status = status.map_err(start)?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(Some(Output { code, stdout, stderr }))
}

/// Reads to the end and keeps the beginning: a program whose words nobody takes would wait for ever.
async fn read_first(mut from: impl AsyncRead + Unpin, kept: &mut Vec<u8>, most: usize) {
    let mut buffer = vec![0; 8 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        kept.extend(&buffer[..count.min(most - kept.len())]);
    }
}

/// A command and all that it started, killed when this goes.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Mostly all of it has ended.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn read(path: &str) -> String {
        String::from_utf8(std::fs::read(path).unwrap_or_default()).unwrap()
    }

    fn script(text: &str) -> Cmd {
        Cmd::new("sh").arg("-c").arg(text)
    }

    #[tokio::test]
    async fn a_command_ends_with_its_code_and_its_first_words() {
        let cmd = script("echo $WHO; seq 100000; echo no >&2; exit 3").env("WHO", "me");
        let output = run_briefly(&cmd, LONG, 4).await.unwrap().unwrap();
        assert_eq!((output.code, output.stdout, output.stderr), (3, b"me\n1".to_vec(), b"no\n".to_vec()));
        let killed = run_briefly(&script("kill -9 $$"), LONG, 9).await.unwrap().unwrap();
        assert_eq!(killed.code, 137);
        assert!(run_briefly(&Cmd::new("no-such-program"), LONG, 9).await.unwrap_err().is_program_missing());
    }

    #[tokio::test]
    async fn what_it_started_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let all = [
            ("left", "sleep 1000 & echo $! > ", "", LONG, Some(0)),
            ("late", "sleep 1000 & echo $! > ", "; wait", Duration::from_millis(300), None),
        ];
        for (name, before, after, limit, want) in all {
            let output =
                run_briefly(&script(&format!("{before}{}{after}", at(name))), limit, 9).await.unwrap();
            assert_eq!(output.map(|output| output.code), want, "{name}");
            let pid = read(&at(name));
            let stat = format!("/proc/{}/stat", pid.trim());
            // Where nobody asks for its end, it stays as a zombie.
            let is_there = || {
                let stat = read(&stat);
                !stat.is_empty() && !stat.contains(") Z ")
            };
            let ended = async {
                while is_there() {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(LONG, ended).await.unwrap();
        }
    }
}
