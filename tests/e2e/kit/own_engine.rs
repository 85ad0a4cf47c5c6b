//! An engine that a test may kill: in namespaces of its own, so that nothing of the host's is touched.

use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};
use lab::exec::Cmd;
use lab::fs;
use rustix::process::Signal;
use tempfile::TempDir;

use super::{Engine, Run, Running, wait_until};

pub struct OwnEngine {
    /// The first process of the namespaces; with it everything in them ends.
    namespaces: Running,
    daemon: Option<Running>,
    /// Holds the socket, whose path has to be short.
    folder: TempDir,
    data: Utf8PathBuf,
}

/// Becomes the first process of namespaces whose /run is empty: no containerd of the host is found in it.
const HOLD: &str =
    "mount -t tmpfs none /run && ip link set lo up && echo ready >&2 && while :; do sleep 1; done";

impl OwnEngine {
    #[track_caller]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let data = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("engine-{}", std::process::id()));
        fs::create_dir(&data).expect("the target folder is ours");
        let unshare =
            ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", HOLD];
        let mut namespaces = Running::start(&Cmd::new("unshare").args(unshare), Path::new("/"));
        namespaces.wait_until_says("ready");
        let mut engine = Self { namespaces, daemon: None, folder, data };
        engine.start_daemon();
        engine
    }

    /// Returns how to reach it.
    pub fn engine(&self) -> Engine {
        Engine { host: Some(format!("unix://{}", self.socket())), network_of: Some(self.first_process()) }
    }

    fn socket(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).expect("the temporary folder is UTF-8").join("docker.sock")
    }

    /// Returns the host's number of the first process; `unshare` is its parent.
    fn first_process(&self) -> u32 {
        let parent = self.namespaces.id();
        let children = Utf8PathBuf::from(format!("/proc/{parent}/task/{parent}/children"));
        let children = fs::read_to_string(&children).expect("a process that runs is listed");
        children.trim().parse().expect("unshare has one child")
    }

    #[track_caller]
    pub fn start_daemon(&mut self) {
        let inside = ["--net", "--mount", "--pid", "--target"].map(str::to_owned);
        let cmd = Cmd::new("nsenter").args(inside).arg(self.first_process().to_string());
        // What a killed daemon left behind would hold the next one up.
        let script = "rm -f /run/docker.pid /run/docker/containerd/*.pid; exec dockerd \"$@\"";
        let cmd = cmd.args(["sh", "-c", script, "sh", "--host", &format!("unix://{}", self.socket())]);
        let cmd = cmd.args(["--data-root", self.data.as_str(), "--log-level", "warn"]);
        self.daemon = Some(Running::start(&cmd, Path::new("/")));
        let engine = self.engine();
        wait_until("the engine of the test answers", || {
            (engine.try_docker(["version"]).code == Some(0)).then_some(())
        });
    }

    /// Ends the daemon as a crash would; its containers are left to themselves.
    #[track_caller]
    pub fn kill_daemon(&mut self) -> Run {
        // `nsenter` waits for the daemon and is not killed with it.
        let first = self.first_process().to_string();
        let kill = ["--pid", "--mount", "--target", &first, "pkill", "-KILL", "-x", "dockerd"];
        Run::of(&Cmd::new("nsenter").args(kill), Path::new("/")).ok();
        self.daemon.take().expect("the daemon runs").finish()
    }

    /// Gives it images that the engine of the host has.
    #[track_caller]
    pub fn load(&self, images: &[&str]) {
        let host = self.engine().host.expect("it has a socket");
        let script = "set -o pipefail; socket=$1; shift; docker save \"$@\" | docker --host \"$socket\" load";
        let cmd = Cmd::new("bash").args(["-c", script, "bash", &host]).args(images.iter().copied());
        Run::of(&cmd, Path::new("/")).ok();
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        let first = i32::try_from(self.first_process()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(first) = first {
            rustix::process::kill_process(first, Signal::KILL).ok();
        }
        let data = &self.data;
        // Mounts of containers vanish with their namespace, a moment after its last process.
        let removed =
            super::wait::try_until(std::time::Duration::from_secs(20), || fs::remove_dir(data).ok());
        assert!(removed.is_some() || std::thread::panicking(), "`{data}` could not be removed");
    }
}
