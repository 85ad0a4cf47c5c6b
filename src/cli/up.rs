//! `lab up`

use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use serde_json::json;

use super::args::Output;
use super::context::{Bench, Context};
use super::exit::Exit;
use super::stacks;
use crate::config::Flags;
use crate::model::{Bytes, MAX_NODES, NodeName, Subnet};
use crate::ops::{self, Error, Plan, Status};
use crate::provider::Provider as _;
use crate::wait::wait_until;

const LIST_LIMIT: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Whatever state the lab is in, this brings it to the one that is wanted: it makes nodes, starts\n\
    those that stopped, repairs what is half-made, adds nodes and removes them. Run again, it does\n\
    nothing. Interrupted, it goes on where it was.\n\n\
    Examples:\n  lab up\n  lab up --nodes 5\n  lab up --nodes 3 --memory 1GiB --cpus 1\n  lab up --nodes 2 --dry-run"
)]
pub struct Args {
    /// Have this many nodes; a new lab has 3, an existing one keeps its number
    #[arg(short, long, env = "LAB_NODES", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_NODES)))]
    nodes: Option<u16>,
    /// Make nodes this way
    #[arg(long, env = "LAB_PROVIDER", value_name = "NAME")]
    provider: Option<crate::config::Provider>,
    /// Have Vagrant make nodes, with virtualbox, libvirt or docker below it
    #[arg(long, env = "LAB_VAGRANT_PROVIDER", value_name = "NAME")]
    vagrant_provider: Option<crate::config::VagrantProvider>,
    /// Give each node at most this much memory, as in 1GiB
    #[arg(long, env = "LAB_MEMORY", value_name = "SIZE")]
    memory: Option<Bytes>,
    /// Give each node at most this many CPUs, as in 1.5
    #[arg(long, env = "LAB_CPUS", value_name = "N")]
    cpus: Option<f64>,
    /// Put the lab on this private /24 instead of a free one
    #[arg(long, env = "LAB_SUBNET", value_name = "NET")]
    subnet: Option<Subnet>,
    /// Build the nodes' image on this one
    #[arg(long, env = "LAB_BASE_IMAGE", value_name = "IMAGE")]
    base_image: Option<String>,
    /// Call the nodes PREFIX-01, PREFIX-02 …
    #[arg(long, env = "LAB_PREFIX", value_name = "PREFIX")]
    prefix: Option<NodeName>,
    /// Have a node that lost its lease stop its units before others may start them
    #[arg(long, env = "LAB_FENCE", value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new())]
    fence: Option<bool>,
    /// Start the units of services/NAME, or of the stack that comes with lab; may be repeated; `none` for none
    #[arg(long = "stack", env = "LAB_STACK", value_name = "NAME", value_delimiter = ',')]
    stacks: Vec<String>,
    /// Show what would be done and do nothing
    #[arg(long, env = "LAB_DRY_RUN")]
    dry_run: bool,
    /// Remove nodes without asking
    #[arg(short, long, env = "LAB_YES")]
    yes: bool,
    #[command(flatten)]
    output: Output,
}

impl Args {
    fn flags(&self, context: &Context) -> Flags {
        Flags {
            nodes: self.nodes,
            provider: self.provider,
            vagrant_provider: self.vagrant_provider,
            memory: self.memory,
            cpus: self.cpus,
            subnet: self.subnet,
            base_image: self.base_image.clone(),
            prefix: self.prefix.clone(),
            fence: self.fence,
            stacks: self.stacks.clone(),
            ..context.flags()
        }
    }

    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let since = Instant::now();
        let bench = context.open_with(self.flags(context)).await?;
        if self.dry_run {
            let plan = ops::plan(&bench.lab(), &bench.labd).await?;
            self.show(context, &plan)?;
            return Ok(Exit::Done);
        }
        let _lock = context.lock(&bench.settings, "lab up").await?;
        let plan = ops::plan(&bench.lab(), &bench.labd).await?;
        if plan.tasks.is_empty() {
            let name = &bench.settings.lab;
            context.ui.say(&format!("lab {name} is up with {}; nothing to do", nodes(plan.node_count())));
            return self.print_result(context, &bench, &plan).await;
        }
        if let Some(exit) = self.confirm(context, &plan) {
            return Ok(exit);
        }
        if plan.is_new() {
            context.ui.say(&who_makes(&bench));
        }
        context.stop_on_signals();
        let shown = Summary { tasks: plan.tasks.clone(), count: plan.node_count() };
        if let Err(error) = self.apply(context, &bench, plan).await {
            self.say_how_to_go_on(context, &bench, &error);
            return Err(error.into());
        }
        context.make_room(&bench).await;
        let took = since.elapsed().as_secs_f32();
        context.ui.say(&format!(
            "lab {} is up with {} after {took:.1} s",
            bench.settings.lab,
            nodes(shown.count)
        ));
        let status = ops::status(&bench.lab()).await?;
        say_what_serves(context, &status);
        context
            .ui
            .say("next: lab status | lab units | lab ssh core-01 | lab exec --all -- uptime | lab down");
        if self.output.is_json() {
            context.ui.print_json(&json!({ "tasks": shown.tasks, "status": status }))?;
        }
        Ok(Exit::Done)
    }

    /// Carries the plan out. If a network that was free is taken in the meantime, another one is chosen; if
    /// a machine that was there ends or is removed, it is started or made again.
    async fn apply(&self, context: &Context, bench: &Bench, mut plan: Plan) -> Result<(), Error> {
        const TRIES: u32 = 6;
        for _ in 1..TRIES {
            let (nodes, subnet) = (plan.nodes_that_ran(), plan.subnet());
            let applied = ops::apply(&bench.lab(), plan, &bench.labd, &context.stop).await;
            let Err(error) = applied else { return Ok(()) };
            if error.is_subnet_race() && bench.settings.subnet.is_none() {
                plan = self.plan_elsewhere(bench, subnet).await?;
                continue;
            }
            let Some(node) = error.died().filter(|node| nodes.contains(node)).cloned() else {
                return Err(error);
            };
            // An earlier `lab`, or a Vagrant, that was killed may have had the engine stop or remove it.
            plan = ops::plan(&bench.lab(), &bench.labd).await?;
            if !plan.wakes(&node) {
                return Err(error);
            }
        }
        ops::apply(&bench.lab(), plan, &bench.labd, &context.stop).await.map(drop)
    }

    /// Plans anew on another network. The engine gives one away before it lists it; one that it never lists
    /// is told by the next try.
    async fn plan_elsewhere(&self, bench: &Bench, taken: Subnet) -> Result<Plan, Error> {
        let mut same = None;
        let other = wait_until("the engine lists who took the network", LIST_LIMIT, LOOK_AGAIN, async || {
            match ops::plan(&bench.lab(), &bench.labd).await {
                Ok(plan) if plan.subnet() == taken => {
                    same = Some(plan);
                    None
                }
                end => Some(end),
            }
        });
        match other.await {
            Ok(end) => end,
            Err(_) => Ok(same.expect("it was planned at least once")),
        }
    }

    fn show(&self, context: &Context, plan: &Plan) -> anyhow::Result<()> {
        if self.output.is_json() {
            return context.ui.print_json(&json!({ "tasks": plan.tasks }));
        }
        for task in &plan.tasks {
            context.ui.print(&format!("{task}\n"));
        }
        if plan.tasks.is_empty() {
            context.ui.say("nothing to do");
        }
        Ok(())
    }

    async fn print_result(&self, context: &Context, bench: &Bench, plan: &Plan) -> anyhow::Result<Exit> {
        if self.output.is_json() {
            let status = ops::status(&bench.lab()).await?;
            context.ui.print_json(&json!({ "tasks": plan.tasks, "status": status }))?;
        }
        Ok(Exit::Done)
    }

    /// Asks before nodes are removed; returns how to end if the answer is no.
    fn confirm(&self, context: &Context, plan: &Plan) -> Option<Exit> {
        let removals: Vec<&str> = plan.removals().into_iter().map(NodeName::as_str).collect();
        if removals.is_empty() || self.yes {
            return None;
        }
        let what = format!("this removes {} with all data", removals.join(", "));
        match context.ui.ask(&format!("{what}. Go on?")) {
            Some(true) => None,
            Some(false) => Some(Exit::NotConfirmed),
            None => {
                context.ui.say(&format!("{what}; confirm with -y"));
                Some(Exit::NotConfirmed)
            }
        }
    }

    fn say_how_to_go_on(&self, context: &Context, bench: &Bench, error: &Error) {
        let lab = &bench.settings.lab;
        if matches!(error, Error::Interrupted) {
            context
                .ui
                .say(&format!("what was made of lab {lab} stays: `lab up` goes on, `lab down` removes it"));
        }
    }
}

struct Summary {
    tasks: Vec<ops::Task>,
    count: usize,
}

/// Shows the units of the lab's stacks, and the addresses that answer.
fn say_what_serves(context: &Context, status: &Status) {
    let Some(stacks) = status.stacks.up() else { return };
    stacks::render_answering(stacks).lines().for_each(|line| context.ui.say(line));
}

/// Says who makes nodes, and who decided that.
fn who_makes(bench: &Bench) -> String {
    let name = bench.provider.name();
    match (bench.settings.provider, bench.provider.below()) {
        (None, _) => format!("nodes are made by `{name}`, as nobody said otherwise"),
        (Some(_), Some(below)) => format!("nodes are made by `{name}` with `{below}`, as you said"),
        (Some(_), None) => format!("nodes are made by `{name}`, as you said"),
    }
}

fn nodes(count: usize) -> String {
    if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    #[test]
    fn fencing_is_said_with_and_without_a_value() {
        #[track_caller]
        fn check(flag: &[&str], want: Option<bool>) {
            let command =
                <Args as ClapArgs>::augment_args(Command::new("up")).mut_arg("fence", |arg| arg.env(None));
            let matches = command.try_get_matches_from([&["up"], flag, &["--dry-run"]].concat()).unwrap();
            let args = Args::from_arg_matches(&matches).unwrap();
            assert_eq!((args.fence, args.dry_run), (want, true), "{flag:?}");
        }
        check(&[], None);
        check(&["--fence"], Some(true));
        check(&["--fence=true"], Some(true));
        check(&["--fence=false"], Some(false));
    }
}
