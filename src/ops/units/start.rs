//! `lab unit submit`, `load` and `start`: units become known, come to a machine, and run.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8Path;

use crate::fleet::client::file_of;
use crate::fleet::records::Phase;
use crate::fleet::unit::{UnitFile, UnitName};
use crate::fleet::v1::Unit;
use crate::ops::{Error, Lab};
use crate::provider::Provider;

use super::cluster::Cluster;
use super::goal::Goal;
use super::select::{UnitArg, select_all};
use super::sight::Sight;
use super::source::{Choice, Differing, Here, choose};

/// How far units are to come, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bring {
    pub to: Phase,
    pub differing: Differing,
    /// How long to wait; `None` not to.
    pub wait: Option<Duration>,
}

/// Brings units to a phase: those that the cluster knows, and those of which there is a file.
pub async fn bring<P: Provider>(
    lab: &Lab<'_, P>,
    folder: &Utf8Path,
    args: &[UnitArg],
    how: &Bring,
) -> Result<Vec<UnitName>, Error> {
    // Mistakes in files are told before anything is asked.
    let here = read_files(folder, args)?;
    let cluster = Cluster::open(lab).await?;
    let sight = cluster.look().await?;
    let patterns: Vec<UnitArg> =
        args.iter().filter(|arg| matches!(arg, UnitArg::Several(_))).cloned().collect();
    let mut names = select_all(&patterns, &sight.known())?;
    names.extend(here.keys().cloned());
    let templates = templates(&cluster, &sight, &here).await?;
    let plan = plan(&sight, &here, &templates, names.iter(), how)?;
    for (unit, warning) in &plan.warnings {
        cluster.progress().note(unit.to_string(), warning.as_str());
    }
    cluster.put_all(&plan.puts).await?;
    let goal = match how.to {
        Phase::Inactive => None,
        Phase::Loaded => Some(Goal::Loaded),
        Phase::Launched => Some(Goal::Active),
    };
    let names: Vec<UnitName> = names.into_iter().collect();
    let Some((goal, limit)) = goal.zip(how.wait) else {
        tell_puts(&cluster, &plan);
        return Ok(names);
    };
    let goals = names.iter().filter(|name| !name.is_template()).map(|name| (name.clone(), goal.clone()));
    let what = if how.to == Phase::Launched { "did not start" } else { "could not be loaded" };
    cluster.wait(goals.collect(), limit, what).await?;
    Ok(names)
}

fn tell_puts<P: Provider>(cluster: &Cluster<'_, P>, plan: &Plan) {
    for unit in &plan.puts {
        let desired = unit.desired_state.unwrap_or_default();
        let text = if unit.options.is_empty() {
            format!("to be {desired}")
        } else {
            format!("known, to be {desired}")
        };
        cluster.progress().note(unit.name.as_str(), text);
    }
}

fn read_files(folder: &Utf8Path, args: &[UnitArg]) -> Result<BTreeMap<UnitName, Here>, Error> {
    let named = args.iter().filter_map(|arg| match arg {
        UnitArg::One { name, folder: below } => Some((name, folder.join(below))),
        UnitArg::Several(_) => None,
    });
    named.map(|(name, folder)| Ok((name.clone(), Here::read(name, &folder)?))).collect()
}

/// Asks for the templates that new instances may be made of, with their comments.
async fn templates<P: Provider>(
    cluster: &Cluster<'_, P>,
    sight: &Sight,
    here: &BTreeMap<UnitName, Here>,
) -> Result<BTreeMap<UnitName, Unit>, Error> {
    let new = here.iter().filter(|(name, here)| !sight.units.contains_key(*name) && here.own.is_none());
    let wanted: std::collections::BTreeSet<UnitName> =
        new.filter_map(|(name, _)| name.template()).filter(|name| sight.units.contains_key(name)).collect();
    let mut templates = BTreeMap::new();
    for name in wanted {
        if let Some(unit) = cluster.client.unit(&name).await? {
            templates.insert(name, unit);
        }
    }
    Ok(templates)
}

/// What is said to fleet, and to the user.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) puts: Vec<Unit>,
    warnings: Vec<(UnitName, String)>,
}

/// Decides what to say to fleet about each unit. All that is missing is told at once.
pub(super) fn plan<'a>(
    sight: &Sight,
    here: &BTreeMap<UnitName, Here>,
    templates: &BTreeMap<UnitName, Unit>,
    names: impl Iterator<Item = &'a UnitName>,
    how: &Bring,
) -> Result<Plan, Error> {
    let nothing = Here::default();
    let mut plan = Plan::default();
    let mut missing = Vec::new();
    for name in names {
        let known = sight.units.get(name);
        let template = name.template().and_then(|template| templates.get(&template));
        let choice = choose(known, here.get(name).unwrap_or(&nothing), template, how.differing);
        // A template never runs itself; it is only to be known.
        let to = if name.is_template() { Phase::Inactive } else { how.to };
        match choice {
            Choice::Missing => missing.push(format!("`{name}`")),
            Choice::Create { file } | Choice::Replace { file } => plan.puts.push(told(name, &file, to)),
            Choice::Keep { warning } => {
                plan.warnings.extend(warning.map(|warning| (name.clone(), warning)));
                // To submit what is known changes nothing.
                if how.to != Phase::Inactive && sight.desired(name) != to {
                    let desired_state = Some(to);
                    plan.puts.push(Unit { name: name.to_string(), desired_state, ..Unit::default() });
                }
            }
        }
    }
    if missing.is_empty() { Ok(plan) } else { Err(Error::NoUnitFile { units: missing.join(", ") }) }
}

/// Returns what makes a unit, or renews it. Servers that know nothing of the text leave it alone.
fn told(name: &UnitName, file: &UnitFile, to: Phase) -> Unit {
    Unit {
        name: name.to_string(),
        options: file.options().to_vec(),
        desired_state: Some(to),
        text: Some(file.text().to_owned()),
        ..Unit::default()
    }
}

/// Returns the file of a unit as the cluster has it: as it was written, where that is known.
pub async fn cat<P: Provider>(lab: &Lab<'_, P>, name: &UnitName) -> Result<String, Error> {
    let cluster = Cluster::open(lab).await?;
    let unit = cluster.client.unit(name).await?;
    let unit = unit.ok_or_else(|| Error::NoUnit { units: format!("`{name}`") })?;
    let file = file_of(&unit).map_err(|source| Error::UnitText { unit: name.clone(), source })?;
    Ok(file.text().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::units::sight::tests::{name, sight, unit};
    use crate::ops::units::source::Local;

    const START: Bring = Bring { to: Phase::Launched, differing: Differing::Warn, wait: None };
    const SUBMIT: Bring = Bring { to: Phase::Inactive, ..START };

    fn local(text: &str) -> Here {
        let own = Local { path: "a.service".into(), file: UnitFile::parse(text).unwrap() };
        Here { own: Some(own), template: None }
    }

    fn planned(known: Vec<Unit>, here: &[(&str, Here)], how: &Bring) -> Result<Plan, Error> {
        let here: BTreeMap<UnitName, Here> =
            here.iter().map(|(text, here)| (name(text), here.clone())).collect();
        let sight = sight(known, Vec::new());
        let templates = sight.units.clone();
        plan(&sight, &here, &templates, here.keys(), how)
    }

    #[test]
    fn a_new_unit_is_made_and_started_in_one_request() {
        let text = "# Hello.\n[Service]\nExecStart=/a\n";
        let plan = planned(Vec::new(), &[("a.service", local(text))], &START).unwrap();
        let [put] = &plan.puts[..] else { panic!("{plan:?}") };
        assert_eq!((put.desired_state, put.text.as_deref()), (Some(Phase::Launched), Some(text)));
        assert_eq!(put.options.len(), 1);
    }

    #[test]
    fn a_known_unit_is_told_only_what_changes() {
        let known = |desired| vec![unit("a.service", "", desired, None)];
        let puts =
            |desired, how| planned(known(desired), &[("a.service", Here::default())], how).unwrap().puts;
        let start =
            Unit { name: "a.service".to_owned(), desired_state: Some(Phase::Launched), ..Unit::default() };
        assert_eq!(puts(Phase::Inactive, &START), [start]);
        assert_eq!(puts(Phase::Launched, &START), []);
        assert_eq!(puts(Phase::Launched, &SUBMIT), []);
    }

    #[test]
    fn an_instance_is_made_of_its_template_which_itself_never_runs() {
        let template = || vec![unit("a@.service", "[Service]\nExecStart=/a\n", Phase::Inactive, None)];
        let plan = planned(template(), &[("a@1.service", Here::default())], &START).unwrap();
        assert_eq!(plan.puts[0].options.len(), 1);
        let text = "[Service]\nExecStart=/a\n";
        let plan = planned(Vec::new(), &[("a@.service", local(text))], &START).unwrap();
        assert_eq!(plan.puts[0].desired_state, Some(Phase::Inactive));
    }

    #[test]
    fn all_that_is_missing_is_told_at_once() {
        let here = [("a.service", Here::default()), ("b.service", Here::default())];
        let error = planned(Vec::new(), &here, &START).unwrap_err().to_string();
        assert!(error.contains("`a.service`, `b.service`"), "{error}");
    }

    #[test]
    fn a_file_that_differs_is_told_or_takes_its_place() {
        let known = || vec![unit("a.service", "", Phase::Launched, Some("m1"))];
        let here = [("a.service", local("[Service]\nExecStart=/b\n"))];
        let plan = planned(known(), &here, &START).unwrap();
        assert_eq!((plan.puts.len(), plan.warnings.len()), (0, 1));
        let replace = Bring { differing: Differing::Replace { up_to: Phase::Launched }, ..START };
        let plan = planned(known(), &here, &replace).unwrap();
        assert_eq!((plan.puts.len(), plan.warnings.len()), (1, 0));
    }
}
