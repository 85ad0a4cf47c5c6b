//! Where a unit's file comes from: the cluster, a file here, or the template of either.

use camino::{Utf8Path, Utf8PathBuf};

use crate::fleet::client::file_of;
use crate::fleet::records::Phase;
use crate::fleet::unit::{Needs, UnitFile, UnitName};
use crate::fleet::v1::Unit;
use crate::fs;

use crate::ops::Error;

/// A unit file here, beside the name for which it was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    pub path: Utf8PathBuf,
    pub file: UnitFile,
}

/// Files here that may be a unit's: its own, and that of its template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Here {
    pub own: Option<Local>,
    pub template: Option<Local>,
}

impl Here {
    /// Reads what there is, and checks that it makes sense.
    pub fn read(name: &UnitName, folder: &Utf8Path) -> Result<Self, Error> {
        let own = read(name, name, folder)?;
        let template = match name.template() {
            Some(template) if own.is_none() => read(&template, name, folder)?,
            _ => None,
        };
        Ok(Self { own, template })
    }

    /// Returns what a unit that the cluster knows is compared with.
    fn nearest(&self) -> Option<&Local> {
        self.own.as_ref().or(self.template.as_ref())
    }
}

fn read(file_name: &UnitName, unit: &UnitName, folder: &Utf8Path) -> Result<Option<Local>, Error> {
    let path = folder.join(file_name.as_str());
    let Some(text) = fs::read_if_present(&path)? else { return Ok(None) };
    let shown = || path.clone();
    let file = UnitFile::parse(&text).map_err(|source| Error::UnitFile { path: shown(), source })?;
    Needs::of(unit, &file).map_err(|source| Error::UnitNeeds { path: shown(), source })?;
    Ok(Some(Local { path, file }))
}

/// What to do about a unit's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    Create {
        file: UnitFile,
    },
    Replace {
        file: UnitFile,
    },
    /// The cluster's copy is used.
    Keep {
        warning: Option<String>,
    },
    Missing,
}

/// Whether a unit that the cluster knows gets another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Differing {
    Warn,
    /// It does, if it has not come further than this.
    Replace {
        up_to: Phase,
    },
}

/// Decides where a unit's file comes from, in fleet's order.
pub fn choose(known: Option<&Unit>, here: &Here, template: Option<&Unit>, differing: Differing) -> Choice {
    if let Some(unit) = known {
        return keep_or_replace(unit, here, differing);
    }
    if let Some(local) = &here.own {
        return Choice::Create { file: local.file.clone() };
    }
    // What the cluster has cannot be bad, or it would not be there.
    if let Some(file) = template.and_then(|template| file_of(template).ok()) {
        return Choice::Create { file };
    }
    match &here.template {
        Some(local) => Choice::Create { file: local.file.clone() },
        None => Choice::Missing,
    }
}

fn keep_or_replace(unit: &Unit, here: &Here, differing: Differing) -> Choice {
    let held = file_of(unit).ok().map(|file| file.hash());
    let Some(local) = here.nearest().filter(|local| Some(local.file.hash()) != held) else {
        return Choice::Keep { warning: None };
    };
    let desired = unit.desired_state.unwrap_or_default();
    let warning = match differing {
        Differing::Replace { up_to } if desired <= up_to => {
            return Choice::Replace { file: local.file.clone() };
        }
        Differing::Replace { .. } => {
            format!("it is {desired} and keeps its file; `lab unit start --replace` replaces it")
        }
        Differing::Warn => {
            format!(
                "the cluster has another file than {}, and uses its own; --replace replaces it",
                local.path
            )
        }
    };
    Choice::Keep { warning: Some(warning) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "[Service]\nExecStart=/old\n";
    const NEW: &str = "# With a comment.\n[Service]\nExecStart=/new\n";

    fn local(text: &str) -> Local {
        Local { path: "web.service".into(), file: UnitFile::parse(text).unwrap() }
    }

    fn unit(text: &str, desired: Phase) -> Unit {
        let options = UnitFile::parse(text).unwrap().options().to_vec();
        Unit { options, desired_state: Some(desired), ..Unit::default() }
    }

    /// Files here, by their texts.
    fn here(own: Option<&str>, template: Option<&str>) -> Here {
        Here { own: own.map(local), template: template.map(local) }
    }

    fn created(choice: Choice) -> String {
        match choice {
            Choice::Create { file } | Choice::Replace { file } => file.text().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_unit_comes_from_a_file_or_a_template_in_fleets_order() {
        let template = unit(OLD, Phase::Inactive);
        let choose = |here: Here, template| choose(None, &here, template, Differing::Warn);
        assert_eq!(created(choose(here(Some(NEW), Some(OLD)), Some(&template))), NEW);
        assert_eq!(created(choose(here(None, Some(NEW)), Some(&template))), OLD);
        assert_eq!(created(choose(here(None, Some(NEW)), None)), NEW);
        assert_eq!(choose(here(None, None), None), Choice::Missing);
    }

    #[test]
    fn a_known_unit_keeps_its_file_unless_told() {
        let known = unit(OLD, Phase::Launched);
        let differs = here(Some(NEW), None);
        let with = |differing| choose(Some(&known), &differs, None, differing);
        assert!(matches!(with(Differing::Warn), Choice::Keep { warning: Some(_) }));
        assert_eq!(created(with(Differing::Replace { up_to: Phase::Launched })), NEW);
        let refused = with(Differing::Replace { up_to: Phase::Loaded });
        assert!(matches!(refused, Choice::Keep { warning: Some(why) } if why.starts_with("it is launched")));
        let same = here(Some(&format!("# Hello.\n{OLD}")), None);
        let kept = choose(Some(&known), &same, None, Differing::Warn);
        assert_eq!(kept, Choice::Keep { warning: None });
        let by_template = choose(Some(&known), &here(None, Some(NEW)), None, Differing::Warn);
        assert!(matches!(by_template, Choice::Keep { warning: Some(_) }));
    }

    #[test]
    fn files_are_read_with_their_mistakes_told() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        let name = |name: &str| UnitName::parse(name).unwrap();
        let write = |name: &str, text: &str| fs::overwrite(&folder.join(name), text).unwrap();
        assert_eq!(Here::read(&name("web@1.service"), folder).unwrap(), Here::default());
        write("web@.service", OLD);
        let found = Here::read(&name("web@1.service"), folder).unwrap();
        assert_eq!((found.own, found.template.unwrap().file.text()), (None, OLD));
        write("bad.service", "[Service\n");
        assert!(matches!(Here::read(&name("bad.service"), folder), Err(Error::UnitFile { .. })));
        write("odd.service", "[X-Fleet]\nMachineMetadata=x\n");
        assert!(matches!(Here::read(&name("odd.service"), folder), Err(Error::UnitNeeds { .. })));
    }
}
