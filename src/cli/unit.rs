//! `lab unit`

mod look;
mod start;
mod stop;

use clap::{Args as ClapArgs, Subcommand};

use super::context::Context;
use super::exit::Exit;

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "A UNIT is a name or a file: `web` is web.service; `units/web@1` is made of units/web@.service\n\
    if need be. Where units of the cluster are meant, so are patterns: 'web@*', in quotes.\n\n\
    Examples:\n  lab unit start web.service\n  lab unit start units/web@1 units/web@2\n  lab unit stop 'web@*'\n  \
    lab unit status web\n  lab units"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run units, and wait until systemd says that they do
    Start(start::Start),
    /// Stop units; they stay on their machines
    Stop(stop::Stop),
    /// Stop units and start them again
    Restart(stop::Restart),
    /// Bring units to machines without starting them
    Load(start::Load),
    /// Take units from their machines; the cluster goes on knowing them
    Unload(stop::Unload),
    /// Make the cluster know units, and no more
    Submit(start::Submit),
    /// Stop units and make the cluster forget them
    Destroy(stop::Destroy),
    /// Print the file of a unit, as the cluster has it
    Cat(look::Cat),
    /// Show what systemd says of units on their nodes
    Status(look::Status),
    /// Show the journal of a unit, from all nodes that have it
    Journal(look::Journal),
    /// List the unit files that the cluster knows
    Ls(look::Ls),
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.verb {
            Verb::Start(verb) => verb.run(context).await,
            Verb::Stop(verb) => verb.run(context).await,
            Verb::Restart(verb) => verb.run(context).await,
            Verb::Load(verb) => verb.run(context).await,
            Verb::Unload(verb) => verb.run(context).await,
            Verb::Submit(verb) => verb.run(context).await,
            Verb::Destroy(verb) => verb.run(context).await,
            Verb::Cat(verb) => verb.run(context).await,
            Verb::Status(verb) => verb.run(context).await,
            Verb::Journal(verb) => verb.run(context).await,
            Verb::Ls(verb) => verb.run(context).await,
        }
    }
}
