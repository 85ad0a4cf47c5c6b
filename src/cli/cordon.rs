//! `lab cordon`

use clap::Args as ClapArgs;
use clap_complete::ArgValueCandidates;

use super::complete;
use super::context::Context;
use super::exit::Exit;
use crate::fleet::records::Scheduling;
use crate::ops::units;

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Units that are on the node stay there; `lab drain` has them leave. Global units do not mind.\n\n\
    Examples:\n  lab cordon core-02\n  lab uncordon core-02"
)]
pub struct Args {
    /// The nodes, by name, address, or the beginning of a machine id
    #[arg(value_name = "NODE", required = true, add = ArgValueCandidates::new(complete::nodes))]
    nodes: Vec<String>,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let told = units::set_scheduling(&bench.lab(), &self.nodes, Scheduling::Cordoned).await?;
        context.ui.say(&format!("{}: no more units come here", told.join(", ")));
        Ok(Exit::Done)
    }
}
