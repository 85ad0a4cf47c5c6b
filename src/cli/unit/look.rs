//! `lab unit cat`, `status`, `journal` and `ls`

use std::collections::BTreeMap;

use clap::Args as ClapArgs;
use clap_complete::ArgValueCandidates;

use crate::cli::args::Output;
use crate::cli::context::Context;
use crate::cli::exec::Prefixer;
use crate::cli::exit::Exit;
use crate::cli::{complete, table};
use crate::fleet::unit::UnitName;
use crate::ops::NodeOutput;
use crate::ops::units::{self, FileRow, Place, Query, UnitArg};

#[derive(Debug, ClapArgs)]
#[command(after_help = "Where the cluster knows the file as it was written, comments are there too.\n\n\
    Examples:\n  lab unit cat web\n  lab unit cat web@1 | diff - web@.service")]
pub struct Cat {
    /// The unit; a service unless a type is said
    #[arg(value_name = "UNIT", value_parser = units::unit_name, add = ArgValueCandidates::new(complete::unit_files))]
    unit: UnitName,
}

impl Cat {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        context.ui.print(&units::cat(&bench.lab(), &self.unit).await?);
        Ok(Exit::Done)
    }
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "It is `systemctl status` on the unit's node, and ends with its code: 0 runs, 3 does not. Of a global\n\
    unit all nodes are asked.\n\n\
    Examples:\n  lab unit status web\n  lab unit status 'web@*'"
)]
pub struct Status {
    /// Names, or patterns such as 'web@*' in quotes
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(complete::unit_files))]
    units: Vec<UnitArg>,
}

impl Status {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let lab = bench.lab();
        let mut told: BTreeMap<(UnitName, String), Vec<u8>> = BTreeMap::new();
        let code = units::ask_nodes(&lab, &self.units, Query::Status, |place, output| match output {
            NodeOutput::Stdout(bytes) => {
                told.entry((place.unit.clone(), place.machine.clone())).or_default().extend(bytes);
            }
            NodeOutput::Stderr(bytes) => context.ui.write_talk(&bytes),
        });
        let code = code.await?;
        let is_alone = told.len() == 1;
        let blocks: Vec<Vec<u8>> =
            told.iter().map(|((_, machine), bytes)| block(machine, bytes, is_alone)).collect();
        context.ui.write(&blocks.join(&b'\n'));
        Ok(ended(code))
    }
}

/// Returns what one node says; where several do, its name stands before each line.
fn block(machine: &str, bytes: &[u8], is_alone: bool) -> Vec<u8> {
    if is_alone {
        return bytes.to_vec();
    }
    let mut prefixer = Prefixer::default();
    let mut lines = prefixer.lines(machine, false, bytes);
    lines.extend(prefixer.rest().into_iter().flat_map(|(_, line)| line));
    lines
}

fn ended(code: i32) -> Exit {
    if code == 0 { Exit::Done } else { Exit::Command(u8::try_from(code).unwrap_or(255)) }
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Where several nodes answer, as of a global unit, each line is preceded by the name of its node.\n\n\
    Examples:\n  lab unit journal web\n  lab unit journal -f -n 50 'web@*'"
)]
pub struct Journal {
    /// Names, or patterns such as 'web@*' in quotes
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(complete::unit_files))]
    units: Vec<UnitArg>,
    /// Go on as new lines come
    #[arg(short, long, env = "LAB_FOLLOW")]
    follow: bool,
    /// Show this many of the last lines
    #[arg(short = 'n', long, env = "LAB_LINES", default_value_t = 10, value_name = "N")]
    lines: u32,
}

impl Journal {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let lab = bench.lab();
        let query = Query::Journal { lines: self.lines, follow: self.follow };
        let mut prefixer = Prefixer::default();
        let mut show = |place: &Place, is_error: bool, bytes: Vec<u8>| {
            let lines = if place.is_alone { bytes } else { prefixer.lines(&place.machine, is_error, &bytes) };
            if is_error { context.ui.write_talk(&lines) } else { context.ui.write(&lines) }
        };
        let code = units::ask_nodes(&lab, &self.units, query, |place, output| match output {
            NodeOutput::Stdout(bytes) => show(place, false, bytes),
            NodeOutput::Stderr(bytes) => show(place, true, bytes),
        });
        let code = code.await?;
        for (is_error, rest) in prefixer.rest() {
            if is_error { context.ui.write_talk(&rest) } else { context.ui.write(&rest) }
        }
        Ok(ended(code))
    }
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "DSTATE is how far the unit is to come, STATE how far it has come: inactive, loaded, launched. What\n\
    systemd makes of it is in `lab units`.\n\n\
    Examples:\n  lab unit ls\n  lab unit ls -o json"
)]
pub struct Ls {
    #[command(flatten)]
    output: Output,
}

impl Ls {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let listed = units::unit_files(&bench.lab()).await?;
        if self.output.is_json() {
            context.ui.print_json(&listed)?;
            return Ok(Exit::Done);
        }
        context.ui.print(&render(&listed.rows));
        context.ui.say(&format!("fleet: {}", listed.engine));
        Ok(Exit::Done)
    }
}

fn render(rows: &[FileRow]) -> String {
    let cells = |row: &FileRow| {
        let machine = row.machine.clone().unwrap_or_default();
        vec![
            row.unit.to_string(),
            row.hash.get(..7).unwrap_or(&row.hash).to_owned(),
            row.desired.to_string(),
            row.current.map(|current| current.to_string()).unwrap_or_default(),
            if row.is_global { "global".to_owned() } else { machine },
        ]
    };
    table::render(&["UNIT", "HASH", "DSTATE", "STATE", "TARGET"], &rows.iter().map(cells).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::records::Phase;

    #[test]
    fn unit_files_read_as_fleetctl_shows_them() {
        let row = |name: &str, is_global: bool, machine: Option<&str>| FileRow {
            unit: UnitName::from_argument(name).unwrap(),
            description: String::new(),
            hash: "da39a3ee5e6b4b0d".to_owned(),
            desired: Phase::Launched,
            current: (!is_global).then_some(Phase::Loaded),
            is_global,
            machine_id: None,
            machine: machine.map(str::to_owned),
        };
        let rows = [
            row("db", false, Some("core-01/10.77.0.11")),
            row("log", true, None),
            row("web@.timer", false, None),
        ];
        insta::assert_snapshot!(render(&rows), @r"
        UNIT         HASH     DSTATE    STATE   TARGET
        db.service   da39a3e  launched  loaded  core-01/10.77.0.11
        log.service  da39a3e  launched  -       global
        web@.timer   da39a3e  launched  loaded  -
        ");
    }

    #[test]
    fn nodes_are_named_where_there_are_several() {
        assert_eq!(block("core-01", b"a\nb", true), b"a\nb");
        assert_eq!(block("core-01", b"a\nb", false), b"core-01  a\ncore-01  b\n");
    }
}
