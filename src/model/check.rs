//! What a service is asked to tell whether it serves. Who asks is somebody else.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One question to a service on its own node, and what a good answer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub ask: Ask,
    /// What has to stand in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Ask {
    /// Whether a port takes connections.
    Connect { port: u16 },
    /// What a page says.
    Http { port: u16, path: String, status: Statuses },
    /// What is answered to a line of text.
    Send { port: u16, text: String },
    /// How a command of the shell ends on the node.
    Run { command: String },
}

/// The lowest and the highest status that is a good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statuses {
    pub from: u16,
    pub to: u16,
}

impl Statuses {
    /// Success, and a page that is elsewhere.
    pub const GOOD: Self = Self { from: 200, to: 399 };
    /// Whatever a server says that is not in trouble itself.
    pub const ANY_ANSWER: Self = Self { from: 200, to: 499 };

    pub fn contains(self, status: u16) -> bool {
        (self.from..=self.to).contains(&status)
    }
}

/// How a check ended: what was answered, or why the answer is no good one.
pub type Outcome = Result<String, String>;

/// What labd is asked to ask, all at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRequest {
    pub checks: Vec<Check>,
}

/// How the checks of a request ended, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReply {
    pub outcomes: Vec<CheckEnd>,
}

/// An [`Outcome`] on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckEnd {
    pub ok: bool,
    pub text: String,
}

impl From<Outcome> for CheckEnd {
    fn from(outcome: Outcome) -> Self {
        let ok = outcome.is_ok();
        Self { ok, text: outcome.unwrap_or_else(|why| why) }
    }
}

impl From<CheckEnd> for Outcome {
    fn from(end: CheckEnd) -> Self {
        if end.ok { Ok(end.text) } else { Err(end.text) }
    }
}

/// A TCP port on which a program of a node listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TakenPort {
    pub port: u16,
    /// Its name, where it could be found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

impl Check {
    pub fn connect(port: u16) -> Self {
        Self { ask: Ask::Connect { port }, answer: None }
    }

    /// Returns the port that is asked; a command has none, and works on its own node only.
    pub fn port(&self) -> Option<u16> {
        match self.ask {
            Ask::Connect { port } | Ask::Http { port, .. } | Ask::Send { port, .. } => Some(port),
            Ask::Run { .. } => None,
        }
    }

    /// Returns this check with `${NAME}` filled in wherever the variable is known.
    #[must_use]
    pub fn filled_in(&self, variables: &BTreeMap<String, String>) -> Self {
        let fill = |text: &str| fill_in(text, variables);
        let ask = match &self.ask {
            Ask::Connect { port } => Ask::Connect { port: *port },
            Ask::Http { port, path, status } => Ask::Http { port: *port, path: fill(path), status: *status },
            Ask::Send { port, text } => Ask::Send { port: *port, text: fill(text) },
            // The shell does it, from its environment.
            Ask::Run { command } => Ask::Run { command: command.clone() },
        };
        Self { ask, answer: self.answer.as_deref().map(fill) }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ask {
            Ask::Connect { port } => write!(f, "port {port} takes connections")?,
            Ask::Http { port, path, .. } => write!(f, "port {port} has {path}")?,
            Ask::Send { port, text } => write!(f, "port {port} answers {text}")?,
            Ask::Run { command } => write!(f, "`{command}` ends well")?,
        }
        self.answer.as_ref().map_or(Ok(()), |answer| write!(f, " with `{answer}`"))
    }
}

fn fill_in(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        filled += before;
        let known = after.split_once('}').and_then(|(name, after)| Some((variables.get(name)?, after)));
        if let Some((value, after)) = known {
            filled += value;
            rest = after;
        } else {
            filled += "${";
            rest = after;
        }
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_travel_as_plain_words() {
        let reply = |outcome: Outcome| serde_json::to_string(&CheckEnd::from(outcome)).unwrap();
        assert_eq!(reply(Ok("a".to_owned())), r#"{"ok":true,"text":"a"}"#);
        assert_eq!(reply(Err("b".to_owned())), r#"{"ok":false,"text":"b"}"#);
        for outcome in [Ok("a".to_owned()), Err("b".to_owned())] {
            assert_eq!(Outcome::from(CheckEnd::from(outcome.clone())), outcome);
        }
        let request: CheckRequest =
            serde_json::from_str(r#"{"checks":[{"ask":{"by":"connect","port":1}}]}"#).unwrap();
        assert_eq!(request.checks, [Check::connect(1)]);
    }

    #[test]
    fn variables_that_are_known_are_filled_in() {
        let variables = [("A".to_owned(), "1".to_owned()), ("B_C".to_owned(), "${A}".to_owned())].into();
        let check = |text: &str, want: &str| assert_eq!(fill_in(text, &variables), want, "{text}");
        check("", "");
        check("plain $A", "plain $A");
        check("${A}:8300", "1:8300");
        check("x${B_C}y${A}", "x${A}y1");
        check("${NOT} ${A", "${NOT} ${A");
    }
}
