//! `lab why`

use clap::Args as ClapArgs;
use clap_complete::ArgValueCandidates;

use super::args::Output;
use super::context::Context;
use super::exit::Exit;
use super::{complete, table};
use crate::fleet::unit::UnitName;
use crate::ops::units::{self, Why};

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Says where the unit is, what systemd says of it there, and what it is to each machine, by the rules\n\
    that the engine has. If it failed, the last lines of its journal follow.\n\n\
    Examples:\n  lab why web\n  lab why web@3.service -o json"
)]
pub struct Args {
    /// The unit; a service unless a type is said
    #[arg(value_name = "UNIT", value_parser = units::unit_name, add = ArgValueCandidates::new(complete::unit_files))]
    unit: UnitName,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let why = units::explain_unit(&bench.lab(), &self.unit).await?;
        if self.output.is_json() {
            context.ui.print_json(&why)?;
        } else {
            context.ui.print(&render(&why));
        }
        Ok(Exit::Done)
    }
}

fn render(why: &Why) -> String {
    let rows: Vec<Vec<String>> = why
        .machines
        .iter()
        .map(|row| {
            let mark = if row.is_home { "*" } else { "" };
            vec![format!("{}{mark}", row.machine), row.state.clone().unwrap_or_default(), row.verdict.clone()]
        })
        .collect();
    let mut text = format!("{}\n", why.summary);
    text.extend(why.remarks.iter().map(|remark| format!("{remark}\n")));
    if !rows.is_empty() {
        text += &format!("\n{}", table::render(&["MACHINE", "STATE", "VERDICT"], &rows));
    }
    if !why.last_words.is_empty() {
        text += &format!("\n{}\n", why.last_words.join("\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::client::Engine;
    use crate::fleet::records::Phase;
    use crate::ops::units::MachineWhy;

    #[test]
    fn an_explanation_reads_from_the_top() {
        let machine = |machine: &str, is_home, verdict: &str, state: Option<&str>| MachineWhy {
            machine: machine.to_owned(),
            is_home,
            is_able: is_home,
            verdict: verdict.to_owned(),
            state: state.map(str::to_owned),
        };
        let why = Why {
            unit: UnitName::from_argument("db").unwrap(),
            engine: Engine::Unknown,
            desired: Phase::Launched,
            summary: "db.service is on core-01: failed (failed)".to_owned(),
            remarks: vec!["it was asked to move to core-02".to_owned()],
            machines: vec![
                machine("core-01/10.77.0.11", true, "it may run here", Some("failed (failed)")),
                machine("core-02/10.77.0.12", false, "it wants disk=ssd, the machine has no disk", None),
            ],
            last_words: vec![
                "systemd: failed (failed), exit-code, status 1".to_owned(),
                "| no disk".to_owned(),
            ],
        };
        insta::assert_snapshot!(render(&why), @r"
        db.service is on core-01: failed (failed)
        it was asked to move to core-02

        MACHINE              STATE            VERDICT
        core-01/10.77.0.11*  failed (failed)  it may run here
        core-02/10.77.0.12   -                it wants disk=ssd, the machine has no disk

        systemd: failed (failed), exit-code, status 1
        | no disk
        ");
    }
}
