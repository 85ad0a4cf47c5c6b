//! `lab logs`: a node's journal, or what its machine printed while it booted.

use crate::exec::Cmd;
use crate::model::NodeName;
use crate::provider::Provider;
use crate::ssh::Event;

use super::run::connect;
use super::{Error, Lab};

/// Which part of a journal.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    pub follow: bool,
    pub lines: u32,
    pub units: Vec<String>,
    /// The boot messages of the machine, instead of the journal.
    pub console: bool,
}

/// Hands the log of a node to `on_bytes` as it comes.
pub async fn logs<P: Provider>(
    lab: &Lab<'_, P>,
    node: &NodeName,
    query: &LogQuery,
    mut on_bytes: impl FnMut(&[u8]),
) -> Result<(), Error> {
    let seen = lab.observe_existing().await?;
    lab.machine(&seen, node)?;
    if query.console {
        let text = lab.provider.console(&lab.settings.lab, node, query.lines).await?;
        on_bytes(text.as_bytes());
        return Ok(());
    }
    let link = connect(lab, &seen, node).await?;
    let cmd = journalctl(query);
    let mut process = link.session().start(&cmd.to_string(), tokio::io::empty()).await?;
    let mut complaint = Vec::new();
    loop {
        match process.next().await? {
            Event::Stdout(bytes) => on_bytes(&bytes),
            Event::Stderr(bytes) => complaint.extend(bytes),
            Event::Exit(0) => return Ok(()),
            Event::Exit(code) => {
                let stderr = String::from_utf8_lossy(&complaint).into_owned();
                return Err(crate::exec::Error::Failed { cmd: Box::new(cmd), code, stderr }.into());
            }
        }
    }
}

fn journalctl(query: &LogQuery) -> Cmd {
    let cmd = Cmd::new("journalctl").arg("--no-pager").arg("--output=short-precise");
    let cmd = cmd.arg(format!("--lines={}", query.lines));
    let cmd = cmd.args(query.units.iter().map(|unit| format!("--unit={unit}")));
    if query.follow { cmd.arg("--follow") } else { cmd }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_becomes_a_command() {
        let query = LogQuery { follow: true, lines: 10, units: vec!["a b".to_owned()], console: false };
        let want = "journalctl --no-pager '--output=short-precise' '--lines=10' '--unit=a b' --follow";
        assert_eq!(journalctl(&query).to_string(), want);
    }
}
