//! `lab ls`

use clap::Args as ClapArgs;

use super::args::Output;
use super::context::Context;
use super::exit::Exit;
use super::table;
use crate::provider::container::Containers;
use crate::provider::{LabSummary, vagrant};

#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let labs = labs(context).await?;
        if self.output.is_json() {
            context.ui.print_json(&labs)?;
            return Ok(Exit::Done);
        }
        let rows: Vec<Vec<String>> = labs
            .into_iter()
            .map(|lab| {
                vec![
                    lab.lab.to_string(),
                    lab.provider,
                    format!("{}/{}", lab.running, lab.nodes),
                    lab.subnet.map(|subnet| subnet.to_string()).unwrap_or_default(),
                    lab.project.unwrap_or_default(),
                ]
            })
            .collect();
        if rows.is_empty() {
            context.ui.say("there is no lab on this host; `lab up` makes one");
        } else {
            context.ui.print(&table::render(&["LAB", "PROVIDER", "RUNNING", "NETWORK", "FOLDER"], &rows));
        }
        Ok(Exit::Done)
    }
}

/// Lists labs whose nodes are containers, and those that are only written down, as their machines bear no labels.
async fn labs(context: &Context) -> anyhow::Result<Vec<LabSummary>> {
    let written = vagrant::labs(&context.index(), context.libvirt_uri().as_ref()).await;
    let mut labs = written.map_err(crate::ops::Error::from)?;
    match context.engine().await {
        Ok(engine) => {
            let provider = Containers::new(engine, context.place(&context.cwd, None)?);
            labs.extend(provider.labs().await.map_err(crate::ops::Error::from)?);
        }
        // Whoever has virtual machines need not have an engine.
        Err(error) if labs.is_empty() => return Err(error.into()),
        Err(_) => {}
    }
    labs.sort_by(|a, b| a.lab.cmp(&b.lab));
    Ok(labs)
}
