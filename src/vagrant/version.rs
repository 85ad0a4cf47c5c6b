//! Which Vagrant is installed, and whether it is one that this was made for.

use std::fmt;
use std::str::FromStr;

/// The oldest that is used; before, `--machine-readable` says too little.
pub const OLDEST: Version = Version([2, 2, 19]);
/// The first that nobody has tried.
const NEXT: Version = Version([2, 5, 0]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version([u32; 3]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version of Vagrant")]
pub struct BadVersion;

impl Version {
    pub fn is_too_old(self) -> bool {
        self < OLDEST
    }

    /// Returns whether it is newer than all that were tried.
    pub fn is_untried(self) -> bool {
        self >= NEXT
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl FromStr for Version {
    type Err = BadVersion;

    /// Reads what `vagrant --version` prints, or a version alone.
    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let text = text.trim();
        let text = text.strip_prefix("Vagrant ").unwrap_or(text);
        let numbers = text.split(['-', '+', '~', ' ']).next().unwrap_or_default();
        let mut parts = numbers.split('.').map(|part| part.parse().map_err(|_| BadVersion));
        let mut next = || parts.next().unwrap_or(Ok(0));
        if numbers.is_empty() {
            return Err(BadVersion);
        }
        Ok(Self([next()?, next()?, next()?]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        for (text, want, is_too_old, is_untried) in [
            ("Vagrant 2.3.4\n", "2.3.4", false, false),
            ("Vagrant 2.2.19", "2.2.19", false, false),
            ("Vagrant 2.2.9", "2.2.9", true, false),
            ("2.4.9.dev", "2.4.9", false, false),
            ("2.5", "2.5.0", false, true),
            ("3.0.0-beta1", "3.0.0", false, true),
        ] {
            let version: Version = text.parse().unwrap();
            assert_eq!(version.to_string(), want);
            assert_eq!((version.is_too_old(), version.is_untried()), (is_too_old, is_untried), "{text}");
        }
        for text in ["", "Vagrant", "Vagrant two"] {
            assert_eq!(text.parse::<Version>(), Err(BadVersion), "{text}");
        }
    }
}
