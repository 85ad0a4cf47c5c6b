//! `lab rebalance`

use clap::Args as ClapArgs;

use super::args::{Output, Waiting};
use super::context::Context;
use super::exit::Exit;
use super::table;
use crate::ops::units::{self, Moving, PATIENCE, Shift};

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "fleet never moves a unit that is well, so a node that joins stays empty. This moves as few units as\n\
    it takes, one after the other: each runs in its new place before the next one stops. `--wait` is\n\
    for each.\n\n\
    Examples:\n  lab rebalance --dry-run\n  lab rebalance"
)]
pub struct Args {
    /// Show what would be moved and move nothing
    #[arg(long, env = "LAB_DRY_RUN")]
    dry_run: bool,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        // Moves that nobody waits for would all be under way at once.
        let limit = self.waiting.limit().unwrap_or(PATIENCE);
        let moving = if self.dry_run { Moving::Rehearse } else { Moving::Each { limit } };
        let shifts = units::shift_units(&bench.lab(), moving).await?;
        if self.output.is_json() {
            context.ui.print_json(&shifts)?;
        } else if shifts.is_empty() {
            context.ui.say("no move would make it more even");
        } else {
            context.ui.print(&render(&shifts));
        }
        Ok(Exit::Done)
    }
}

fn render(shifts: &[Shift]) -> String {
    let cells = |shift: &Shift| vec![shift.unit.to_string(), shift.from.clone(), shift.to.clone()];
    table::render(&["UNIT", "FROM", "TO"], &shifts.iter().map(cells).collect::<Vec<_>>())
}
