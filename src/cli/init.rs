//! `lab init`

use anyhow::bail;
use clap::Args as ClapArgs;

use super::context::Context;
use super::exit::Exit;
use crate::config::{FILE_NAME, render_template};
use crate::fs::{self, Access};
use crate::model::LabName;
use crate::ops;

#[derive(Debug, ClapArgs)]
#[command(after_help = "The file holds every key as a comment, with its default and what it is for.")]
pub struct Args {
    /// Replace a lab.toml that is there
    #[arg(long, env = "LAB_FORCE")]
    force: bool,
    /// How many nodes the lab is to have
    #[arg(short, long, env = "LAB_NODES", default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200))]
    nodes: u16,
}

impl Args {
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let path = context.global.file.clone().unwrap_or_else(|| context.cwd.join(FILE_NAME));
        if path.exists() && !self.force {
            bail!("`{path}` exists; `--force` replaces it");
        }
        let folder = LabName::from_folder(context.cwd.file_name().unwrap_or_default());
        let name = context.global.lab.clone().unwrap_or(folder);
        fs::write(&path, render_template(&name, self.nodes), Access::Public).map_err(ops::Error::from)?;
        context.ui.say(&format!("wrote {path}; next: lab up"));
        Ok(Exit::Done)
    }
}
