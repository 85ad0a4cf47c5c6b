//! Finds in an error's chain what to tell the user beyond the chain itself.

use crate::ops::units::Failure;
use crate::{config, docker, ops};

/// Returns one thing to do, from whatever part of the chain knows one.
pub fn of(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|link| {
        let from_ops = link.downcast_ref::<ops::Error>().and_then(ops::Error::hint);
        let from_lock = || link.downcast_ref::<config::LockError>().and_then(config::LockError::hint);
        let from_config = || link.downcast_ref::<config::Error>().and_then(config::Error::hint);
        let from_docker = || link.downcast_ref::<docker::Error>().and_then(docker::Error::hint);
        from_ops.or_else(from_lock).or_else(from_config).or_else(from_docker)
    })
}

/// Returns the single failures, where several came at once.
pub fn details(error: &anyhow::Error) -> Vec<String> {
    let lines = error.chain().find_map(|link| match link.downcast_ref::<ops::Error>() {
        Some(ops::Error::Several { errors, .. }) => Some(errors.iter().map(whole).collect()),
        Some(ops::Error::NoFleet { reasons, .. }) => {
            Some(reasons.iter().map(|(node, error)| format!("{node}: {}", whole(error))).collect())
        }
        Some(ops::Error::Unfinished { failures, .. }) => Some(failures.iter().map(failure).collect()),
        _ => None,
    });
    lines.unwrap_or_default()
}

/// Returns a unit's failure with what each machine says about it, indented.
fn failure(failure: &Failure) -> String {
    let details: String = failure.details.iter().map(|line| format!("\n      {line}")).collect();
    format!("{}: {}{details}", failure.unit, failure.why)
}

/// Returns an error with what it comes from, on one line.
pub fn whole(error: &ops::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text += &format!(": {cause_text}");
        }
        source = cause.source();
    }
    text
}
