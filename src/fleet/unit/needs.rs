//! What a unit demands of the machine that it runs on: the sections `[X-Fleet]` and `[X-Lab]` of its file.

use std::collections::{BTreeMap, BTreeSet};

use super::{Pattern, UnitFile, UnitName};
use crate::model::Bytes;

/// All demands of one unit, with specifiers filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// A whole machine id, or its first eight characters.
    pub machine_id: Option<String>,
    /// Units that have to be scheduled on the same machine.
    pub machine_of: BTreeSet<String>,
    /// For each key, the values of which the machine must have one.
    pub metadata: BTreeMap<String, BTreeSet<String>>,
    pub conflicts: Vec<Pattern>,
    pub replaces: Vec<Pattern>,
    /// Runs on every machine that fits.
    pub is_global: bool,
    /// Whether a machine that has lost its lease stops the unit; `None` leaves that to the lab.
    pub fence: Option<bool>,
    /// How much of a machine's load the unit is; 1 unless told.
    pub weight: Option<u32>,
    /// How much memory of its machine is set aside for the unit.
    pub memory: Option<Bytes>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNeeds {
    #[error("{first} cannot be used with {second}")]
    Exclude { first: &'static str, second: &'static str },
    #[error("unresolvable requirements: peer {peer:?} matches {what} {pattern:?}")]
    Unresolvable { peer: String, what: &'static str, pattern: String },
    #[error(
        "line {line}: MachineMetadata {value:?} is not KEY=VALUE; several are written \"KEY=VALUE\" \"KEY=VALUE\""
    )]
    Metadata { line: usize, value: String },
    #[error("line {line}: {option} {value:?} is not {wanted}")]
    Value { line: usize, option: &'static str, value: String, wanted: &'static str },
}

const FLEET: &str = "X-Fleet";
const LAB: &str = "X-Lab";

impl Needs {
    /// Reads what a file demands. What cannot be meant is refused, where fleet would drop it and let the
    /// unit run anywhere.
    pub fn of(name: &UnitName, file: &UnitFile) -> Result<Self, BadNeeds> {
        let read = Reader { name, file };
        let needs = Self {
            machine_id: read.first(&["MachineID", "X-ConditionMachineID", "X-ConditionMachineBootID"]),
            machine_of: read.all(&["MachineOf", "X-ConditionMachineOf"]).map(|(_, peer)| peer).collect(),
            metadata: read.metadata()?,
            conflicts: read.patterns(&["Conflicts", "X-Conflicts"]),
            replaces: read.patterns(&["Replaces"]),
            is_global: read.all(&["Global"]).last().is_some_and(|(_, value)| is_true(&value)),
            fence: read.lab("Fence", "true or false", |value| match value {
                value if is_true(value) => Some(true),
                "false" | "no" | "0" | "off" | "f" => Some(false),
                _ => None,
            })?,
            weight: read.lab("Weight", "a number from 1 to 1000", |value| {
                value.parse().ok().filter(|weight| (1..=1000).contains(weight))
            })?,
            memory: read.lab("Memory", "a size such as 512MiB", |value| value.parse().ok())?,
        };
        needs.check()?;
        Ok(needs)
    }

    /// Refuses combinations in the order in which fleet does.
    fn check(&self) -> Result<(), BadNeeds> {
        let (pinned, peers) = (self.machine_id.is_some(), !self.machine_of.is_empty());
        let (conflicts, replaces) = (!self.conflicts.is_empty(), !self.replaces.is_empty());
        for (is_so, first, second) in [
            (pinned && peers, "MachineID", "Peers"),
            (pinned && conflicts, "MachineID", "Conflicts"),
            (pinned && self.is_global, "MachineID", "Global"),
            (pinned && replaces, "MachineID", "Replaces"),
            (self.is_global && peers, "Global", "Peers"),
            (self.is_global && replaces, "Global", "Replaces"),
            (conflicts && replaces, "Conflicts", "Replaces"),
        ] {
            if is_so {
                return Err(BadNeeds::Exclude { first, second });
            }
        }
        for (what, patterns) in [("conflict", &self.conflicts), ("replace", &self.replaces)] {
            let hit = self.machine_of.iter().find_map(|peer| {
                let pattern = patterns.iter().find(|pattern| pattern.matches(peer))?;
                Some((peer.clone(), pattern.to_string()))
            });
            if let Some((peer, pattern)) = hit {
                return Err(BadNeeds::Unresolvable { peer, what, pattern });
            }
        }
        Ok(())
    }

    pub fn weight(&self) -> u64 {
        u64::from(self.weight.unwrap_or(1))
    }

    pub fn memory(&self) -> u64 {
        self.memory.map_or(0, Bytes::get)
    }

    /// Returns the pattern by which a unit of this name may not share the machine, if there is one.
    pub fn conflict_with(&self, own: &str, other: &str) -> Option<&Pattern> {
        self.conflicts.iter().find(|pattern| own != other && pattern.matches(other))
    }

    pub fn replaces(&self, other: &str) -> bool {
        self.replaces.iter().any(|pattern| pattern.matches(other))
    }

    /// Returns whether others on the machine have to be looked at for this unit's sake.
    pub fn has_guards(&self) -> bool {
        !self.conflicts.is_empty() || !self.replaces.is_empty()
    }
}

fn is_true(value: &str) -> bool {
    ["true", "yes", "1", "on", "t"].contains(&value.to_ascii_lowercase().as_str())
}

struct Reader<'a> {
    name: &'a UnitName,
    file: &'a UnitFile,
}

impl Reader<'_> {
    /// Returns every value of the options with these names, with its line, in the order of the names.
    fn all<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = (usize, String)> + 'a {
        let values = names.iter().flat_map(|name| self.file.values(FLEET, name));
        values.flat_map(move |(line, value)| {
            split(value).into_iter().map(move |value| (line, self.fill_in(&value)))
        })
    }

    fn first(&self, names: &[&str]) -> Option<String> {
        self.all(names).next().map(|(_, value)| value)
    }

    fn patterns(&self, names: &[&str]) -> Vec<Pattern> {
        let values: Vec<String> = self.all(names).map(|(_, value)| value).collect();
        values.iter().flat_map(|value| value.split_whitespace()).map(Pattern::new).collect()
    }

    fn metadata(&self) -> Result<BTreeMap<String, BTreeSet<String>>, BadNeeds> {
        let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (line, text) in self.all(&["MachineMetadata", "X-ConditionMachineMetadata"]) {
            let is_word = |word: &str| !word.is_empty() && !word.contains([' ', '\t', '=']);
            match text.split_once('=') {
                // A value may have blanks inside, as a machine's may; a key has none.
                Some((key, value)) if is_word(key) && is_value(value) => {
                    wanted.entry(key.to_owned()).or_default().insert(value.to_owned());
                }
                _ => return Err(BadNeeds::Metadata { line, value: text }),
            }
        }
        Ok(wanted)
    }

    /// Reads an option of our own section, which fleet and systemd leave alone. The last one counts.
    fn lab<T>(
        &self,
        option: &'static str,
        wanted: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, BadNeeds> {
        let Some((line, value)) = self.file.values(LAB, option).last() else { return Ok(None) };
        match parse(value) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(BadNeeds::Value { line, option, value: value.to_owned(), wanted }),
        }
    }

    fn fill_in(&self, value: &str) -> String {
        let name = self.name;
        // Of a template nobody knows yet what will stand there.
        let instance = if name.is_template() { "%i" } else { name.instance() };
        value
            .replace("%n", name.as_str())
            .replace("%N", name.stem())
            .replace("%p", name.prefix())
            .replace("%i", instance)
    }
}

fn is_value(value: &str) -> bool {
    !value.is_empty() && !value.contains('=') && value.trim() == value
}

/// A value in quotes is a list, split at blanks between quotes; any other is one value.
fn split(value: &str) -> Vec<String> {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return vec![value.to_owned()];
    };
    let mut values = vec![String::new()];
    let mut is_quoted = true;
    for c in inner.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => values.push(String::new()),
            c => values.last_mut().expect("it begins with one").push(c),
        }
    }
    values.retain(|value| !value.is_empty());
    values
}

#[cfg(test)]
mod tests;
