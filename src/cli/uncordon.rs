//! `lab uncordon`

use clap::Args as ClapArgs;
use clap_complete::ArgValueCandidates;

use super::complete;
use super::context::Context;
use super::exit::Exit;
use crate::fleet::records::Scheduling;
use crate::ops::units;

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "It ends a cordon and a drain. Units that left do not come back by themselves: `lab rebalance` moves\n\
    some.\n\n\
    Examples:\n  lab uncordon core-02\n  lab uncordon core-01 core-02"
)]
pub struct Args {
    /// The nodes, by name, address, or the beginning of a machine id
    #[arg(value_name = "NODE", required = true, add = ArgValueCandidates::new(complete::nodes))]
    nodes: Vec<String>,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let told = units::set_scheduling(&bench.lab(), &self.nodes, Scheduling::Open).await?;
        context.ui.say(&format!("{}: units may come again", told.join(", ")));
        Ok(Exit::Done)
    }
}
