//! `lab cp`

use clap::Args as ClapArgs;
use clap_complete::ArgValueCandidates;

use super::complete;
use super::context::Context;
use super::exit::Exit;
use crate::ops::{self, CopyEnd};

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Folders are copied with all that is in them, into a folder that exists or else to that name.\n\n\
    Examples:\n  lab cp app.conf core-01:/tmp/\n  lab cp --root app.service core-01:/etc/systemd/system/\n  \
    lab cp core-02:/var/log/app ./logs\n  lab cp core-01:a.txt core-02:"
)]
pub struct Args {
    /// A path here, or NODE:PATH
    #[arg(add = ArgValueCandidates::new(complete::node_paths))]
    from: String,
    /// A path here, or NODE:PATH
    #[arg(add = ArgValueCandidates::new(complete::node_paths))]
    to: String,
    /// Read and write as root on the node
    #[arg(long, env = "LAB_ROOT")]
    root: bool,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let (from, to) = (CopyEnd::parse(&self.from), CopyEnd::parse(&self.to));
        ops::copy(&bench.lab(), &from, &to, self.root).await?;
        Ok(Exit::Done)
    }
}
