//! `lab ssh`

use clap::Args as ClapArgs;
use clap_complete::ArgValueCandidates;

use super::complete;
use super::context::Context;
use super::exec::shell_line;
use super::exit::Exit;
use crate::exec::{Cmd, replace_this_process};
use crate::model::NodeName;
use crate::ops;
use crate::provider::MachineState;

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  lab ssh core-01\n  lab ssh core-01 -- systemctl status docker\n  lab ssh core-01 -- 'journalctl -f | grep etcd'"
)]
pub struct Args {
    /// The node to enter
    #[arg(add = ArgValueCandidates::new(complete::nodes))]
    node: NodeName,
    /// What to run there; one word may be a whole line of shell
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

impl Args {
    /// Becomes the system's ssh, which knows terminals, agents and escapes better than anyone.
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let lab = bench.lab();
        let seen = lab.observe_existing().await?;
        if lab.machine(&seen, &self.node)?.state != MachineState::Running {
            return Err(ops::Error::NotRunning { node: self.node }.into());
        }
        ops::access(&lab).await?;
        let cmd = Cmd::new("ssh").arg("-F").arg(lab.files.ssh_config().as_str()).arg(self.node.as_str());
        let cmd = if self.command.is_empty() { cmd } else { cmd.arg("--").arg(shell_line(&self.command)) };
        Err(ops::Error::from(replace_this_process(&cmd)).into())
    }
}
