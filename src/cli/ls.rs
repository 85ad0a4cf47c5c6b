//! `lab ls`

use clap::Args as ClapArgs;

use super::args::Output;
use super::context::Context;
use super::exit::Exit;
use super::table;
use crate::provider::Provider;
use crate::provider::container::Containers;

#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let labs = {
            let provider = Containers::new(context.engine().await?, context.place(&context.cwd, None)?);
            provider.labs().await.map_err(crate::ops::Error::from)?
        };
        if self.output.is_json() {
            context.ui.print_json(&labs)?;
            return Ok(Exit::Done);
        }
        let rows: Vec<Vec<String>> = labs
            .into_iter()
            .map(|lab| {
                vec![
                    lab.lab.to_string(),
                    lab.provider.to_owned(),
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
