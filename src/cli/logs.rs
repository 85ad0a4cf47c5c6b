//! `lab logs`

use clap::Args as ClapArgs;
use clap_complete::ArgValueCandidates;

use super::complete;
use super::context::Context;
use super::exit::Exit;
use crate::model::NodeName;
use crate::ops::{self, LogQuery};

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  lab logs core-01\n  lab logs core-01 -u docker -f\n  lab logs core-02 --console"
)]
pub struct Args {
    #[arg(add = ArgValueCandidates::new(complete::nodes))]
    node: NodeName,
    /// Go on as new lines come
    #[arg(short, long, env = "LAB_FOLLOW")]
    follow: bool,
    /// Show this many of the last lines
    #[arg(short = 'n', long, env = "LAB_LINES", default_value_t = 100, value_name = "N")]
    lines: u32,
    /// Show only this unit; may be given several times
    #[arg(short, long = "unit", env = "LAB_UNIT", value_name = "UNIT")]
    unit: Vec<String>,
    /// Show what the machine printed while it booted; works also when it is stopped
    #[arg(long, env = "LAB_CONSOLE", conflicts_with_all = ["follow", "unit"])]
    console: bool,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let query =
            LogQuery { follow: self.follow, lines: self.lines, units: self.unit, console: self.console };
        ops::logs(&bench.lab(), &self.node, &query, |bytes| context.ui.write(bytes)).await?;
        Ok(Exit::Done)
    }
}
