//! Which units somebody means: names, paths and patterns, as they are typed.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};

use crate::fleet::unit::{BadUnitName, Pattern, UnitName};

use crate::ops::Error;

/// A unit, or several: `web`, `units/web.service`, `'web@*'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitArg {
    One { name: UnitName, folder: Utf8PathBuf },
    Several(Pattern),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUnitArg {
    #[error(transparent)]
    Name(#[from] BadUnitName),
    #[error("`{0}` is a pattern that matches nothing")]
    Pattern(String),
}

/// Returns the one unit that is meant: the last part of a path, a service unless a type is said.
pub fn unit_name(text: &str) -> Result<UnitName, BadUnitName> {
    let is_nothing = text.is_empty() || text.ends_with('/');
    if is_nothing { Err(BadUnitName::Empty) } else { UnitName::from_argument(text) }
}

impl FromStr for UnitArg {
    type Err = BadUnitArg;

    fn from_str(text: &str) -> Result<Self, BadUnitArg> {
        if text.contains(['*', '?', '[']) {
            let pattern = Pattern::new(text);
            let is_valid = pattern.is_valid();
            return is_valid.then_some(Self::Several(pattern)).ok_or(BadUnitArg::Pattern(text.to_owned()));
        }
        let folder = Utf8Path::new(text).parent().unwrap_or(Utf8Path::new("")).to_owned();
        Ok(Self::One { name: unit_name(text)?, folder })
    }
}

impl fmt::Display for UnitArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One { name, .. } => name.fmt(f),
            Self::Several(pattern) => pattern.fmt(f),
        }
    }
}

impl UnitArg {
    /// Returns the units that are meant, of those that there are.
    fn among(&self, known: &[&UnitName]) -> Vec<UnitName> {
        let is_meant = |name: &UnitName| match self {
            Self::One { name: wanted, .. } => name == wanted,
            // A pattern need not say that it is about services, as a name need not.
            Self::Several(pattern) => {
                pattern.matches(name.as_str()) || name.suffix() == "service" && pattern.matches(name.stem())
            }
        };
        known.iter().copied().filter(|name| is_meant(name)).cloned().collect()
    }
}

/// Returns all units that are meant, each once and in order, and what means none.
pub fn select<'a>(args: &'a [UnitArg], known: &[&UnitName]) -> (BTreeSet<UnitName>, Vec<&'a UnitArg>) {
    let found = args.iter().map(|arg| (arg, arg.among(known)));
    let (found, none): (Vec<_>, Vec<_>) = found.partition(|(_, names)| !names.is_empty());
    let names = found.into_iter().flat_map(|(_, names)| names).collect();
    (names, none.into_iter().map(|(arg, _)| arg).collect())
}

/// Returns all units that are meant; what means none is an error.
pub fn select_all(args: &[UnitArg], known: &[&UnitName]) -> Result<BTreeSet<UnitName>, Error> {
    match select(args, known) {
        (names, none) if none.is_empty() => Ok(names),
        (_, none) => {
            let units: Vec<String> = none.iter().map(|arg| format!("`{arg}`")).collect();
            Err(Error::NoUnit { units: units.join(", ") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arg(text: &str) -> UnitArg {
        text.parse().unwrap()
    }

    #[test]
    fn an_argument_is_a_name_a_path_or_a_pattern() {
        let name = |name: &str| UnitName::parse(name).unwrap();
        assert_eq!(arg("web"), UnitArg::One { name: name("web.service"), folder: "".into() });
        let path = UnitArg::One { name: name("web@1.service"), folder: "units".into() };
        assert_eq!(arg("units/web@1.service"), path);
        assert!(matches!(arg("web@*"), UnitArg::Several(_)));
        for bad in ["", "a b", "@.service", "web[", "a/"] {
            assert!(bad.parse::<UnitArg>().is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_mean_units_of_the_cluster() {
        let known: Vec<UnitName> = ["db.service", "web@.service", "web@1.service", "web@2.timer"]
            .map(|name| UnitName::parse(name).unwrap())
            .to_vec();
        let known: Vec<&UnitName> = known.iter().collect();
        let selected = |args: &[&str]| {
            let args: Vec<UnitArg> = args.iter().map(|text| arg(text)).collect();
            let (names, none) = select(&args, &known);
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            (names.join(" "), none.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        let want = |found: &str, none: &str| (found.to_owned(), none.to_owned());
        assert_eq!(selected(&["web@*"]), want("web@.service web@1.service web@2.timer", ""));
        assert_eq!(selected(&["web@?"]), want("web@1.service", ""));
        assert_eq!(selected(&["web@1", "web@*.service"]), want("web@.service web@1.service", ""));
        assert_eq!(selected(&["db", "x", "y*"]), want("db.service", "x.service y*"));
        let args = [arg("x")];
        let error = select_all(&args, &known).unwrap_err();
        assert_eq!(error.to_string(), "the cluster does not know `x.service`");
    }
}
