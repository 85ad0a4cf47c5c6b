//! `lab reload-images`

use std::time::Instant;

use clap::Args as ClapArgs;
use clap_complete::ArgValueCandidates;

use super::args::Output;
use super::context::{Bench, Context};
use super::exit::Exit;
use super::{complete, table, watch};
use crate::model::NodeName;
use crate::ops::{self, Reload, Reloaded};

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Looks whether anything changed that goes into the lab's images, makes again what did, and sends\n\
    each node that runs the layers that it lacks. If nothing changed, nothing is sent. Units of stacks whose image\n\
    changed are started again, one at a time, each when all others serve; not with --node.\n\n\
    Examples:\n  lab reload-images\n  lab reload-images web\n  lab reload-images --node core-02\n  lab reload-images --watch"
)]
pub struct Args {
    /// Only these images, by their names in lab.toml
    #[arg(value_name = "NAME")]
    images: Vec<String>,
    /// Only on this node; may be repeated
    #[arg(long = "node", env = "LAB_NODE", value_name = "NODE", add = ArgValueCandidates::new(complete::nodes))]
    nodes: Vec<NodeName>,
    /// Go on, and reload whenever a file changes
    #[arg(short, long, env = "LAB_WATCH")]
    watch: bool,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        context.stop_on_signals();
        let what = Reload { images: self.images.clone(), nodes: self.nodes.clone() };
        if !self.watch {
            self.once(context, &bench, &what).await?;
            return Ok(Exit::Done);
        }
        let mut changes = watch::Changes::of(&bench.settings)?;
        loop {
            if let Err(error) = self.once(context, &bench, &what).await {
                if context.stop.is_cancelled() {
                    return Ok(Exit::Done);
                }
                // A change that does not build is what a watch is there to show.
                context.ui.error(&error, Exit::of(&error));
            }
            context.ui.say("waiting for changes; Ctrl-C ends this");
            let Some(first) = context.stop.run_until_cancelled(changes.next()).await.flatten() else {
                return Ok(Exit::Done);
            };
            context.ui.say(&format!("{first} changed"));
        }
    }

    async fn once(&self, context: &Context, bench: &Bench, what: &Reload) -> anyhow::Result<()> {
        let since = Instant::now();
        let lock = context.lock(&bench.settings, "lab reload-images").await?;
        let done = ops::reload(&bench.lab(), what, &context.stop).await?;
        drop(lock);
        context.make_room(bench).await;
        if self.output.is_json() {
            return context.ui.print_json(&done);
        }
        context.ui.say(&told(&done, since.elapsed().as_secs_f32()));
        Ok(())
    }
}

fn told(done: &Reloaded, took: f32) -> String {
    let restarted = match done.restarted.len() {
        0 => String::new(),
        1 => "; started 1 unit again".to_owned(),
        count => format!("; started {count} units again"),
    };
    let sent: u64 = done.nodes.values().map(|node| node.sent_bytes).sum();
    let changed = done.nodes.values().filter(|node| !node.images.is_empty()).count();
    let made: Vec<&str> = done.made.keys().map(String::as_str).collect();
    match (made.is_empty(), changed) {
        (_, 0) if !restarted.is_empty() => format!("all nodes have all images{restarted} ({took:.1} s)"),
        (true, 0) => format!("all nodes have all images; nothing to do ({took:.1} s)"),
        (false, 0) => format!("made {}; all nodes have them ({took:.1} s)", made.join(", ")),
        (_, count) => {
            let nodes = if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") };
            let made = if made.is_empty() { String::new() } else { format!("made {}; ", made.join(", ")) };
            format!("{made}loaded on {nodes}, {} sent in all{restarted} ({took:.1} s)", table::size(sent))
        }
    }
}
