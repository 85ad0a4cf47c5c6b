//! `lab adopt`

use clap::Args as ClapArgs;

use super::context::Context;
use super::exit::Exit;
use crate::model::NodeName;
use crate::ops;

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Plain `vagrant up` in the lab's Vagrant folder, `.lab/<lab>/vagrant`, makes machines that are no nodes\n\
    yet. This gives them all that a node has, and a place in the lab. `lab up` does the same on its way."
)]
pub struct Args {}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let _lock = context.lock(&bench.settings, "lab adopt").await?;
        let lab = bench.lab();
        lab.observe_existing().await?;
        let plan = ops::plan(&lab, &bench.labd).await?;
        let newcomers = plan.newcomers();
        if newcomers.is_empty() {
            context.ui.say(&format!("all machines of lab {} are nodes; nothing to do", bench.settings.lab));
            return Ok(Exit::Done);
        }
        let removals = plan.removals();
        if !removals.is_empty() {
            let names = list(&removals);
            context.ui.say(&format!("the lab is to have fewer nodes: `lab up` removes {names} first"));
            return Ok(Exit::NotConfirmed);
        }
        context.stop_on_signals();
        ops::apply(&lab, plan, &bench.labd, &context.stop).await?;
        let names = list(&newcomers.iter().collect::<Vec<_>>());
        context.ui.say(&format!("lab {} has taken over {names}", bench.settings.lab));
        Ok(Exit::Done)
    }
}

fn list(nodes: &[&NodeName]) -> String {
    nodes.iter().map(|node| node.as_str()).collect::<Vec<_>>().join(", ")
}
