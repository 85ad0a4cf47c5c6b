//! `lab doctor`

use clap::Args as ClapArgs;

use super::args::Output;
use super::context::Context;
use super::exit::Exit;
use crate::docker::Engine;
use crate::ops::doctor::{Finding, Place, Verdict, examine, fleet, gather, mend};
use crate::provider::container::Containers;

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Each finding comes with its cure. `--fix` does those that are safe and change nothing but this\n\
    host's settings. Ends with code 6 if something stands in the way of a lab."
)]
pub struct Args {
    /// Cure what can be cured safely
    #[arg(long, env = "LAB_FIX")]
    fix: bool,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut findings = look(context).await?;
        if self.fix {
            let mended = mend(&findings).await;
            for (check, result) in &mended {
                match result {
                    Ok(done) => context.ui.say(&format!("{check}: {done}")),
                    Err(why) => context.ui.say(&format!("{check}: could not be cured: {why}")),
                }
            }
            if !mended.is_empty() {
                findings = look(context).await?;
            }
        }
        if self.output.is_json() {
            context.ui.print_json(&findings)?;
        } else {
            let text: String = findings.iter().map(|finding| show(context, finding)).collect();
            context.ui.print(&text);
        }
        let stands_in_the_way = findings.iter().any(|finding| finding.verdict == Verdict::Problem);
        Ok(if stands_in_the_way { Exit::Missing } else { Exit::Done })
    }
}

async fn look(context: &Context) -> anyhow::Result<Vec<Finding>> {
    let settings = context.settings(context.flags())?;
    let engine = context.engine().await;
    let labs = match &engine {
        Ok(engine) => labs(context, engine).await,
        Err(_) => Vec::new(),
    };
    let is_here = |(name, project): &(_, Option<String>)| {
        *name == settings.lab && project.as_deref() == Some(settings.project.as_str())
    };
    let fleet = if labs.iter().any(is_here) { Some(fleet(registry(context).await)) } else { None };
    let place = Place {
        project: settings.project,
        cache: context.dirs.cache().to_owned(),
        labd: context.labd()?,
        subnet: settings.subnet,
        labs,
    };
    Ok(examine(&gather(engine.as_ref(), &place).await).into_iter().chain(fleet).collect())
}

/// Asks the fleet of the lab in this folder whether what it remembers is sound.
async fn registry(context: &Context) -> Result<Vec<String>, String> {
    let bench = context.open().await.map_err(|error| error.to_string())?;
    crate::ops::units::fsck(&bench.lab()).await.map_err(|error| error.to_string())
}

/// Returns the labs of this host; an engine that cannot list them is a finding of its own.
async fn labs(context: &Context, engine: &Engine) -> Vec<(crate::model::LabName, Option<String>)> {
    let Ok(place) = context.place(&context.cwd, None) else { return Vec::new() };
    let labs = Containers::new(engine.clone(), place).labs().await.unwrap_or_default();
    labs.into_iter().map(|lab| (lab.lab, lab.project)).collect()
}

fn show(context: &Context, finding: &Finding) -> String {
    let (mark, color) = match finding.verdict {
        Verdict::Fine => ("✓", "green"),
        Verdict::Note => ("·", "cyan"),
        Verdict::Warning => ("!", "yellow"),
        Verdict::Problem => ("✗", "red"),
    };
    let mut text = format!("{} {:<14} {}\n", context.ui.paint_data(mark, color), finding.check, finding.says);
    if let Some(cure) = &finding.cure {
        text += &format!("  {:<14} cure: {cure}\n", "");
    }
    text
}
