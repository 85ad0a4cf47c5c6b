//! `lab machines`

use clap::Args as ClapArgs;

use super::args::Output;
use super::context::Context;
use super::exit::Exit;
use super::table;
use crate::fleet::records::{MachineId, Scheduling};
use crate::ops::units::{self, MachineRow};

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "STATE is `open`, `cordoned` (takes no more units), `drained` (gave its units away) or `away`.\n\n\
    Examples:\n  lab machines\n  lab machines --full\n  lab machines -o json"
)]
pub struct Args {
    /// Show whole machine ids
    #[arg(long, env = "LAB_FULL")]
    full: bool,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let listed = units::machines(&bench.lab()).await?;
        if self.output.is_json() {
            context.ui.print_json(&listed)?;
            return Ok(Exit::Done);
        }
        context.ui.print(&render(&listed.rows, self.full));
        context.ui.say(&format!("fleet: {}", listed.engine));
        Ok(Exit::Done)
    }
}

fn render(rows: &[MachineRow], is_full: bool) -> String {
    let cells = |row: &MachineRow| {
        let short = || format!("{}...", MachineId::new(row.id.as_str()).short());
        let metadata: Vec<String> =
            row.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            row.name.clone().unwrap_or_default(),
            if is_full { row.id.clone() } else { short() },
            row.address.clone(),
            metadata.join(","),
            state(row).to_owned(),
        ]
    };
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    table::render(&["NAME", "MACHINE", "IP", "METADATA", "STATE"], &cells)
}

fn state(row: &MachineRow) -> &'static str {
    match (row.is_present, row.scheduling) {
        (false, _) => "away",
        (true, Scheduling::Open) => "open",
        (true, Scheduling::Cordoned) => "cordoned",
        (true, Scheduling::Drained) => "drained",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_shown_with_what_they_are_like() {
        let machine = |id: &str, name: Option<&str>, is_present, scheduling| MachineRow {
            id: id.to_owned(),
            name: name.map(str::to_owned),
            address: "10.77.0.11".to_owned(),
            metadata: [("disk", "ssd"), ("zone", "a")].map(|(key, value)| (key.into(), value.into())).into(),
            is_present,
            scheduling,
        };
        let rows = [
            machine("1a2b3c4d5e6f", Some("core-01"), true, Scheduling::Cordoned),
            machine("2a2b3c4d5e6f", Some("core-02"), false, Scheduling::Open),
            machine("3a2b3c4d5e6f", None, true, Scheduling::Open),
        ];
        insta::assert_snapshot!(render(&rows, false), @r"
        NAME     MACHINE      IP          METADATA         STATE
        core-01  1a2b3c4d...  10.77.0.11  disk=ssd,zone=a  cordoned
        core-02  2a2b3c4d...  10.77.0.11  disk=ssd,zone=a  away
        -        3a2b3c4d...  10.77.0.11  disk=ssd,zone=a  open
        ");
        assert!(render(&rows, true).contains("1a2b3c4d5e6f"));
    }
}
