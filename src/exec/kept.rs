//! Runs a command under a keeper, another process of ours: the command ends in order also if we are killed.

use std::process::Stdio;

use camino::Utf8Path;
use tokio::process::Child;

use super::{Cmd, Error, Output};

/// What a keeper is told, besides what to run.
pub struct Keeper<'a> {
    /// The program `lab`.
    pub program: &'a Utf8Path,
    pub log: &'a Utf8Path,
    /// Locked until the command has ended, which may be after this was dropped.
    pub held: &'a Utf8Path,
}

impl Keeper<'_> {
    /// Starts a command with its streams piped. When the standard input is dropped, it has the command end in order,
    /// and [`super::until_all_ended`] tells when it has.
    #[expect(clippy::disallowed_methods, reason = "this is a runner that the rule asks for")]
    pub fn start(&self, cmd: &Cmd) -> Result<Child, Error> {
        tokio::process::Command::new(self.program)
            .args(["keep", "--log", self.log.as_str(), "--held", self.held.as_str(), "--", cmd.program()])
            .args(cmd.arguments())
            .envs(cmd.environment().iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The terminal's Ctrl-C is heard by `lab`, which then lets go of the keeper.
            .process_group(0)
            .spawn()
            .map_err(|source| Error::Start { cmd: Box::new(cmd.clone()), source })
    }
}

/// Runs a command to its end; any code but 0 is an error.
pub async fn run_kept(keeper: &Keeper<'_>, cmd: &Cmd) -> Result<Output, Error> {
    let mut child = keeper.start(cmd)?;
    let held = child.stdin.take();
    let output = child.wait_with_output().await;
    let output = output.map_err(|source| Error::Start { cmd: Box::new(cmd.clone()), source })?;
    drop(held);
    let code = output.status.code().unwrap_or(-1);
    if code != 0 {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Failed { cmd: Box::new(cmd.clone()), code, stderr });
    }
    Ok(Output { code, stdout: output.stdout, stderr: output.stderr })
}
