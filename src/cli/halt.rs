//! `lab halt`

use clap::Args as ClapArgs;
use clap_complete::ArgValueCandidates;

use super::complete;
use super::context::Context;
use super::exit::Exit;
use crate::model::NodeName;
use crate::ops;

#[derive(Debug, ClapArgs)]
#[command(after_help = "`lab up` starts them again, with the same addresses, names and data.")]
pub struct Args {
    /// The nodes to shut down; all of them if none is named
    #[arg(value_name = "NODE", add = ArgValueCandidates::new(complete::nodes))]
    nodes: Vec<NodeName>,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let _lock = context.lock(&bench.settings, "lab halt").await?;
        let halted = ops::halt(&bench.lab(), &self.nodes).await?;
        if halted.is_empty() {
            context.ui.say("no node runs; nothing to do");
        }
        Ok(Exit::Done)
    }
}
