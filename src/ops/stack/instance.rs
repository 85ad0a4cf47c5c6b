//! The units of a stack as they are handed to fleet: numbered, and with labels that tell what they were made for.
//! When a label changes, the file does, and a unit whose file changed is restarted: so nobody has to remember which
//! image or which members a unit was started with.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{Count, Stack, StackUnit};
use crate::fleet::unit::{UnitFile, UnitName};
use crate::model::image::{Digest, ImageName};
use crate::model::{Check, Duty};

/// The section of unit files that is ours; systemd skips all that begin with `X-`.
const SECTION: &str = "X-Lab";
const STACK: &str = "Stack";
const IMAGE: &str = "Image";
const MEMBERS: &str = "Members";
const ENV: &str = "Env";
/// Stands for an image that has to be made yet.
const NOT_MADE: &str = "none";

/// A unit as fleet is to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub stack: String,
    /// The unit of the stack of which it is one.
    pub of: UnitName,
    /// It is started when all of lower levels serve.
    pub level: usize,
    pub name: UnitName,
    pub file: UnitFile,
    pub check: Option<Check>,
    pub leader: Option<Check>,
}

/// What each image is called on nodes, and which it is; nothing where it has to be made yet.
pub type ImageIds = BTreeMap<String, (ImageName, Option<Digest>)>;

/// Returns an instance of a template.
pub(super) fn numbered(template: &UnitName, number: u16) -> UnitName {
    let name = format!("{}@{number}.{}", template.prefix(), template.suffix());
    UnitName::parse(&name).expect("a template with a number is a unit")
}

impl StackUnit {
    /// Returns the names of all units that this stands for.
    pub fn names(&self, duties: &[Duty]) -> Vec<UnitName> {
        let members = || {
            let duty = duties.iter().find(|duty| Some(&duty.role) == self.role.as_ref());
            u16::try_from(duty.map_or(0, |duty| duty.members.len())).unwrap_or(u16::MAX)
        };
        let count = match self.count {
            Count::One => return vec![self.name.clone()],
            Count::Instances(count) => count,
            Count::Members => members(),
        };
        (1..=count).map(|number| numbered(&self.name, number)).collect()
    }
}

impl Stack {
    /// Returns all units as fleet is to have them.
    pub fn instances(&self, duties: &[Duty], images: &ImageIds) -> Vec<Instance> {
        let all = self.units.iter().flat_map(|unit| {
            let file = self.labelled(unit, duties, images);
            let instance = move |name| Instance {
                stack: self.name.clone(),
                of: unit.name.clone(),
                level: self.level(unit.role.as_ref()),
                name,
                file: file.clone(),
                check: unit.check.clone(),
                leader: unit.leader.clone(),
            };
            unit.names(duties).into_iter().map(instance)
        });
        all.collect()
    }

    fn labelled(&self, unit: &StackUnit, duties: &[Duty], images: &ImageIds) -> UnitFile {
        let mut lines = vec![(STACK, self.name.clone())];
        for key in &unit.images {
            let (name, id) = images.get(key).map_or((key.clone(), None), |(name, id)| (name.familiar(), *id));
            lines.push((IMAGE, format!("{name} {}", id.map_or(NOT_MADE.to_owned(), |id| id.to_string()))));
        }
        for duty in duties.iter().filter(|duty| unit.reads.contains(&duty.role)) {
            let members: Vec<&str> = duty.members.iter().map(|member| member.node.as_str()).collect();
            lines.push((MEMBERS, format!("{} {}", duty.role, members.join(","))));
        }
        if unit.reads_env {
            let hash = self.env.iter().fold(Sha256::new(), |hash, (name, value)| {
                hash.chain_update(name).chain_update([0]).chain_update(value).chain_update([0])
            });
            let short: String = hash.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
            lines.push((ENV, short));
        }
        let lines: String = lines.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let text = unit.file.text().trim_end();
        UnitFile::parse(&format!("{text}\n\n# What lab started it for.\n[{SECTION}]\n{lines}"))
            .expect("a section behind a good file is good")
    }
}

/// What the labels of a unit say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Label {
    pub stack: Option<String>,
    images: Vec<String>,
    members: BTreeMap<String, String>,
    env: Option<String>,
}

/// Reads what a unit was made for.
pub fn labels(file: &UnitFile) -> Label {
    let all = |name: &'static str| file.values(SECTION, name).map(|(_, value)| value.to_owned());
    let members = all(MEMBERS).filter_map(|value| {
        let (role, nodes) = value.split_once(' ')?;
        Some((role.to_owned(), nodes.to_owned()))
    });
    Label {
        stack: all(STACK).last(),
        images: all(IMAGE).collect(),
        members: members.collect(),
        env: all(ENV).last(),
    }
}

impl Label {
    /// Returns whether what is wanted runs an image that is known and is another.
    pub fn runs_another_image(&self, wanted: &Self) -> bool {
        self.images != wanted.images
            && !wanted.images.iter().any(|image| image.ends_with(&format!(" {NOT_MADE}")))
    }

    /// Returns in words what of a unit is to be another.
    pub fn difference(&self, wanted: &Self) -> String {
        if self.images != wanted.images {
            return "its image changed".to_owned();
        }
        let changed = wanted.members.iter().find(|(role, nodes)| self.members.get(*role) != Some(*nodes));
        if let Some((role, _)) = changed {
            return format!("the members of {role} changed");
        }
        if self.env == wanted.env {
            "it has another file".to_owned()
        } else {
            "its variables changed".to_owned()
        }
    }
}
