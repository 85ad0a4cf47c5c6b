//! Asks by a command of the shell.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{MOST, excerpt, judge, with_reason};
use crate::exec::{Cmd, Output, run_briefly};
use crate::model::Outcome;

pub(super) async fn run(
    command: &str,
    variables: &BTreeMap<String, String>,
    wanted: Option<&str>,
    limit: Duration,
) -> Outcome {
    let cmd = Cmd::new("sh").arg("-c").arg(command);
    let cmd = variables.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value));
    match run_briefly(&cmd, limit, MOST).await {
        Err(_) => Err("there is no shell to run it".to_owned()),
        Ok(None) => Err(format!("did not end within {} s", limit.as_secs_f32())),
        Ok(Some(output)) if output.is_success() => judge(&output.stdout, wanted),
        Ok(Some(output)) => Err(failed(&output)),
    }
}

/// The reason stands at the end of a complaint.
fn failed(output: &Output) -> String {
    let said = if output.stderr.trim_ascii().is_empty() { &output.stdout } else { &output.stderr };
    let last = said.trim_ascii().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    with_reason(format!("ended with code {}", output.code), &excerpt(last, None))
}
