//! What was probably meant by a key or value of a file that is wrong.

use toml::de::DeValue;

use super::parse::whole;

/// Names what a value is, for the sentence "must be …, not …".
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) if whole(value).is_none_or(|number| i32::try_from(number).is_err()) => {
            "a number that large"
        }
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Returns which key was meant where a value has the type of another.
pub(super) fn mistaken(key: &str, value: &DeValue<'_>) -> Option<String> {
    match (key, value) {
        ("node", DeValue::Integer(_)) => Some("did you mean `nodes`?".to_owned()),
        ("nodes", DeValue::Table(_)) => Some("did you mean `[node]`?".to_owned()),
        ("nodes" | "cpus" | "version", DeValue::String(text)) if text.parse::<f64>().is_ok() => {
            Some(format!("write {text} without quotes"))
        }
        ("fence", DeValue::String(text)) if ["true", "false"].contains(&text.as_ref()) => {
            Some(format!("write {text} without quotes"))
        }
        ("stack", DeValue::Boolean(_)) => Some("write \"none\" to start nothing".to_owned()),
        ("base", DeValue::String(_)) => Some("`base` stands under `[image]`".to_owned()),
        ("memory" | "limit", DeValue::Integer(_)) => {
            Some("write it with its unit, such as \"2GiB\"".to_owned())
        }
        _ => None,
    }
}

/// Returns where a key belongs that stands in a table whose name is almost the same.
pub(super) fn misplaced(table: &str, key: &str, value: &DeValue<'_>) -> Option<String> {
    let is_image = table == "image" && matches!(value, DeValue::Table(_));
    is_image.then(|| format!("did you mean `[images.{key}]`?"))
}

/// The tables that a file may have, with their keys; the first is the top of the file, which has no name.
pub(super) type Keys = &'static [(&'static str, &'static [&'static str])];

/// Returns whether a table has this key.
pub(super) fn is_key(all: Keys, table: &str, key: &str) -> bool {
    keys_of(all, table).contains(&key)
}

fn keys_of(all: Keys, table: &str) -> &'static [&'static str] {
    all.iter().find(|(name, _)| *name == table).map_or(&[], |(_, keys)| keys)
}

/// Returns what an unknown key probably is: one of the same table, or one that stands in the wrong table.
pub(super) fn similar(all: Keys, key: &str, table: &str) -> Option<String> {
    let key = key.to_lowercase();
    let nearest = |keys: &'static [&'static str]| {
        let changes = |other: &str| strsim::damerau_levenshtein(&key, other);
        let near = keys.iter().filter(|other| changes(other) <= (other.len() / 3).max(1));
        near.min_by_key(|other| changes(other))
    };
    if let Some(other) = nearest(keys_of(all, table)) {
        return Some(format!("did you mean `{other}`?"));
    }
    all.iter().find_map(|(home, keys)| {
        let other = nearest(keys)?;
        Some(match *home {
            "" => format!("`{other}` stands at the top, above all tables"),
            home => format!("`{other}` stands under `[{home}]`"),
        })
    })
}
