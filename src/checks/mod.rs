//! Asks services whether they serve: how, [`Check`] says. Each answer is one line, and so is what is wrong with it.

mod excerpt;
mod network;
mod run;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::model::{Ask, Check, Outcome};

use excerpt::{excerpt, find};

/// What a service has for a whole answer.
const LIMIT: Duration = Duration::from_secs(2);
/// No more than this is read of an answer.
const MOST: usize = 256 << 10;

/// Asks a service at an address; a command runs here. `variables` are filled in, and are a command's environment.
pub async fn ask(check: &Check, address: Ipv4Addr, variables: &BTreeMap<String, String>) -> Outcome {
    ask_within(LIMIT, check, address, variables).await
}

async fn ask_within(
    limit: Duration,
    check: &Check,
    address: Ipv4Addr,
    variables: &BTreeMap<String, String>,
) -> Outcome {
    let Check { ask, answer } = check.filled_in(variables);
    let question = network::Question { address, answer: answer.as_deref(), limit };
    match &ask {
        Ask::Connect { port } => question.connect(*port).await,
        Ask::Http { port, path, status } => question.http(*port, path, *status).await,
        Ask::Send { port, text } => question.send(*port, text).await,
        Ask::Run { command } => run::run(command, variables, answer.as_deref(), limit).await,
    }
}

/// Judges a whole answer: it has to have what is wanted of it.
fn judge(said: &[u8], wanted: Option<&str>) -> Outcome {
    match wanted {
        Some(wanted) if find(said, wanted).is_none() && said.is_empty() => {
            Err(format!("its answer is empty; wanted is `{wanted}`"))
        }
        Some(wanted) if find(said, wanted).is_none() => {
            Err(format!("its answer has no `{wanted}`: {}", excerpt(said, None)))
        }
        _ => Ok(excerpt(said, wanted)),
    }
}

fn too_late(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs_f32())
}

fn with_reason(what: String, why: &str) -> String {
    if why.is_empty() { what } else { format!("{what}: {why}") }
}
