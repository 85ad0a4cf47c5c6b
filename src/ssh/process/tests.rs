//! What becomes of a command on a node: its streams, its end, and the loss of the way there.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use camino::Utf8Path;
use tokio::io::{ReadBuf, empty, repeat};
use tokio_util::task::AbortOnDropHandle;

use crate::fs;
use crate::ssh::fixture::Sshd;
use crate::wait::wait_until;

use super::*;

const MEGABYTE: u64 = 1 << 20;
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn codes_signals_and_both_outputs_return() {
    let sshd = Sshd::start().await;
    let session = sshd.session().await;
    for (line, code) in [("true", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143)] {
        assert_eq!(session.run_line(line, b"").await.unwrap().code, code, "{line}");
    }
    let output = session.run_line("cat; echo bad >&2; exit 4", b"good\n").await.unwrap();
    assert_eq!(output, Output { code: 4, stdout: b"good\n".to_vec(), stderr: b"bad\n".to_vec() });
}

#[tokio::test]
async fn hostile_arguments_arrive_as_they_are() {
    let sshd = Sshd::start().await;
    let session = sshd.session().await;
    let hostile = ["", " ", "it's", "\"$(id)\"", "`id`", "a\nb", "*", "~", "\\", "!x", "-n", "ü", ";#&|<>"];
    let cmd = Cmd::new("printf").arg("%s|").args(hostile).env("A", "$(id) 'x'").env("B", "");
    let output = session.run(&cmd, b"").await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{}|", hostile.join("|")));
    let cmd = Cmd::new("sh").arg("-c").arg("echo \"$A\" \"$B\"").env("A", "$(id) 'x'").env("B", "two  words");
    assert_eq!(session.run(&cmd, b"").await.unwrap().text(), "$(id) 'x' two  words");
}

#[test]
fn a_line_names_env_only_where_there_is_one() {
    assert_eq!(line(&Cmd::new("ls").arg("a b")), "ls 'a b'");
    assert_eq!(line(&Cmd::new("ls").env("A", "1 2")), "env 'A=1 2' ls");
}

#[tokio::test]
async fn twenty_commands_share_a_session() {
    let sshd = Sshd::start().await;
    let session = sshd.session().await;
    // Each ends only when all have begun, so none waits for another's end.
    let dir = sshd.dir();
    let line = |i| {
        format!(
            "touch {dir}/{i}.begun; until [ $(ls {dir}/*.begun | wc -l) = 20 ]; do sleep 0.05; done; echo {i}"
        )
    };
    let tasks: Vec<_> = (0..20)
        .map(|i| {
            let (session, line) = (session.clone(), line(i));
            AbortOnDropHandle::new(tokio::spawn(async move { session.run_line(&line, b"").await }))
        })
        .collect();
    for (i, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap().unwrap().text(), i.to_string());
    }
}

/// Returns the memory that this process holds, or, of `VmHWM`, has ever held.
fn memory(which: &str) -> u64 {
    let status = fs::read_to_string(Utf8Path::new("/proc/self/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(which)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn megabytes(count: u64) -> impl AsyncRead + Unpin + Send {
    repeat(b'x').take(count * MEGABYTE)
}

/// Reads a command to its end; returns its code and how many bytes it printed.
async fn count(mut process: Process<'_>) -> (i32, u64) {
    let mut bytes = 0;
    loop {
        match process.next().await.unwrap() {
            Event::Stdout(part) => bytes += part.len() as u64,
            Event::Stderr(text) => panic!("{}", String::from_utf8_lossy(&text)),
            Event::Exit(code) => return (code, bytes),
        }
    }
}

#[tokio::test]
async fn two_hundred_megabytes_pass_both_ways_in_less_memory() {
    let sshd = Sshd::start().await;
    let session = sshd.session().await;
    let before = memory("VmRSS");
    let process = session.start("cat", megabytes(200)).await.unwrap();
    assert_eq!(count(process).await, (0, 200 * MEGABYTE));
    // Other tests in this process take some, too.
    let growth = memory("VmHWM").saturating_sub(before);
    assert!(growth < 150 * MEGABYTE, "{} MiB", growth / MEGABYTE);
}

/// Waits until a number has stopped growing, and returns it.
async fn settled(what: &str, mut number: impl FnMut() -> u64) -> u64 {
    let mut last = 0;
    wait_until(what, LIMIT, Duration::from_millis(200), async || {
        let now = number();
        let settled = now > 0 && now == last;
        last = now;
        settled.then_some(now)
    })
    .await
    .unwrap()
}

/// Counts what is read of an input.
struct Counted<T>(Arc<AtomicU64>, T);

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.1).poll_read(cx, buf);
        self.0.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

#[tokio::test]
async fn input_waits_for_a_command_that_does_not_read() {
    let sshd = Sshd::start().await;
    let session = sshd.session().await;
    let go = sshd.dir().join("go");
    let read = Arc::new(AtomicU64::new(0));
    let let_go = async {
        let held = settled("no more input is read", || read.load(Ordering::Relaxed)).await;
        assert!(held < 10 * MEGABYTE, "{held}");
        fs::write(&go, "", fs::Access::Public).unwrap();
    };
    let line = format!("until [ -e {go} ]; do sleep 0.05; done; cat");
    let process = session.start(&line, Counted(read.clone(), megabytes(200))).await.unwrap();
    let (counted, ()) = tokio::join!(count(process), let_go);
    assert_eq!(counted, (0, 200 * MEGABYTE));
}

#[tokio::test]
async fn a_command_waits_for_a_reader_that_is_slow() {
    let sshd = Sshd::start().await;
    let session = sshd.session().await;
    let progress = sshd.dir().join("progress");
    let line = format!("for i in $(seq 50); do head -c {MEGABYTE} /dev/zero; echo $i > {progress}; done");
    let written = || {
        let text = fs::read_if_present(&progress).unwrap().unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    };
    let process = session.start(&line, empty()).await.unwrap();
    let written = settled("the command stands still", written).await;
    assert!(written < 30, "{written}");
    assert_eq!(count(process).await, (0, 50 * MEGABYTE));
}

#[tokio::test]
async fn a_command_that_leaves_its_input_unread_still_ends() {
    let sshd = Sshd::start().await;
    let session = sshd.session().await;
    let process = session.start("exit 9", megabytes(200)).await.unwrap();
    assert_eq!(count(process).await, (9, 0));
}

#[tokio::test]
async fn a_command_that_we_drop_sees_its_input_end() {
    let sshd = Sshd::start().await;
    let session = sshd.session().await;
    let ended = sshd.dir().join("ended");
    let (endless, _keep) = tokio::io::duplex(1);
    let mut process = session.start(&format!("echo begun; cat; touch {ended}"), endless).await.unwrap();
    assert_eq!(process.next().await.unwrap(), Event::Stdout(b"begun\n".to_vec()));
    drop(process);
    let gone = async || ended.exists().then_some(());
    wait_until("the command has ended", LIMIT, Duration::from_millis(10), gone).await.unwrap();
}

#[tokio::test]
async fn input_that_cannot_be_read_is_no_end_of_input() {
    let sshd = Sshd::start().await;
    let session = sshd.session().await;
    let broken = futures_util::stream::iter([Err::<&[u8], _>(io::Error::other("the file shrank"))]);
    let input = tokio_util::io::StreamReader::new(broken);
    let error = session.start("cat", input).await.unwrap().next().await.unwrap_err();
    assert_eq!(error.to_string(), "could not read what to send to `core-01`");
}
