//! `lab unit submit`, `load` and `start`

use std::time::Duration;

use clap::Args as ClapArgs;
use clap_complete::ArgValueCandidates;

use crate::cli::args::Waiting;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::fleet::records::Phase;
use crate::ops::units::{self, Bring, Differing, UnitArg};

/// Units that the cluster knows, and those of which there are files.
#[derive(Debug, ClapArgs)]
struct Files {
    /// Names, files, or patterns of names that the cluster knows
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(complete::unit_files))]
    units: Vec<UnitArg>,
    /// Put the file here in the place of the cluster's copy if they differ
    #[arg(long, env = "LAB_REPLACE")]
    replace: bool,
}

impl Files {
    async fn bring(self, context: &Context, to: Phase, wait: Option<Duration>) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let differing = if self.replace { Differing::Replace { up_to: to } } else { Differing::Warn };
        units::bring(&bench.lab(), &context.cwd, &self.units, &Bring { to, differing, wait }).await?;
        Ok(Exit::Done)
    }
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "A unit is looked for in the cluster, then here; an instance such as web@1 is made of the template\n\
    web@.service. A unit that the cluster knows keeps its file unless `--replace` is given.\n\
    It ends when systemd says `active`, or that a unit has done its work; a global unit has to be\n\
    active on every machine that it fits. If one fails, its last words follow; if no machine\n\
    takes it, why.\n\n\
    Examples:\n  lab unit start web.service\n  lab unit start web@{1..10}\n  lab unit start --replace units/web.service\n  \
    lab unit start big --wait 300"
)]
pub struct Start {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    waiting: Waiting,
}

impl Start {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let limit = self.waiting.limit();
        self.files.bring(context, Phase::Launched, limit).await
    }
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "A unit that is loaded has a machine, and systemd there knows it. One that runs is stopped.\n\n\
    Examples:\n  lab unit load web.service\n  lab unit load --no-wait web@{1..10}"
)]
pub struct Load {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    waiting: Waiting,
}

impl Load {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let limit = self.waiting.limit();
        self.files.bring(context, Phase::Loaded, limit).await
    }
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Templates are submitted so that instances can be started from anywhere. What the cluster knows\n\
    already stays as it is.\n\n\
    Examples:\n  lab unit submit web@.service\n  lab unit submit units/*.service --replace"
)]
pub struct Submit {
    #[command(flatten)]
    files: Files,
}

impl Submit {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        self.files.bring(context, Phase::Inactive, None).await
    }
}
