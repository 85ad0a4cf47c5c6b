//! Names, parsed once at the door and true ever after.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a {kind} name: {reason}")]
pub struct BadName {
    name: String,
    kind: &'static str,
    reason: &'static str,
}

/// Checks the rules of a host name's label, which Docker, ssh and DNS all accept.
fn check(name: &str, kind: &'static str, longest: usize) -> Result<(), BadName> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > longest {
        "it is too long"
    } else if !name.chars().all(|c| is_plain(c) || c == '-') {
        "only lower-case letters, digits and `-` may stand in a host name"
    } else if !name.starts_with(is_plain) || !name.ends_with(is_plain) {
        "it must begin and end with a letter or a digit"
    } else {
        return Ok(());
    };
    Err(BadName { name: name.to_owned(), kind, reason })
}

macro_rules! name {
    ($type:ident, $kind:literal, $longest:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            pub const LONGEST: usize = $longest;

            pub fn parse(name: &str) -> Result<Self, BadName> {
                check(name, $kind, Self::LONGEST)?;
                Ok(Self(name.to_owned()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = BadName;

            fn from_str(name: &str) -> Result<Self, BadName> {
                Self::parse(name)
            }
        }

        impl TryFrom<String> for $type {
            type Error = BadName;

            fn try_from(name: String) -> Result<Self, BadName> {
                Self::parse(&name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }
    };
}

name!(LabName, "lab", 40, "The name of a lab, unique on its host.");
name!(NodeName, "node", 63, "The host name of a node, unique in its lab.");
name!(RoleName, "role", 40, "The name of a role, unique among the stacks of a lab.");

impl LabName {
    /// Returns the nearest lab name to any text, such as a folder's name.
    pub fn from_folder(folder: &str) -> Self {
        let lower: String = folder
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        let cut: String = lower.trim_matches('-').chars().take(Self::LONGEST).collect();
        let name = cut.trim_end_matches('-');
        Self(if name.is_empty() { "lab".to_owned() } else { name.to_owned() })
    }
}

impl NodeName {
    /// Returns the name of the node at `index`, counted from 1: `core-01`.
    pub fn numbered(prefix: &Self, index: u16) -> Result<Self, BadName> {
        Self::parse(&format!("{prefix}-{index:02}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(name: &str, reason: &str) {
        let error = NodeName::parse(name).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(error.contains(name), "{error}");
    }

    #[test]
    fn only_host_names_are_names() {
        for good in ["a", "core-01", "0day", &"x".repeat(63)] {
            assert_eq!(NodeName::parse(good).unwrap().as_str(), good);
        }
        refused("", "empty");
        refused(&"x".repeat(64), "too long");
        refused("Core", "lower-case");
        refused("core_1", "lower-case");
        refused("core.one", "lower-case");
        refused("kern-ü", "lower-case");
        refused("-core", "begin and end");
        refused("core-", "begin and end");
        refused("a b", "lower-case");
        assert!(LabName::parse(&"x".repeat(41)).is_err());
    }

    #[test]
    fn a_folder_gives_a_name_whatever_it_is_called() {
        for (folder, want) in [
            ("web", "web"),
            ("My Project", "my-project"),
            ("__x__", "x"),
            ("ü", "lab"),
            ("", "lab"),
            ("a.b", "a-b"),
        ] {
            assert_eq!(LabName::from_folder(folder).as_str(), want);
        }
        let long = LabName::from_folder(&"ab-".repeat(30));
        assert_eq!(LabName::parse(long.as_str()).unwrap(), long);
    }

    #[test]
    fn a_name_read_from_json_is_checked_too() {
        assert!(serde_json::from_str::<LabName>("\"web\"").is_ok());
        assert!(serde_json::from_str::<LabName>("\"../web\"").is_err());
    }
}
