//! Runs commands on this host.

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::{fmt, io};

use tokio::io::AsyncWriteExt;

use super::Cmd;

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Output {
    pub fn is_success(&self) -> bool {
        self.code == 0
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not start `{cmd}`")]
    Start { cmd: Box<Cmd>, source: io::Error },
    #[error("`{cmd}` ended with code {code}{}", tail(stderr))]
    Failed { cmd: Box<Cmd>, code: i32, stderr: String },
}

impl Error {
    pub fn is_program_missing(&self) -> bool {
        matches!(self, Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Returns the last lines of a program's complaint, indented below the line that names it.
fn tail(stderr: &str) -> impl fmt::Display {
    const LINES: usize = 8;
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(LINES);
    lines[from..].iter().map(|line| format!("\n    {line}")).collect::<String>()
}

/// Returns a command ready to be started, with its output for us.
#[expect(clippy::disallowed_methods, reason = "this is the runner that the rule asks for")]
pub(super) fn process(cmd: &Cmd) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(cmd.program());
    if cmd.is_env_clean() {
        command.env_clear();
    }
    command
        .args(cmd.arguments())
        .envs(cmd.environment().iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a command to its end with `input` on its standard input; any code but 0 is an error.
pub async fn run(cmd: &Cmd, input: &[u8]) -> Result<Output, Error> {
    let start = |source| Error::Start { cmd: Box::new(cmd.clone()), source };
    let mut child = process(cmd).stdin(Stdio::piped()).kill_on_drop(true).spawn().map_err(start)?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let feed = async move {
        // A program that does not read its input closes the pipe; that is its own affair.
        drop(stdin.write_all(input).await);
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.map_err(start)?;
    let code = output.status.code().unwrap_or(-1);
    if code != 0 {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Failed { cmd: Box::new(cmd.clone()), code, stderr });
    }
    Ok(Output { code, stdout: output.stdout, stderr: output.stderr })
}

/// Becomes another program. Returns only if that fails.
#[expect(clippy::disallowed_methods, reason = "this is the runner that the rule asks for")]
pub fn replace_this_process(cmd: &Cmd) -> Error {
    let mut command = std::process::Command::new(cmd.program());
    if cmd.is_env_clean() {
        command.env_clear();
    }
    let source = command
        .args(cmd.arguments())
        .envs(cmd.environment().iter().map(|(name, value)| (name, value)))
        .exec();
    Error::Start { cmd: Box::new(cmd.clone()), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn input_reaches_the_program_and_output_returns() {
        let output = run(&Cmd::new("cat"), b"hello\n").await.unwrap();
        assert_eq!((output.code, output.text().as_str()), (0, "hello"));
    }

    #[tokio::test]
    async fn a_failure_carries_the_command_the_code_and_the_end_of_stderr() {
        let cmd = Cmd::new("sh").arg("-c").arg("seq 20 >&2; exit 3");
        let error = run(&cmd, b"").await.unwrap_err().to_string();
        assert!(error.starts_with("`sh -c 'seq 20 >&2; exit 3'` ended with code 3\n    13\n"), "{error}");
        assert!(error.ends_with("\n    20"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_told_apart() {
        assert!(run(&Cmd::new("no-such-program"), b"").await.unwrap_err().is_program_missing());
    }
}
