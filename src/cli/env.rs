//! `lab env`

use clap::{Args as ClapArgs, ValueEnum};
use clap_complete::ArgValueCandidates;
use serde_json::{Map, Value};

use super::args::Output;
use super::complete;
use super::context::Context;
use super::exit::Exit;
use crate::exec::quote;
use crate::model::{NodeName, variable};
use crate::ops::units::StackStatus;
use crate::ops::{self, Lab};
use crate::provider::AnyProvider;

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  eval \"$(lab env)\"; fleetctl list-machines\n  eval \"$(lab env --node core-02)\"; docker ps\n\n\
    The docker client goes through ssh and has to find the node: `lab help ssh-config` says how."
)]
pub struct Args {
    /// Make DOCKER_HOST and FLEETCTL_TUNNEL lead to this node
    #[arg(short, long, env = "LAB_NODE", value_name = "NODE", add = ArgValueCandidates::new(complete::nodes))]
    node: Option<NodeName>,
    /// Write it for this shell
    #[arg(long, env = "LAB_SHELL", value_enum, default_value_t = Shell::Sh)]
    shell: Shell,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Sh,
    Fish,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let lab = bench.lab();
        let access = ops::access(&lab).await?;
        let name = lab.settings.lab.clone();
        let chosen = match &self.node {
            None => access.hosts.first(),
            Some(node) => {
                let seen = lab.observe_existing().await?;
                lab.machine(&seen, node)?;
                access.hosts.iter().find(|host| host.aliases.iter().any(|alias| alias == node.as_str()))
            }
        };
        let not_running = |node: &NodeName| ops::Error::NotRunning { node: node.clone() };
        let first = &access.nodes.first().expect("an existing lab has nodes").0;
        let host = chosen.ok_or_else(|| not_running(self.node.as_ref().unwrap_or(first)))?;
        let mut lines = vec![
            ("FLEETCTL_TUNNEL".to_owned(), host.address.to_string()),
            ("FLEETCTL_SSH_USERNAME".to_owned(), host.user.clone()),
            ("FLEETCTL_KNOWN_HOSTS_FILE".to_owned(), lab.files.known_hosts().to_string()),
            ("LAB_SSH_KEY".to_owned(), lab.files.private_key().to_string()),
            ("ETCDCTL_API".to_owned(), "3".to_owned()),
            ("ETCDCTL_ENDPOINTS".to_owned(), access.etcd_endpoints.join(",")),
        ];
        for (node, _) in &access.nodes {
            let variable = node.as_str().replace('-', "_").to_uppercase();
            lines.push((format!("DOCKER_HOST_{variable}"), format!("ssh://{node}.{name}")));
        }
        lines.extend(of_stacks(&lab).await);
        if let Some(node) = &self.node {
            lines.push(("DOCKER_HOST".to_owned(), format!("ssh://{node}.{name}")));
            // So that `lab` itself goes on using the engine on which the lab is.
            let engine = bench.provider.engine().map(|engine| engine.host().to_owned());
            lines.extend(engine.map(|host| ("LAB_DOCKER_HOST".to_owned(), host)));
        }
        if self.output.is_json() {
            let map: Map<String, Value> =
                lines.into_iter().map(|(name, value)| (name, value.into())).collect();
            context.ui.print_json(&map)?;
        } else {
            let text: String = lines.iter().map(|(name, value)| line(self.shell, name, value)).collect();
            context.ui.print(&text);
        }
        Ok(Exit::Done)
    }
}

/// Returns where the lab's stacks serve: each address that answers, and the members of each role.
async fn of_stacks(lab: &Lab<'_, AnyProvider>) -> Vec<(String, String)> {
    let Ok(status) = ops::status(lab).await else { return Vec::new() };
    let mut lines: Vec<(String, String)> = Vec::new();
    for endpoint in status.stacks.up().into_iter().flatten().flat_map(StackStatus::answering) {
        let name = format!("LAB_ENDPOINT_{}", variable(&endpoint.endpoint));
        if !lines.iter().any(|(known, _)| *known == name) {
            lines.push((name, endpoint.address.clone()));
        }
    }
    let state = lab.files.load().ok().flatten();
    let duties = state.and_then(|state| state.topology.duties().ok()).unwrap_or_default();
    for duty in duties.iter().filter(|duty| duty.port.is_some()) {
        let hosts = format!("LAB_{}_HOSTS", variable(duty.role.as_str()));
        let all = duty.members.first().map(|member| duty.variables(&member.node)).unwrap_or_default();
        lines.extend(all.into_iter().filter(|(name, _)| *name == hosts));
    }
    lines
}

fn line(shell: Shell, name: &str, value: &str) -> String {
    match shell {
        Shell::Sh => format!("export {name}={}\n", quote(value)),
        Shell::Fish => format!("set -gx {name} {};\n", quote(value)),
    }
}
