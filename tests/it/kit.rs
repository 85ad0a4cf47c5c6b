//! A place for one test: a home, a project folder, no engine, and nothing of the tester's environment.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Output, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lab");
/// Whom root becomes where a test is about what one may not do.
const NOBODY: u32 = 65534;

pub struct Sandbox {
    _dir: tempfile::TempDir,
    /// Stands for this folder in all output.
    top: Utf8PathBuf,
    cwd: Utf8PathBuf,
    program: Utf8PathBuf,
    env: Vec<(String, String)>,
}

/// How a program ended and what it said, with `/top` for the folder of the sandbox.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Sandbox {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let top = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        let cwd = top.join("home/shop");
        std::fs::create_dir_all(&cwd).unwrap();
        let sandbox = Self { _dir: dir, cwd, program: PROGRAM.into(), env: Vec::new(), top };
        let home = sandbox.top.join("home");
        sandbox.env("HOME", home.as_str()).env("DOCKER_HOST", "unix:///no/engine.sock")
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(other, _)| other != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.env.retain(|(other, _)| other != name);
        self
    }

    pub fn env_value(&self, name: &str) -> String {
        self.env.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// Runs `lab` in this folder of the sandbox.
    #[must_use]
    pub fn inside(mut self, folder: &str) -> Self {
        self.cwd = self.top.join(folder);
        std::fs::create_dir_all(&self.cwd).unwrap();
        self
    }

    /// Makes the sandbox one of an ordinary user, also where root runs the test.
    #[must_use]
    pub fn of_ordinary_user(mut self) -> Self {
        if is_root() {
            self.program = self.top.join("lab");
            std::fs::copy(PROGRAM, &self.program).unwrap();
            self.mode("", 0o755);
            for folder in ["", "home", "home/shop"] {
                chown(self.top.join(folder), Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        self
    }

    /// Writes a file of the project folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let mut file = std::fs::File::create(self.cwd.join(name)).unwrap();
        file.write_all(content.as_ref()).unwrap();
        self
    }

    pub fn mode(&self, path: &str, mode: u32) {
        std::fs::set_permissions(self.top.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn path(&self, name: &str) -> Utf8PathBuf {
        self.cwd.join(name)
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8(std::fs::read(self.cwd.join(name)).unwrap()).unwrap()
    }

    /// Returns all files and folders of the sandbox that a program may have made, sorted.
    pub fn tree(&self) -> Vec<String> {
        fn walk(folder: &Utf8Path, top: &Utf8Path, found: &mut Vec<String>) {
            for entry in folder.read_dir_utf8().unwrap() {
                let path = entry.unwrap().into_path();
                found.push(path.strip_prefix(top).unwrap().to_string());
                if path.is_dir() {
                    walk(&path, top, found);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.top.join("home"), &self.top, &mut found);
        found.sort();
        found
    }

    #[expect(clippy::disallowed_methods, reason = "tests run the program as a user does")]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(&self.cwd).env_clear().stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if self.program != PROGRAM {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    pub fn lab(&self, args: &[&str]) -> Run {
        self.read_run(self.command(args).output().unwrap())
    }

    fn read_run(&self, output: Output) -> Run {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(self.top.as_str(), "/top");
        Run {
            code: output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or_default()),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Returns what a person would see: each command, then its data, its talk and its code.
    pub fn transcript(&self, commands: &[&[&str]]) -> String {
        commands
            .iter()
            .map(|args| format!("$ lab {}\n{}\n", args.join(" "), self.lab(args).shown()))
            .collect()
    }
}

impl Run {
    /// Returns stdout as it is, stderr behind `! `, and the code unless it is 0.
    pub fn shown(&self) -> String {
        let talk: String =
            self.stderr.lines().map(|line| format!("! {line}").trim_end().to_owned() + "\n").collect();
        let code = if self.code == 0 { String::new() } else { format!("[exit {}]\n", self.code) };
        format!("{}{talk}{code}", self.stdout)
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{}", self.shown()))
    }

    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.shown());
        self
    }

    #[track_caller]
    pub fn fails(self, code: i32, stderr: &str) -> Self {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{}", self.shown());
        assert_eq!(self.stderr, stderr);
        self
    }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
