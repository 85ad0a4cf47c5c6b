//! `lab open`

use anyhow::{Context as _, bail};
use clap::Args as ClapArgs;
use serde_json::json;

use super::args::Output;
use super::context::{Bench, Context};
use super::exit::Exit;
use super::stacks;
use crate::exec::{self, Cmd};
use crate::ops;
use crate::ops::units::{EndpointStatus, StackStatus};

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Without a name it lists the addresses at which the lab's stacks serve. Where this host does not reach\n\
    the nodes' network, it makes a way through ssh and keeps it until Ctrl-C.\n\n\
    Examples:\n  lab open\n  lab open mesos\n  lab open mesos --print"
)]
pub struct Args {
    /// The address, by its name in stack.toml
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Print the address and open nothing
    #[arg(long, env = "LAB_PRINT")]
    print: bool,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let status = ops::status(&bench.lab()).await?;
        let all = match status.stacks.into_result() {
            Ok(stacks) => stacks,
            Err(why) => bail!("nothing is known of the lab's stacks: {why}"),
        };
        let Some(name) = &self.name else {
            self.list(context, &all)?;
            return Ok(Exit::Done);
        };
        let chosen = choose(&all, name)?;
        if self.output.is_json() {
            context.ui.print_json(&json!({ "endpoint": chosen.endpoint, "address": chosen.address }))?;
            return Ok(Exit::Done);
        }
        if self.print || chosen.is_reachable {
            context.ui.print(&format!("{}\n", chosen.address));
            if !self.print {
                show(context, &chosen.address).await;
            }
            return Ok(Exit::Done);
        }
        self.forward(context, &bench, chosen).await
    }

    fn list(&self, context: &Context, all: &[StackStatus]) -> anyhow::Result<()> {
        if self.output.is_json() {
            let endpoints: Vec<&EndpointStatus> = all.iter().flat_map(|stack| &stack.endpoints).collect();
            return context.ui.print_json(&endpoints);
        }
        if all.iter().all(|stack| stack.endpoints.is_empty()) {
            context.ui.say("the lab's stacks name no address");
            return Ok(());
        }
        context.ui.print(&stacks::addresses(all.iter().flat_map(|stack| &stack.endpoints)));
        Ok(())
    }

    /// Listens here and passes connections on, until Ctrl-C.
    async fn forward(&self, context: &Context, bench: &Bench, to: &EndpointStatus) -> anyhow::Result<Exit> {
        context.stop_on_signals();
        let way = ops::forward(&bench.lab(), &to.node, to.port).await?;
        let here = way.address();
        let address = to.address.replacen(&format!("{}:{}", to.ip, to.port), &here.to_string(), 1);
        context.ui.print(&format!("{address}\n"));
        context.ui.say(&format!("leads to {} on {}; Ctrl-C ends it", to.address, to.node));
        show(context, &address).await;
        way.serve(&context.stop).await?;
        Ok(Exit::Done)
    }
}

/// Finds an address that answers; if none does, the error says why.
fn choose<'a>(all: &'a [StackStatus], name: &str) -> anyhow::Result<&'a EndpointStatus> {
    let named: Vec<&EndpointStatus> =
        all.iter().flat_map(|stack| &stack.endpoints).filter(|endpoint| endpoint.endpoint == name).collect();
    let answering = |endpoint: &&&EndpointStatus| endpoint.answers;
    if let Some(found) = named.iter().filter(answering).max_by_key(|endpoint| endpoint.is_reachable) {
        return Ok(found);
    }
    if let Some(endpoint) = named.first() {
        let why = endpoint.why.as_deref().unwrap_or("no reason was given");
        bail!("`{name}` does not answer at {}: {why}", endpoint.address);
    }
    let all = all.iter().flat_map(|stack| &stack.endpoints).map(|endpoint| endpoint.endpoint.as_str());
    let mut names: Vec<&str> = all.collect();
    names.dedup();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    bail!("the lab has no address `{name}`; it has {names}")
}

/// Shows a web address in the user's browser; a host without one has the address on the terminal.
async fn show(context: &Context, address: &str) {
    if !address.starts_with("http") {
        return;
    }
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    if which::which(opener).is_err() {
        context.ui.say(&format!("there is no `{opener}` here to show it in a browser"));
        return;
    }
    if let Err(error) =
        exec::run(&Cmd::new(opener).arg(address), b"").await.context("could not open a browser")
    {
        context.ui.say(&format!("{error:#}"));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::model::NodeName;

    #[test]
    fn an_address_that_answers_here_is_chosen_first() {
        let endpoint = |number: u8, answers, is_reachable| EndpointStatus {
            endpoint: "web".to_owned(),
            address: format!("http://10.77.0.{number}:80/"),
            node: NodeName::parse("core-01").unwrap(),
            ip: Ipv4Addr::new(10, 77, 0, number),
            port: 80,
            answers,
            why: (!answers).then(|| "connection refused".to_owned()),
            is_reachable,
        };
        let stack = |endpoints| {
            let (stack, description) = ("web".to_owned(), String::new());
            [StackStatus { stack, description, units: Vec::new(), endpoints }]
        };
        let all = stack(vec![endpoint(1, false, true), endpoint(2, true, false), endpoint(3, true, true)]);
        assert_eq!(choose(&all, "web").unwrap().ip, Ipv4Addr::new(10, 77, 0, 3));
        let told = |all: &[StackStatus], name| choose(all, name).unwrap_err().to_string();
        assert_eq!(told(&all, "db"), "the lab has no address `db`; it has web");
        let none = stack(vec![endpoint(1, false, true)]);
        assert_eq!(told(&none, "web"), "`web` does not answer at http://10.77.0.1:80/: connection refused");
        assert_eq!(told(&stack(Vec::new()), "web"), "the lab has no address `web`; it has none");
    }
}
