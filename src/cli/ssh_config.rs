//! `lab ssh-config`

use clap::Args as ClapArgs;

use super::context::Context;
use super::exit::Exit;
use crate::{fs, ops};

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Ports change whenever a node starts, so it is best to include the file instead of copying it:\n\n  \
    sed -i \"1i Include $(lab ssh-config --path)\" ~/.ssh/config\nThen `ssh core-01.NAME` and `DOCKER_HOST=ssh://core-01.NAME` work, NAME being the lab's."
)]
pub struct Args {
    /// Print where the file is
    #[arg(long, env = "LAB_PATH")]
    path: bool,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let lab = bench.lab();
        ops::access(&lab).await?;
        let file = lab.files.ssh_config();
        let text = if self.path {
            format!("{file}\n")
        } else {
            fs::read_to_string(&file).map_err(ops::Error::from)?
        };
        context.ui.print(&text);
        Ok(Exit::Done)
    }
}
