//! Who answers: our engine, or one that CoreOS left behind.

use std::fmt;

use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Engine {
    /// Ours.
    Lab { version: String },
    /// Upstream's.
    Fleet { version: String },
    /// It does not say.
    Unknown,
}

impl Engine {
    /// Reads the header `Server`: `fleetd/1.0.0 (lab 0.1.0)` is ours, `fleetd/1.0.0` is upstream's.
    pub fn parse(server: Option<&str>) -> Self {
        let Some(rest) = server.and_then(|server| server.strip_prefix("fleetd/")) else {
            return Self::Unknown;
        };
        let ours = rest.split_once("(lab ").and_then(|(_, rest)| rest.split_once(')'));
        match ours {
            Some((version, _)) => Self::Lab { version: version.to_owned() },
            None => Self::Fleet { version: rest.split_whitespace().next().unwrap_or_default().to_owned() },
        }
    }

    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Lab { .. })
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lab { version } => write!(f, "labd {version}"),
            Self::Fleet { version } => write!(f, "fleetd {version}"),
            Self::Unknown => f.write_str("a server that does not say what it is"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_tells_who_answers() {
        let read = |server: &str| Engine::parse(Some(server)).to_string();
        assert_eq!(read("fleetd/1.0.0 (lab 0.1.0)"), "labd 0.1.0");
        assert_eq!(read("fleetd/1.0.0"), "fleetd 1.0.0");
        assert_eq!(read("fleetd/0.11.8+git"), "fleetd 0.11.8+git");
        assert_eq!(Engine::parse(Some("nginx")), Engine::Unknown);
        assert_eq!(Engine::parse(None), Engine::Unknown);
    }
}
