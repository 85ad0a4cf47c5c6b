//! `lab exec`: one command on many nodes at once.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures_util::future::join_all;

use crate::model::NodeName;
use crate::provider::{MachineState, Provider, Seen};
use crate::ssh::{Event, Target};

use super::keys::Keys;
use super::link::{Link, USER};
use super::{Error, Lab};

/// News of a command on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeOutput {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
}

/// Runs a line of shell on nodes in parallel, hands on what they print as it comes, and returns how
/// each ended. A node that cannot be reached has no code but an error.
pub async fn run<P: Provider>(
    lab: &Lab<'_, P>,
    nodes: &[NodeName],
    line: &str,
    on_output: impl FnMut(&NodeName, NodeOutput) + Send,
) -> Result<Vec<(NodeName, Result<i32, Error>)>, Error> {
    let seen = lab.observe_existing().await?;
    let nodes: Vec<NodeName> =
        if nodes.is_empty() { seen.machines.keys().cloned().collect() } else { nodes.to_vec() };
    for node in &nodes {
        lab.machine(&seen, node)?;
    }
    let on_output = Mutex::new(on_output);
    let running = nodes.iter().map(async |node| {
        let show = |output| (on_output.lock().expect("whoever shows output does not panic"))(node, output);
        (node.clone(), run_one(lab, &seen, node, line, &show).await)
    });
    Ok(join_all(running).await)
}

async fn run_one<P: Provider>(
    lab: &Lab<'_, P>,
    seen: &Seen,
    node: &NodeName,
    line: &str,
    on_output: &impl Fn(NodeOutput),
) -> Result<i32, Error> {
    let link = connect(lab, seen, node).await?;
    let mut process = link.session().start(line, tokio::io::empty()).await?;
    loop {
        match process.next().await? {
            Event::Stdout(bytes) => on_output(NodeOutput::Stdout(bytes)),
            Event::Stderr(bytes) => on_output(NodeOutput::Stderr(bytes)),
            Event::Exit(code) => return Ok(code),
        }
    }
}

/// Connects to nodes that run, all at once.
pub(super) async fn connect_all<P: Provider>(
    lab: &Lab<'_, P>,
    seen: &Seen,
    nodes: &[NodeName],
) -> Result<BTreeMap<NodeName, Link>, Error> {
    let links = nodes.iter().map(async |node| Ok((node.clone(), connect(lab, seen, node).await?)));
    join_all(links).await.into_iter().collect()
}

/// Connects to a node that runs.
pub(super) async fn connect<P: Provider>(
    lab: &Lab<'_, P>,
    seen: &Seen,
    node: &NodeName,
) -> Result<Link, Error> {
    let machine = lab.machine(seen, node)?;
    let keys = Keys::load(&lab.files)?.ok_or_else(|| Error::KeysGone { lab: lab.settings.lab.clone() })?;
    let address = machine.ssh.filter(|_| machine.state == MachineState::Running);
    let address = address.ok_or_else(|| Error::NotRunning { node: node.clone() })?;
    let target = Target { node: node.clone(), address, user: USER.to_owned() };
    Link::open(&target, &keys.identity()?).await
}
