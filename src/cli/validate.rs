//! `lab validate`

use clap::Args as ClapArgs;

use super::context::Context;
use super::exit::Exit;
use crate::config;
use crate::ops;

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Every problem is shown with its line; the code is 2 if there is one. The units of the stack are\n\
    checked too."
)]
pub struct Args {
    /// Print the JSON Schema of lab.toml, for editors
    #[arg(long, env = "LAB_SCHEMA")]
    schema: bool,
}

impl Args {
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        if self.schema {
            context.ui.print(&config::render_schema());
            return Ok(Exit::Done);
        }
        let mut settings = context.settings(context.flags())?;
        context.stacks(&mut settings).map_err(ops::Error::from)?;
        match config::locate(context.global.file.as_deref(), &context.cwd, context.dirs.home()) {
            Some(path) => context.ui.say(&format!("{path} is fine; the lab is called {}", settings.lab)),
            None => context.ui.say("there is no lab.toml here; `lab init` writes one"),
        }
        Ok(Exit::Done)
    }
}
