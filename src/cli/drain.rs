//! `lab drain`

use clap::Args as ClapArgs;
use clap_complete::ArgValueCandidates;

use super::args::Waiting;
use super::complete;
use super::context::Context;
use super::exit::Exit;
use crate::ops::units;

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Units stop there and start on other nodes; it ends when all are gone. Those that find no other place\n\
    are listed with the reasons, and the exit code is 1. Global units stay. `lab uncordon` ends it.\n\n\
    Examples:\n  lab drain core-02\n  lab drain core-02 --wait 300\n  lab plan --without core-02"
)]
pub struct Args {
    /// The nodes, by name, address, or the beginning of a machine id
    #[arg(value_name = "NODE", required = true, add = ArgValueCandidates::new(complete::nodes))]
    nodes: Vec<String>,
    #[command(flatten)]
    waiting: Waiting,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let count = units::drain(&bench.lab(), &self.nodes, self.waiting.limit()).await?;
        let nodes = self.nodes.join(", ");
        let units = if count == 1 { "1 unit".to_owned() } else { format!("{count} units") };
        context.ui.say(&match (count, self.waiting.limit()) {
            (0, _) => format!("{nodes}: drained; no unit had to leave"),
            (_, Some(_)) => format!("{nodes}: drained; {units} left"),
            (_, None) => format!("{nodes}: {units} will leave"),
        });
        Ok(Exit::Done)
    }
}
