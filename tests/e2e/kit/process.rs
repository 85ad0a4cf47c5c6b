//! Commands on this host, each with a limit, and how they ended.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use lab::exec::Cmd;
use rustix::process::{Pid, Signal, kill_process};

use super::wait::{patient, try_until, wait_until};

/// Far more than anything takes that does not hang, even images that are built from packages for the first time.
const LIMIT: Duration = Duration::from_mins(6);

/// A command that has ended.
#[derive(Debug, Clone)]
pub struct Run {
    pub line: String,
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A command under way; dropped, it is killed.
pub struct Running {
    line: String,
    child: Child,
    stdout: Stream,
    stderr: Stream,
}

/// What a command prints, read as it comes.
struct Stream {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Run {
    /// Runs a command to its end.
    #[track_caller]
    pub fn of(cmd: &Cmd, folder: &Path) -> Self {
        Running::start(cmd, folder).finish()
    }

    /// Returns what the command printed; any end but a good one is a failure.
    #[track_caller]
    pub fn ok(&self) -> String {
        assert_eq!(self.code, Some(0), "{self}");
        self.stdout.trim_end().to_owned()
    }

    #[track_caller]
    pub fn ends_with(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Looks for a part of what the command said beside its data.
    #[track_caller]
    pub fn says(&self, part: &str) -> &Self {
        assert!(self.stderr.contains(part), "`{part}` is not said: {self}");
        self
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, code, signal, stdout, stderr } = self;
        writeln!(f, "$ {line}\n(code {code:?}, signal {signal:?})\n--- stdout\n{stdout}--- stderr\n{stderr}")
    }
}

impl Running {
    #[expect(clippy::disallowed_methods, reason = "a test has to see streams, codes and signals of its own")]
    #[track_caller]
    pub fn start(cmd: &Cmd, folder: &Path) -> Self {
        let mut command = Command::new(cmd.program());
        // Whoever runs the tests may have chosen another lab, or colours.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LAB_")) {
            command.env_remove(name);
        }
        command.args(cmd.arguments()).envs(cmd.environment().iter().cloned()).current_dir(folder);
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("could not start `{cmd}`: {error}"));
        Self {
            line: cmd.to_string(),
            stdout: Stream::read(child.stdout.take().expect("stdout is piped")),
            stderr: Stream::read(child.stderr.take().expect("stderr is piped")),
            child,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the command says something on stderr.
    #[track_caller]
    pub fn wait_until_says(&mut self, part: &str) -> &mut Self {
        wait_until(&format!("`{}` says `{part}`", self.line), || {
            self.stderr.so_far().contains(part).then_some(())
        });
        self
    }

    #[track_caller]
    pub fn signal(&mut self, signal: Signal) -> &mut Self {
        assert!(
            self.child.try_wait().is_ok_and(|ended| ended.is_none()),
            "`{}` has ended already",
            self.line
        );
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).expect("a child has a number");
        kill_process(pid, signal).expect("a child may be signalled");
        self
    }

    #[track_caller]
    pub fn finish(mut self) -> Run {
        let Some(status) =
            try_until(patient(LIMIT), || self.child.try_wait().expect("a child can be waited for"))
        else {
            panic!("`{}` hangs; it said:\n{}", self.line, self.stderr.so_far());
        };
        let (stdout, stderr) = (self.stdout.whole(), self.stderr.whole());
        let line = std::mem::take(&mut self.line);
        Run { line, code: status.code(), signal: status.signal(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended and was waited for cannot be killed, and need not be.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Stream {
    fn read(mut from: impl Read + Send + 'static) -> Self {
        let text = Arc::<Mutex<Vec<u8>>>::default();
        let kept = text.clone();
        let reader = spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut part) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend(&part[..length]);
            }
        });
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Returns all of it. What the command left running may hold the stream open, and is not waited for.
    fn whole(&self) -> String {
        try_until(Duration::from_secs(2), || self.reader.is_finished().then_some(()));
        self.so_far()
    }
}
