//! `lab env`

use clap::{Args as ClapArgs, ValueEnum};
use clap_complete::ArgValueCandidates;
use serde_json::{Map, Value};

use super::args::Output;
use super::complete;
use super::context::Context;
use super::exit::Exit;
use crate::exec::quote;
use crate::model::NodeName;
use crate::ops;

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

fn line(shell: Shell, name: &str, value: &str) -> String {
    match shell {
        Shell::Sh => format!("export {name}={}\n", quote(value)),
        Shell::Fish => format!("set -gx {name} {};\n", quote(value)),
    }
}
