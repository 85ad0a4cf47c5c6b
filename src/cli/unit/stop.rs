//! `lab unit stop`, `restart`, `unload` and `destroy`

use clap::Args as ClapArgs;
use clap_complete::ArgValueCandidates;

use crate::cli::args::Waiting;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::ops::units::{self, UnitArg};

/// Units that the cluster knows.
#[derive(Debug, ClapArgs)]
struct Known {
    /// Names, or patterns such as 'web@*' in quotes
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(complete::unit_files))]
    units: Vec<UnitArg>,
    #[command(flatten)]
    waiting: Waiting,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "It ends when systemd says that they do not run.\n\n\
    Examples:\n  lab unit stop web\n  lab unit stop 'web@*' --wait 120")]
pub struct Stop {
    #[command(flatten)]
    known: Known,
}

impl Stop {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        units::stop(&bench.lab(), &self.known.units, self.known.waiting.limit()).await?;
        Ok(Exit::Done)
    }
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "They are started when they have stopped, on the machines that they are on. `--no-wait` waits for\n\
    that and not until they run again. Global units are restarted on all machines.\n\n\
    Examples:\n  lab unit restart web\n  lab unit restart 'web@*'"
)]
pub struct Restart {
    #[command(flatten)]
    known: Known,
}

impl Restart {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        units::restart(&bench.lab(), &self.known.units, self.known.waiting.limit()).await?;
        Ok(Exit::Done)
    }
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "When they are started again they may come to other machines.\n\n\
    Examples:\n  lab unit unload web\n  lab unit unload 'web@*'")]
pub struct Unload {
    #[command(flatten)]
    known: Known,
}

impl Unload {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        units::unload(&bench.lab(), &self.known.units, self.known.waiting.limit()).await?;
        Ok(Exit::Done)
    }
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "What is not there is no error. Files here stay.\n\n\
    Examples:\n  lab unit destroy web\n  lab unit destroy 'web@*'")]
pub struct Destroy {
    #[command(flatten)]
    known: Known,
}

impl Destroy {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        units::destroy(&bench.lab(), &self.known.units, self.known.waiting.limit()).await?;
        Ok(Exit::Done)
    }
}
