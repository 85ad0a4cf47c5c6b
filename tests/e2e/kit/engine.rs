//! The engine that nodes run on, asked behind the back of `lab`.

use std::path::Path;

use camino::Utf8Path;
use lab::exec::Cmd;
use lab::fs;

use super::process::Run;

/// Which engine, and from which network it is reached.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    /// The value of `DOCKER_HOST`, if it is not the one of the caller.
    pub(super) host: Option<String>,
    /// The process in whose network commands have to run.
    pub(super) network_of: Option<u32>,
}

impl Engine {
    /// Returns the engine of this host, which has to be there.
    #[track_caller]
    pub fn of_host() -> Self {
        let engine = Self::default();
        let answer = engine.try_docker(["version"]);
        assert!(answer.code == Some(0), "no Docker engine answers; scripts/engine starts one\n{answer}");
        engine
    }

    /// Returns the command as it has to be run to reach this engine.
    pub fn reaching(&self, cmd: Cmd) -> Cmd {
        let cmd = match &self.host {
            Some(host) => cmd.env("DOCKER_HOST", host),
            None => cmd,
        };
        let Some(process) = self.network_of else { return cmd };
        let entered = Cmd::new("nsenter").arg(format!("--net=/proc/{process}/ns/net")).arg(cmd.program());
        let entered = entered.args(cmd.arguments());
        cmd.environment().iter().fold(entered, |entered, (name, value)| entered.env(name, value))
    }

    #[track_caller]
    pub fn try_docker<T: Into<String>>(&self, args: impl IntoIterator<Item = T>) -> Run {
        Run::of(&self.reaching(Cmd::new("docker").args(args)), Path::new("/"))
    }

    /// Runs the client to a good end and returns what it printed.
    #[track_caller]
    pub fn docker<T: Into<String>>(&self, args: impl IntoIterator<Item = T>) -> String {
        self.try_docker(args).ok()
    }

    /// Names all that bears the label of a lab.
    #[track_caller]
    pub fn left_of(&self, lab: &str) -> Vec<String> {
        let filter = format!("--filter=label=lab.name={lab}");
        let list = |args: &[&str]| self.docker(args.iter().copied().chain([filter.as_str()]));
        let listed = [
            list(&["ps", "--all", "--format={{.Names}}"]),
            list(&["volume", "ls", "--format={{.Name}}"]),
            list(&["network", "ls", "--format={{.Name}}"]),
        ];
        listed.iter().flat_map(|names| names.lines()).map(str::to_owned).collect()
    }

    /// Writes down all that the nodes of a lab said, for whoever looks into a failure.
    pub(super) fn keep_logs(&self, lab: &str, folder: &Utf8Path) {
        let filter = format!("--filter=label=lab.name={lab}");
        let names = self.try_docker(["ps", "--all", "--format={{.Names}}", &filter]).stdout;
        for name in names.lines() {
            let console = self.try_docker(["logs", name]);
            let journal = self.try_docker(["exec", name, "journalctl", "--no-pager"]);
            let file = folder.join(format!("{name}.log"));
            // A failure has been told already; that its log cannot be kept must not hide it.
            drop(fs::write(&file, format!("{console}\n{journal}"), fs::Access::Public));
        }
    }
}
