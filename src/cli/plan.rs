//! `lab plan`

use clap::Args as ClapArgs;
use clap_complete::ArgValueCandidates;

use super::args::Output;
use super::context::Context;
use super::exit::Exit;
use super::{complete, table};
use crate::ops::units::{self, Forecast, ForecastMove};

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Nothing is done. Units are placed in thought, by the rules that the engine has. Without `--without`\n\
    it shows what the engine is about to do.\n\n\
    Examples:\n  lab plan --without core-02\n  lab plan --without core-01 --without core-02 -o json"
)]
pub struct Args {
    /// As if this node were gone; may be repeated
    #[arg(long, env = "LAB_WITHOUT", value_name = "NODE", add = ArgValueCandidates::new(complete::nodes))]
    without: Vec<String>,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let forecast = units::forecast(&bench.lab(), &self.without).await?;
        if self.output.is_json() {
            context.ui.print_json(&forecast)?;
        } else if forecast.moves.is_empty() && forecast.homeless.is_empty() {
            context.ui.say("no unit would move");
        } else {
            context.ui.print(&render(&forecast));
        }
        Ok(Exit::Done)
    }
}

fn render(forecast: &Forecast) -> String {
    let cells = |step: &ForecastMove| {
        let at = |machine: &Option<String>| machine.clone().unwrap_or_default();
        vec![step.unit.to_string(), at(&step.from), at(&step.to), step.why.clone()]
    };
    let cells: Vec<Vec<String>> = forecast.moves.iter().map(cells).collect();
    let mut text =
        if cells.is_empty() { String::new() } else { table::render(&["UNIT", "FROM", "TO", "WHY"], &cells) };
    for (unit, reasons) in &forecast.homeless {
        let reasons: String = reasons.iter().map(|reason| format!("  {reason}\n")).collect();
        let gap = if text.is_empty() { "" } else { "\n" };
        text += &format!("{gap}{unit} would be on no machine:\n{reasons}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::unit::UnitName;

    #[test]
    fn a_forecast_ends_with_those_that_find_no_place() {
        let step = |unit: &str, to: Option<&str>| ForecastMove {
            unit: UnitName::from_argument(unit).unwrap(),
            from: Some("core-02/10.77.0.12".to_owned()),
            to: to.map(str::to_owned),
            why: "its machine is gone".to_owned(),
        };
        let forecast = Forecast {
            moves: vec![step("web", Some("core-01/10.77.0.11")), step("db", None)],
            homeless: [(
                UnitName::from_argument("db").unwrap(),
                vec!["core-01: it wants disk=ssd, the machine has no disk".to_owned()],
            )]
            .into(),
        };
        insta::assert_snapshot!(render(&forecast), @r"
        UNIT         FROM                TO                  WHY
        web.service  core-02/10.77.0.12  core-01/10.77.0.11  its machine is gone
        db.service   core-02/10.77.0.12  -                   its machine is gone

        db.service would be on no machine:
          core-01: it wants disk=ssd, the machine has no disk
        ");
    }
}
