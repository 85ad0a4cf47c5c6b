//! Paths: what they lead to, and what is said to whoever comes with the wrong method.

use axum::http::StatusCode;

use super::answer::Refusal;
use crate::fleet::v1::{OLD_ROOT, ROOT};

/// What a path leads to. Names are as they came, and may be no names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Root,
    Metrics,
    Discovery,
    Machines,
    Machine(String),
    Nodes,
    Units,
    Unit(String),
    UnitMachine(String),
    States,
    State(String),
    Fsck,
    Nowhere,
}

impl Place {
    pub(super) fn of(path: &str) -> Result<Self, Refusal> {
        match path {
            "/" => return Ok(Self::Root),
            "/metrics" => return Ok(Self::Metrics),
            _ => {}
        }
        let Some(rest) = [ROOT, OLD_ROOT].iter().find_map(|root| path.strip_prefix(root)) else {
            return Ok(Self::Nowhere);
        };
        if rest.is_empty() {
            return Ok(Self::Root);
        }
        let Some(rest) = rest.strip_prefix('/') else { return Ok(Self::Nowhere) };
        let words = rest.split('/').map(decoded).collect::<Result<Vec<String>, Refusal>>()?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok(match words[..] {
            ["discovery"] => Self::Discovery,
            ["machines"] => Self::Machines,
            ["nodes"] => Self::Nodes,
            ["units"] => Self::Units,
            ["state"] => Self::States,
            ["fsck"] => Self::Fsck,
            [_, "", ..] => Self::Nowhere,
            ["machines", id] => Self::Machine(id.to_owned()),
            ["units", name] => Self::Unit(name.to_owned()),
            ["units", name, "machine"] => Self::UnitMachine(name.to_owned()),
            ["state", name] => Self::State(name.to_owned()),
            _ => Self::Nowhere,
        })
    }

    /// Returns what is said where there is nothing, or nothing of that kind can be done.
    pub(super) fn refusal(&self) -> Refusal {
        let methods = match self {
            Self::Nowhere => return Refusal::absent(""),
            Self::Root => return Refusal::new(StatusCode::METHOD_NOT_ALLOWED, ""),
            Self::Discovery => return Refusal::bad("only HTTP GET supported against this resource"),
            Self::Machines => "GET and PATCH",
            Self::Machine(_) => "PUT and DELETE",
            Self::Unit(_) => "GET, PUT and DELETE",
            Self::UnitMachine(_) => "PUT",
            Self::Metrics | Self::Nodes | Self::Units | Self::States | Self::State(_) | Self::Fsck => "GET",
        };
        let message = format!("only {methods} supported against this resource");
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message)
    }
}

/// Clients write `@` and `\` as `%40` and `%5C`. What is no text afterwards is the name of nothing.
fn decoded(word: &str) -> Result<String, Refusal> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = others.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(|| Refusal::bad(format!("invalid URL escape in {word:?}")))?);
        rest = &others[2..];
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, want: Place) {
        assert_eq!(Place::of(path), Ok(want), "{path}");
    }

    #[test]
    fn both_roots_lead_to_the_same() {
        for root in [ROOT, OLD_ROOT] {
            check(root, Place::Root);
            check(&format!("{root}/discovery"), Place::Discovery);
            check(&format!("{root}/machines"), Place::Machines);
            check(&format!("{root}/machines/m1"), Place::Machine("m1".into()));
            check(&format!("{root}/nodes"), Place::Nodes);
            check(&format!("{root}/units"), Place::Units);
            check(&format!("{root}/units/a%40b.service"), Place::Unit("a@b.service".into()));
            check(&format!("{root}/units/a.service/machine"), Place::UnitMachine("a.service".into()));
            check(&format!("{root}/state"), Place::States);
            check(&format!("{root}/state/a%5Cx.service"), Place::State("a\\x.service".into()));
            check(&format!("{root}/fsck"), Place::Fsck);
        }
    }

    #[test]
    fn other_paths_lead_nowhere() {
        check("/", Place::Root);
        check("/metrics", Place::Metrics);
        for path in [
            "",
            "*",
            "/fleet",
            "/fleet/v1/",
            "/fleet/v1x",
            "/fleet/v1/units/",
            "/fleet/v1/units//machine",
            "/fleet/v1/units/a.service/",
            "/fleet/v1/units/a.service/more",
            "/fleet/v1/machines/",
            "/fleet/v2/units",
            "/metrics/",
        ] {
            check(path, Place::Nowhere);
        }
    }

    #[test]
    fn escapes_are_read_or_refused() {
        check("/fleet/v1/units/a%2Fb", Place::Unit("a/b".into()));
        check("/fleet/v1/units/%ff", Place::Unit("\u{fffd}".into()));
        check("/fleet/v1/units/a+b", Place::Unit("a+b".into()));
        for path in ["/fleet/v1/units/%", "/fleet/v1/units/%4", "/fleet/v1/units/%zz", "/fleet/v1/units/%+1"]
        {
            assert_eq!(Place::of(path).unwrap_err().status, 400, "{path}");
        }
    }
}
