//! Names of units, by the rules of fleet's API. Its messages are part of the protocol.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Every type of unit that systemd knows, and whether it may be a template.
const KINDS: [(&str, bool); 13] = [
    ("automount", false),
    ("busname", false),
    ("device", false),
    ("mount", false),
    ("path", true),
    ("scope", false),
    ("service", true),
    ("slice", false),
    ("snapshot", false),
    ("socket", true),
    ("swap", false),
    ("target", true),
    ("timer", true),
];
const LONGEST: usize = 256;

/// The name of a unit: valid ever after.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUnitName {
    #[error("unit name cannot be empty")]
    Empty,
    #[error("unit name exceeds maximum length ({LONGEST})")]
    TooLong,
    #[error("unit name must contain \".\"")]
    NoDot,
    #[error("unit name cannot end in \".\"")]
    EndsInDot,
    #[error("invalid unit type: {0:?}")]
    Kind(String),
    #[error("invalid unit type for template: {0:?}")]
    TemplateKind(String),
    #[error("invalid character {0:?} in unit name")]
    Character(char),
    #[error("unit name cannot start in \"@\"")]
    StartsInAt,
}

fn kind_of(suffix: &str) -> Option<bool> {
    KINDS.iter().find(|(kind, _)| *kind == suffix).map(|(_, may_be_template)| *may_be_template)
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || ":_.\\@-".contains(c)
}

impl UnitName {
    /// Checks in the order in which fleet does, so that the first complaint is the same.
    pub fn parse(name: &str) -> Result<Self, BadUnitName> {
        if name.is_empty() {
            return Err(BadUnitName::Empty);
        }
        if name.len() > LONGEST {
            return Err(BadUnitName::TooLong);
        }
        let (stem, suffix) = name.rsplit_once('.').ok_or(BadUnitName::NoDot)?;
        if suffix.is_empty() {
            return Err(BadUnitName::EndsInDot);
        }
        let may_be_template = kind_of(suffix).ok_or_else(|| BadUnitName::Kind(suffix.to_owned()))?;
        if name.contains('@') && !may_be_template {
            return Err(BadUnitName::TemplateKind(suffix.to_owned()));
        }
        if let Some(bad) = stem.chars().find(|c| !is_allowed(*c)) {
            return Err(BadUnitName::Character(bad));
        }
        if name.starts_with('@') {
            return Err(BadUnitName::StartsInAt);
        }
        Ok(Self(name.to_owned()))
    }

    /// Returns the unit that a user means: the last part of a path, a service unless a type is said.
    pub fn from_argument(argument: &str) -> Result<Self, BadUnitName> {
        let last = argument.rsplit('/').next().unwrap_or(argument);
        let is_whole = last.rsplit_once('.').is_some_and(|(_, suffix)| kind_of(suffix).is_some());
        if is_whole { Self::parse(last) } else { Self::parse(&format!("{last}.service")) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name without its type.
    pub fn stem(&self) -> &str {
        self.0.rsplit_once('.').map_or(&self.0, |(stem, _)| stem)
    }

    pub fn suffix(&self) -> &str {
        self.0.rsplit_once('.').map_or("", |(_, suffix)| suffix)
    }

    /// Returns what stands before the first `@`, or the whole stem.
    pub fn prefix(&self) -> &str {
        self.stem().split_once('@').map_or(self.stem(), |(prefix, _)| prefix)
    }

    /// Returns what stands behind the first `@`; empty where there is nothing.
    pub fn instance(&self) -> &str {
        self.stem().split_once('@').map_or("", |(_, instance)| instance)
    }

    pub fn is_template(&self) -> bool {
        self.stem().contains('@') && self.instance().is_empty()
    }

    /// Returns the template of which this unit is an instance, if it is one.
    pub fn template(&self) -> Option<Self> {
        let is_instance = !self.instance().is_empty();
        is_instance.then(|| Self(format!("{}@.{}", self.prefix(), self.suffix())))
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for UnitName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for UnitName {
    type Err = BadUnitName;

    fn from_str(name: &str) -> Result<Self, BadUnitName> {
        Self::parse(name)
    }
}

impl TryFrom<String> for UnitName {
    type Error = BadUnitName;

    fn try_from(name: String) -> Result<Self, BadUnitName> {
        Self::parse(&name)
    }
}

impl From<UnitName> for String {
    fn from(name: UnitName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(name: &str, want: &str) {
        assert_eq!(UnitName::parse(name).unwrap_err().to_string(), want);
    }

    #[test]
    fn complaints_are_those_of_fleet() {
        refused("", "unit name cannot be empty");
        refused(&"x".repeat(257), "unit name exceeds maximum length (256)");
        refused("hello", "unit name must contain \".\"");
        refused("hello.", "unit name cannot end in \".\"");
        refused("hello.conf", "invalid unit type: \"conf\"");
        refused("a@b.mount", "invalid unit type for template: \"mount\"");
        refused("a b.service", "invalid character ' ' in unit name");
        refused("a/b.service", "invalid character '/' in unit name");
        refused("@a.service", "unit name cannot start in \"@\"");
        // The first complaint wins.
        refused("@a/.mount", "invalid unit type for template: \"mount\"");
    }

    #[test]
    fn every_type_of_systemd_is_known_everywhere() {
        for (kind, _) in KINDS {
            assert!(UnitName::parse(&format!("a.{kind}")).is_ok(), "{kind}");
            assert_eq!(UnitName::from_argument(&format!("a.{kind}")).unwrap().suffix(), kind);
        }
        assert!(UnitName::parse(r"dev-a\x2db:1.socket").is_ok());
    }

    #[test]
    fn a_name_falls_into_parts() {
        let parts = |name: &str| {
            let name = UnitName::parse(name).unwrap();
            let template = name.template().map(|template| template.to_string());
            (name.prefix().to_owned(), name.instance().to_owned(), name.is_template(), template)
        };
        assert_eq!(parts("a.b.service"), ("a.b".into(), String::new(), false, None));
        assert_eq!(parts("a@.service"), ("a".into(), String::new(), true, None));
        assert_eq!(parts("a@1.service"), ("a".into(), "1".into(), false, Some("a@.service".into())));
        assert_eq!(parts("a@b@c.d.timer"), ("a".into(), "b@c.d".into(), false, Some("a@.timer".into())));
    }

    #[test]
    fn an_argument_is_a_path_or_a_short_name() {
        let meant = |argument: &str| UnitName::from_argument(argument).unwrap().to_string();
        assert_eq!(meant("hello"), "hello.service");
        assert_eq!(meant("units/hello.timer"), "hello.timer");
        assert_eq!(meant("a.b"), "a.b.service");
        assert_eq!(meant("web@1"), "web@1.service");
    }
}
