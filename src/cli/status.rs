//! `lab status`

use std::time::Duration;

use clap::Args as ClapArgs;

use super::args::Output;
use super::context::{Bench, Context};
use super::exit::Exit;
use super::{stacks, table};
use crate::fleet::unit::UnitName;
use crate::model::{Answer, NodeHealth};
use crate::ops::units::FleetStatus;
use crate::ops::{self, NodeStatus, Status};
use crate::provider::MachineState;

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Ends with code 3 if the lab does not serve in full, or a unit failed or found no machine."
)]
pub struct Args {
    /// Show it again every second, until Ctrl-C
    #[arg(short, long, env = "LAB_WATCH")]
    watch: bool,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        if self.watch {
            // Heard at any moment, also while nodes are being asked.
            return tokio::select! {
                _ = tokio::signal::ctrl_c() => Ok(Exit::Done),
                ended = self.watch(context, &bench) => ended,
            };
        }
        let status = ops::status(&bench.lab()).await?;
        self.show(context, &status)?;
        Ok(if status.is_healthy() { Exit::Done } else { Exit::Unhealthy })
    }

    /// Shows the status again and again. Into a file or a pipe goes only what changed.
    async fn watch(&self, context: &Context, bench: &Bench) -> anyhow::Result<Exit> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        let mut last = String::new();
        loop {
            ticks.tick().await;
            let status = ops::status(&bench.lab()).await?;
            if self.output.is_json() {
                context.ui.print(&format!("{}\n", serde_json::to_string(&status)?));
                continue;
            }
            let text = render(&status);
            if context.ui.is_terminal() {
                context.ui.redraw(&text);
            } else if text != last {
                context.ui.print(&text);
            }
            last = text;
        }
    }

    fn show(&self, context: &Context, status: &Status) -> anyhow::Result<()> {
        if self.output.is_json() {
            return context.ui.print_json(status);
        }
        context.ui.print(&render(status));
        Ok(())
    }
}

fn render(status: &Status) -> String {
    let rows: Vec<Vec<String>> = status.nodes.iter().map(row).collect();
    let heading =
        ["NODE", "STATE", "ADDRESS", "SSH", "SYSTEMD", "DOCKER", "ETCD", "MEMORY", "DISK FREE", "UP"];
    let mut text = table::render(&heading, &rows);
    text += &format!("\n{}\n{}\n", etcd(status), fleet(&status.fleet));
    for node in &status.nodes {
        if let Some(trouble) = node.trouble().filter(|_| node.state == MachineState::Running) {
            text += &format!("{}: {trouble}\n", node.node);
        }
    }
    if let Some(cure) = &status.etcd.cure {
        text += &format!("hint: {cure}\n");
    }
    match stacks::render(&status.stacks) {
        stacks if stacks.is_empty() => text,
        stacks => format!("{text}\n{stacks}"),
    }
}

fn row(node: &NodeStatus) -> Vec<String> {
    let health = node.health.up();
    let cell = |show: &dyn Fn(&NodeHealth) -> String| health.map(show).unwrap_or_default();
    vec![
        node.node.to_string(),
        state(node),
        node.address.to_string(),
        node.ssh.map(|address| address.to_string()).unwrap_or_default(),
        cell(&|health| health.systemd.up().map_or("down".to_owned(), |systemd| systemd.state.clone())),
        cell(&|health| health.docker.up().map_or("down".to_owned(), |docker| docker.version.clone())),
        cell(&|health| match &health.etcd {
            Answer::Down(_) => "down".to_owned(),
            Answer::Up(etcd) if etcd.is_leader => "leader".to_owned(),
            Answer::Up(etcd) if etcd.is_member => "member".to_owned(),
            Answer::Up(_) => "client".to_owned(),
        }),
        cell(&|health| health.memory.map(|memory| table::size(memory.used_bytes)).unwrap_or_default()),
        cell(&|health| health.disk.map(|disk| table::size(disk.free_bytes)).unwrap_or_default()),
        cell(&|health| table::span(health.uptime_seconds)),
    ]
}

fn state(node: &NodeStatus) -> String {
    match (node.state, node.trouble()) {
        (MachineState::Running, None) => "serving",
        (MachineState::Running, Some(_)) => "troubled",
        (MachineState::Created, _) => "created",
        (MachineState::Paused, _) => "paused",
        (MachineState::Stopped, _) => "stopped",
        (MachineState::Broken, _) => "broken",
        (MachineState::Missing, _) => "missing",
    }
    .to_owned()
}

fn fleet(fleet: &Answer<FleetStatus>) -> String {
    let fleet = match fleet {
        Answer::Up(fleet) => fleet,
        Answer::Down(why) => return format!("fleet: no answer: {why}"),
    };
    let units = &fleet.units;
    let plural = if units.active == 1 { "" } else { "s" };
    let mut text = format!("fleet: {}, {} unit{plural} active", fleet.engine, units.active);
    let named = [
        ("failed", &units.failed),
        ("on no machine", &units.not_placed),
        ("on several machines at once", &units.twice),
    ];
    for (what, names) in named.into_iter().filter(|(_, names)| !names.is_empty()) {
        text += &format!(", {} {what} ({})", names.len(), few(names));
    }
    text
}

/// Names a few units, and how many more there are.
fn few(names: &[UnitName]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(UnitName::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}

fn etcd(status: &Status) -> String {
    let etcd = &status.etcd;
    let lab = &status.lab;
    if !etcd.has_quorum {
        return format!("lab {lab}: etcd has no quorum");
    }
    let members = etcd.members.len();
    let leader = etcd.leader.as_ref().map(|leader| format!(", led by {leader}")).unwrap_or_default();
    let plural = if members == 1 { "" } else { "s" };
    format!("lab {lab}: etcd has {members} member{plural}{leader}; it bears the loss of {}", etcd.tolerates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::client::Engine;
    use crate::ops::units::Counts;

    fn told(units: Counts) -> String {
        fleet(&Answer::Up(FleetStatus { engine: Engine::Lab { version: "0.1.0".to_owned() }, units }))
    }

    fn names(stems: &[&str]) -> Vec<UnitName> {
        stems.iter().map(|stem| UnitName::from_argument(stem).unwrap()).collect()
    }

    #[test]
    fn a_line_about_fleet_names_what_is_wrong() {
        let well = Counts { active: 1, ..Counts::default() };
        assert_eq!(told(well), "fleet: labd 0.1.0, 1 unit active");
        let ill = Counts {
            active: 2,
            failed: names(&["a", "b", "c", "d"]),
            twice: names(&["x"]),
            ..Counts::default()
        };
        assert_eq!(
            told(ill),
            "fleet: labd 0.1.0, 2 units active, 4 failed (a.service, b.service, c.service and 1 more), \
             1 on several machines at once (x.service)"
        );
        assert_eq!(fleet(&Answer::Down("no".to_owned())), "fleet: no answer: no");
    }
}
