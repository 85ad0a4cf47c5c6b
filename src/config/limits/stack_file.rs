//! What the values of a `stack.toml` may be.

use super::Refused;
use crate::model::{NodeName, RoleName};

pub(in crate::config) fn role(name: &str) -> Result<RoleName, Refused> {
    // `/etc/lab/env` has variables of such names already.
    if name == "etcd" || name == "image" || name.starts_with("image-") {
        return Err(Refused::because(format!(
            "`{name}` cannot name a role: its variables would be those of lab itself"
        )));
    }
    RoleName::parse(name).map_err(Refused::because)
}

pub(in crate::config) fn endpoint(name: &str) -> Result<String, Refused> {
    NodeName::parse(name).map(String::from).map_err(|_| {
        let name = name.escape_debug();
        Refused::because(format!(
            "`{name}` cannot name an endpoint: lower-case letters, digits and `-` may stand in it"
        ))
    })
}

pub(in crate::config) fn scheme(text: &str) -> Result<String, Refused> {
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-".contains(c);
    if text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(is_good) {
        return Ok(text.to_owned());
    }
    Err(Refused::because(format!("`{}` begins no address", text.escape_debug())))
}

pub(in crate::config) fn url_path(text: &str) -> Result<String, Refused> {
    if text.starts_with('/') && text.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(Refused::because(format!(
        "`{}` is no path: it begins with `/` and has no blanks",
        text.escape_debug()
    )))
}

pub(in crate::config) fn sentence(text: &str) -> Result<String, Refused> {
    if text.trim().is_empty() || text.contains(char::is_control) {
        return Err(Refused::because("one line of text is wanted"));
    }
    Ok(text.to_owned())
}

pub(in crate::config) fn text(text: &str) -> Result<String, Refused> {
    if text.is_empty() { Err(Refused::because("a text is missing")) } else { Ok(text.to_owned()) }
}

pub(in crate::config) fn port(number: i64) -> Result<u16, Refused> {
    within(number, 1, u16::MAX)
}

pub(in crate::config) fn status(number: i64) -> Result<u16, Refused> {
    within(number, 100, 599)
}

pub(in crate::config) fn instances(number: i64) -> Result<u16, Refused> {
    within(number, 1, 1000)
}

fn within(number: i64, least: u16, most: u16) -> Result<u16, Refused> {
    let good = u16::try_from(number).ok().filter(|number| (least..=most).contains(number));
    good.ok_or_else(|| Refused::because(format!("{number} is not between {least} and {most}")))
}

/// Refuses what would not be the same variable to systemd, Docker and a shell.
pub(in crate::config) fn variable(name: &str) -> Result<(), Refused> {
    let is_good = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_uppercase()) || !name.chars().all(is_good) {
        let reason = "capital letters, digits and `_` may stand in it";
        return Err(Refused::because(format!("`{}` cannot name a variable: {reason}", name.escape_debug())));
    }
    if name.starts_with("LAB_") {
        let reason = "is lab's own: take a name that does not begin with LAB_";
        return Err(Refused::because(format!("`{name}` {reason}")));
    }
    Ok(())
}

/// Refuses what systemd and Docker read differently in a file of variables.
pub(in crate::config) fn variable_value(text: &str) -> Result<String, Refused> {
    if text.contains(|c: char| "\"'\\".contains(c) || c.is_control()) {
        let reason = "quotes, backslashes and control characters may not stand in";
        return Err(Refused::because(format!("{reason} `{}`", printed(text))));
    }
    if text.trim() != text {
        return Err(Refused::because(format!("`{text}` begins or ends with a blank")));
    }
    Ok(text.to_owned())
}

/// Shows a text on one line.
fn printed(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
