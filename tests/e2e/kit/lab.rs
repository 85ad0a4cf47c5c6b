//! One lab of one test: its own project folder, its own state folder, a name that no one else uses.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use lab::checkpoint::Checkpoint;
use lab::config::{StateDir, VagrantProvider};
use lab::exec::Cmd;
use lab::fs;
use lab::model::LabName;
use tempfile::TempDir;

use super::{Engine, Run, Running, Status, vagrant};

const LAB: &str = env!("CARGO_BIN_EXE_lab");

pub struct TestLab {
    name: String,
    engine: Engine,
    /// Holds the project, the state folder, and whatever a test puts beside them.
    folder: Arc<TempDir>,
    /// What commands are told besides.
    environment: Vec<(String, String)>,
    /// All commands and what became of them.
    transcript: Mutex<String>,
}

impl TestLab {
    /// Prepares a lab of which nothing exists yet.
    #[track_caller]
    pub fn new(topic: &str) -> Self {
        Self::on(Engine::of_host(), topic)
    }

    #[track_caller]
    pub fn on(engine: Engine, topic: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self::in_folder(Arc::new(folder), engine, topic, Vec::new())
    }

    /// Prepares a lab whose nodes Vagrant makes, with files of its own.
    #[track_caller]
    pub fn vagrant(topic: &str, below: VagrantProvider) -> Self {
        vagrant::is_installed();
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let environment = vagrant::environment(folder.path(), below);
        Self::in_folder(Arc::new(folder), Engine::of_host(), topic, environment)
    }

    /// Prepares another lab of the same kind in the same project.
    #[track_caller]
    pub fn beside(&self, topic: &str) -> Self {
        Self::in_folder(self.folder.clone(), self.engine.clone(), topic, self.environment.clone())
    }

    #[track_caller]
    fn in_folder(
        folder: Arc<TempDir>,
        engine: Engine,
        topic: &str,
        environment: Vec<(String, String)>,
    ) -> Self {
        let name = format!("e2e-{topic}-{}", std::process::id());
        let lab = Self { name, engine, folder, environment, transcript: Mutex::default() };
        fs::create_dir(&lab.project()).expect("a folder can be made");
        lab.ok(["down", "-y"]);
        lab
    }

    /// Boots a lab of this many nodes.
    #[track_caller]
    pub fn with_nodes(topic: &str, count: usize) -> Self {
        let lab = Self::new(topic);
        lab.ok(["up", "--nodes", &count.to_string()]);
        lab
    }

    /// Has all commands know one more variable.
    pub fn tell(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns a place for files of the test, outside of the project.
    pub fn file(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).expect("the temporary folder is UTF-8").join(name)
    }

    pub fn project(&self) -> Utf8PathBuf {
        self.file("project")
    }

    /// Returns the folder of the caches of this test alone.
    pub fn cache(&self) -> Utf8PathBuf {
        self.file("cache")
    }

    /// Returns the store of images.
    pub fn store(&self) -> Utf8PathBuf {
        self.cache().join("lab/store")
    }

    /// Writes a file of the project.
    #[track_caller]
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        fs::write(&self.project().join(path), text, fs::Access::Public).expect("the project is ours");
    }

    pub fn files(&self) -> StateDir {
        StateDir::new(&self.project(), &LabName::parse(&self.name).expect("the name is a lab's"))
    }

    /// Returns the folder in which plain `vagrant` works on the lab.
    pub fn vagrant_folder(&self) -> Utf8PathBuf {
        self.files().folder().join("vagrant")
    }

    /// Returns where this user's labs are written down that Vagrant made.
    fn index(&self) -> Utf8PathBuf {
        self.file("state/lab/machines").join(format!("{}.json", self.name))
    }

    /// Returns the name of a node's container.
    pub fn machine(&self, node: &str) -> String {
        format!("lab-{}-{node}", self.name)
    }

    /// Names the nodes that the lab is to have, as it remembers them.
    #[track_caller]
    pub fn nodes(&self) -> Vec<String> {
        let state = self.files().load().expect("the state can be read").expect("the lab is there");
        state.topology.nodes.iter().map(|node| node.name.to_string()).collect()
    }

    pub fn cmd<T: Into<String>>(&self, args: impl IntoIterator<Item = T>) -> Cmd {
        self.in_lab(Cmd::new(LAB).args(args))
    }

    /// Lets a command find the lab as `lab` itself does.
    pub fn in_lab(&self, cmd: Cmd) -> Cmd {
        let cmd = cmd.env("LAB_LAB", &self.name).env("XDG_STATE_HOME", self.file("state"));
        // What runs in a lab is what its test puts there.
        let cmd = cmd.env("XDG_CACHE_HOME", self.cache()).env("LAB_STACK", "none");
        let cmd = self.environment.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value));
        self.engine.reaching(cmd)
    }

    #[track_caller]
    pub fn start<T: Into<String>>(&self, args: impl IntoIterator<Item = T>) -> Running {
        Running::start(&self.cmd(args), self.project().as_std_path())
    }

    /// Runs `lab` to its end, whatever that is.
    #[track_caller]
    pub fn run<T: Into<String>>(&self, args: impl IntoIterator<Item = T>) -> Run {
        self.run_cmd(&self.cmd(args))
    }

    /// Runs any command in the project's folder.
    #[track_caller]
    pub fn run_cmd(&self, cmd: &Cmd) -> Run {
        let run = Run::of(cmd, self.project().as_std_path());
        *self.transcript.lock().unwrap_or_else(PoisonError::into_inner) += &run.to_string();
        run
    }

    /// Runs `lab` to a good end and returns what it printed.
    #[track_caller]
    pub fn ok<T: Into<String>>(&self, args: impl IntoIterator<Item = T>) -> String {
        self.run(args).ok()
    }

    /// Runs `lab` until it kills itself at a checkpoint, which it has to reach.
    #[track_caller]
    pub fn kill_at<T: Into<String>>(&self, at: Checkpoint, args: impl IntoIterator<Item = T>) {
        let run = self.run_cmd(&self.cmd(args).env("LAB_TEST_KILL_AT", at.name()));
        assert_eq!(run.signal, Some(9), "`{}` was not reached: {run}", at.name());
    }

    /// Runs a line of shell on a node, which may fail.
    #[track_caller]
    pub fn try_sh(&self, node: &str, line: &str) -> Run {
        let run = self.run(["exec", node, "--output=json", "--", line]);
        let ended: serde_json::Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run}"));
        let text = |key: &str| ended[0][key].as_str().unwrap_or_default().to_owned();
        let code = ended[0]["code"].as_i64().and_then(|code| i32::try_from(code).ok());
        Run { line: format!("{node}: {line}"), code, stdout: text("stdout"), stderr: text("stderr"), ..run }
    }

    /// Runs a line of shell on a node to a good end and returns what it printed.
    #[track_caller]
    pub fn sh(&self, node: &str, line: &str) -> String {
        self.try_sh(node, line).ok()
    }

    /// Runs a line of shell on every node to a good end, and returns what each printed.
    #[track_caller]
    pub fn everywhere(&self, line: &str) -> BTreeMap<String, String> {
        let run = self.run(["exec", "--all", "--output=json", "--", line]);
        let ended: Vec<serde_json::Value> =
            serde_json::from_str(&run.ok()).unwrap_or_else(|_| panic!("{run}"));
        let text =
            |one: &serde_json::Value, key: &str| one[key].as_str().unwrap_or_default().trim_end().to_owned();
        ended.iter().map(|one| (text(one, "node"), text(one, "stdout"))).collect()
    }

    #[track_caller]
    pub fn status(&self) -> Status {
        Status::of(&self.run(["status", "--output=json"]))
    }

    /// Checks that there are exactly nodes 1 to `count`, and that the lab serves in full.
    #[track_caller]
    pub fn healthy(&self, count: usize) -> Status {
        let run = self.run(["status", "--output=json"]);
        run.ok();
        let status = Status::of(&run);
        let want: Vec<String> = (1..=count).map(|index| format!("core-{index:02}")).collect();
        assert_eq!(status.names(), want, "{run}");
        assert!(status.etcd.has_quorum && status.etcd.leader.is_some(), "{run}");
        for node in &status.nodes {
            assert_eq!((node.state.as_str(), node.health().trouble()), ("running", None), "{run}");
        }
        status
    }

    /// Checks that nothing is left of the lab: on the engine, in the project, of the user, or at work.
    #[track_caller]
    pub fn gone(&self) {
        assert_eq!(self.engine.left_of(&self.name), [""; 0]);
        assert_eq!(vagrant::processes_about(&self.vagrant_folder()), [""; 0]);
        assert!(!self.index().exists(), "the lab is still written down");
        assert!(!self.files().folder().exists(), "the lab's own files are left");
    }

    fn keep_logs(&self) {
        let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("target/e2e-logs").join(&self.name);
        let transcript = folder.join("transcript");
        let text = self.transcript.lock().unwrap_or_else(PoisonError::into_inner).clone();
        drop(fs::write(&transcript, text, fs::Access::Public));
        self.engine.keep_logs(&self.name, &folder);
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.ok(["down", "-y"]);
            self.ok(["images", "prune"]);
            return;
        }
        // A second panic would end the process, and with it all that other tests still have to remove.
        drop(catch_unwind(AssertUnwindSafe(|| self.keep_logs())));
        drop(catch_unwind(AssertUnwindSafe(|| self.run(["down", "-y"]))));
        drop(catch_unwind(AssertUnwindSafe(|| self.run(["images", "prune"]))));
    }
}
