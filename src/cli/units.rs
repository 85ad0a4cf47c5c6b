//! `lab units`

use clap::Args as ClapArgs;

use super::args::Output;
use super::context::Context;
use super::exit::Exit;
use super::table;
use crate::ops::units::{self, UnitRow};

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "A unit that should run and has no machine is there too, with `-` for its machine: `lab why UNIT`\n\
    tells why. A unit that is on two machines has two rows.\n\n\
    Examples:\n  lab units\n  lab units --full\n  lab units -o json | jq -r '.rows[] | select(.active == \"failed\") | .unit'"
)]
pub struct Args {
    /// Show also whether systemd could load the file, and the file's hash
    #[arg(long, env = "LAB_FULL")]
    full: bool,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let listed = units::units(&bench.lab()).await?;
        if self.output.is_json() {
            context.ui.print_json(&listed)?;
            return Ok(Exit::Done);
        }
        context.ui.print(&render(&listed.rows, self.full));
        listed.warnings.iter().for_each(|warning| context.ui.say(warning));
        context.ui.say(&format!("fleet: {}", listed.engine));
        Ok(Exit::Done)
    }
}

fn render(rows: &[UnitRow], is_full: bool) -> String {
    let cells = |row: &UnitRow| {
        let machine = row.machine.clone().unwrap_or_default();
        let mut cells = vec![row.unit.to_string(), machine, row.active.clone(), row.sub.clone()];
        if is_full {
            cells.insert(2, row.load.clone());
            cells.push(row.hash.clone());
        }
        cells
    };
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let heading: &[&str] = if is_full {
        &["UNIT", "MACHINE", "LOAD", "ACTIVE", "SUB", "HASH"]
    } else {
        &["UNIT", "MACHINE", "ACTIVE", "SUB"]
    };
    table::render(heading, &cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::records::Phase;
    use crate::fleet::unit::UnitName;

    #[test]
    fn units_read_as_fleetctl_shows_them() {
        let row = |name: &str, machine: Option<&str>, [load, active, sub, hash]: [&str; 4]| UnitRow {
            unit: UnitName::from_argument(name).unwrap(),
            machine_id: None,
            machine: machine.map(str::to_owned),
            load: load.to_owned(),
            active: active.to_owned(),
            sub: sub.to_owned(),
            hash: hash.to_owned(),
            desired: Phase::Launched,
        };
        let rows = [
            row("db", Some("core-01/10.77.0.11"), ["loaded", "active", "running", "da39a3e"]),
            row("web@1", Some("1a2b3c4d.../10.0.0.7"), ["loaded", "failed", "failed", "da39a3e"]),
            row("web@2", None, ["", "", "", "da39a3e"]),
        ];
        insta::assert_snapshot!(render(&rows, false), @r"
        UNIT           MACHINE               ACTIVE  SUB
        db.service     core-01/10.77.0.11    active  running
        web@1.service  1a2b3c4d.../10.0.0.7  failed  failed
        web@2.service  -                     -       -
        ");
        insta::assert_snapshot!(render(&rows, true), @r"
        UNIT           MACHINE               LOAD    ACTIVE  SUB      HASH
        db.service     core-01/10.77.0.11    loaded  active  running  da39a3e
        web@1.service  1a2b3c4d.../10.0.0.7  loaded  failed  failed   da39a3e
        web@2.service  -                     -       -       -        da39a3e
        ");
    }
}
