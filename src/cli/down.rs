//! `lab down`

use clap::Args as ClapArgs;

use super::context::Context;
use super::exit::Exit;
use crate::ops::{self, Removal};

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Nodes, their data, the network and the lab's keys are removed; images stay. It works from any\n\
    folder with `--lab NAME`, and on whatever is left of a lab."
)]
pub struct Args {
    /// Remove it without asking
    #[arg(short, long, env = "LAB_YES")]
    yes: bool,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let lock = context.lock(&bench.settings, "lab down").await?;
        let lab = bench.lab();
        let removal = ops::removal(&lab).await?;
        let name = &bench.settings.lab;
        if removal.is_nothing() {
            // It may have had images all the same.
            bench.images.cache.forget_uses(&bench.settings.project, name).map_err(ops::Error::from)?;
            context.ui.say(&format!("there is no lab {name}; nothing to do"));
            return Ok(Exit::Done);
        }
        if !removal.nodes.is_empty() && !self.yes {
            let what = format!("this removes lab {name}: {} with all data", list(&removal));
            match context.ui.ask(&format!("{what}. Go on?")) {
                Some(true) => {}
                Some(false) => return Ok(Exit::NotConfirmed),
                None => {
                    context.ui.say(&format!("{what}; confirm with -y"));
                    return Ok(Exit::NotConfirmed);
                }
            }
        }
        context.stop_on_signals();
        let down = context.stop.run_until_cancelled(ops::down(&lab, &removal)).await;
        drop(lock);
        let Some(down) = down else {
            context.ui.say("what is left can be removed by another `lab down`");
            return Err(ops::Error::Interrupted.into());
        };
        down?;
        context.ui.say(&format!("lab {name} is gone"));
        Ok(Exit::Done)
    }
}

fn list(removal: &Removal) -> String {
    removal.nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
