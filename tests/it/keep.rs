//! The keeper, which ends a program in order when whoever wanted it is gone. Who heeds no wish is in `src/exec`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::kit::Sandbox;

const LIMIT: Duration = Duration::from_secs(10);

/// Starts the keeper of a line of shell.
fn keep(sandbox: &Sandbox, line: &str) -> Child {
    let (log, held) = (sandbox.path("log"), sandbox.path("held"));
    let words = ["keep", "--log", log.as_str(), "--held", held.as_str(), "--", "/bin/sh", "-c", line];
    let mut command = sandbox.command(&words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < end, "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn says(sandbox: &Sandbox, part: &str) -> bool {
    std::fs::read(sandbox.path("log")).is_ok_and(|log| String::from_utf8_lossy(&log).contains(part))
}

const HEEDS: &str = "trap 'echo asked; exit 3' INT; echo ready; while :; do sleep 0.02; done";

#[test]
fn codes_and_words_are_passed_on_and_written_down() {
    let sandbox = Sandbox::new();
    let mut child = keep(&sandbox, "echo out; echo err >&2; exit 7");
    // Waiting would close it, and with it the program's time were up.
    let held = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(held);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    let mut log: Vec<String> = sandbox.read("log").lines().map(str::to_owned).collect();
    log.sort();
    assert_eq!(log, ["err", "out"]);
}

#[test]
fn a_program_is_asked_to_end_when_standard_input_closes() {
    let sandbox = Sandbox::new();
    let mut child = keep(&sandbox, HEEDS);
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    assert!(child.try_wait().unwrap().is_none());
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "asked\n");
}

#[test]
fn what_is_said_when_nobody_reads_any_more_is_written_down() {
    let sandbox = Sandbox::new();
    let mut child = keep(&sandbox, "echo ready; sleep 0.2; for i in 1 2 3; do echo line $i; done; exit 5");
    wait_until("it is ready", || says(&sandbox, "ready"));
    // Waiting would close our end of its standard input.
    let held = child.stdin.take();
    drop(child.stdout.take());
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(5));
    drop(held);
    assert_eq!(sandbox.read("log"), "ready\nline 1\nline 2\nline 3\n");
}
