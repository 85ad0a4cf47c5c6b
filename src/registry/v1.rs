//! The configuration of an image as Docker 1.x wrote it, and JSON as Go writes it.
//!
//! A configuration's digest is the image's id, so what is made here has to be, byte for byte, what Docker
//! makes of the same manifest.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Go writes this for a moment that was never set.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// One entry of a manifest's history, as far as Docker reads it, in the order in which it writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct V1Image {
    #[serde(skip_serializing)]
    pub(super) id: String,
    #[serde(skip_serializing)]
    pub(super) parent: String,
    #[serde(skip_serializing)]
    pub(super) throwaway: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) comment: String,
    #[serde(deserialize_with = "moment")]
    pub(super) created: Moment,
    #[serde(skip_serializing_if = "String::is_empty")]
    container: String,
    #[serde(deserialize_with = "folded")]
    pub(super) container_config: V1Config,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) docker_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) author: String,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "folded_if_any")]
    config: Option<V1Config>,
    #[serde(skip_serializing_if = "String::is_empty")]
    architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    variant: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    os: String,
}

const IMAGE_KEYS: &[&str] = &[
    "id",
    "parent",
    "throwaway",
    "comment",
    "created",
    "container",
    "container_config",
    "docker_version",
    "author",
    "config",
    "architecture",
    "variant",
    "os",
];

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(
    clippy::struct_excessive_bools,
    clippy::zero_sized_map_values,
    reason = "so is Docker's own structure"
)]
pub(super) struct V1Config {
    hostname: String,
    domainname: String,
    user: String,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    exposed_ports: BTreeMap<String, Empty>,
    tty: bool,
    open_stdin: bool,
    stdin_once: bool,
    env: Option<Vec<String>>,
    #[serde(deserialize_with = "words")]
    pub(super) cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_false")]
    args_escaped: bool,
    image: String,
    volumes: Option<BTreeMap<String, Empty>>,
    working_dir: String,
    #[serde(deserialize_with = "words")]
    entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_false")]
    network_disabled: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    mac_address: String,
    on_build: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    stop_signal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_timeout: Option<i64>,
    #[serde(deserialize_with = "words", skip_serializing_if = "is_empty")]
    shell: Option<Vec<String>>,
}

const CONFIG_KEYS: &[&str] = &[
    "Hostname",
    "Domainname",
    "User",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "ExposedPorts",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Env",
    "Cmd",
    "ArgsEscaped",
    "Image",
    "Volumes",
    "WorkingDir",
    "Entrypoint",
    "NetworkDisabled",
    "MacAddress",
    "OnBuild",
    "Labels",
    "StopSignal",
    "StopTimeout",
    "Shell",
];

/// A value that only says that its key is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Empty {}

impl<'de> Deserialize<'de> for Empty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self {})
    }
}

/// A moment as Go writes it again after it has read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Moment(String);

impl Default for Moment {
    fn default() -> Self {
        Self(NEVER.to_owned())
    }
}

impl Moment {
    /// Reads RFC 3339: a fraction loses what Go does not keep, and no offset becomes `Z`.
    fn parse(text: &str) -> Option<Self> {
        const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:dd";
        let (head, rest) = text.split_at_checked(SHAPE.len())?;
        let fits = |shape: u8, byte: u8| if shape == b'd' { byte.is_ascii_digit() } else { shape == byte };
        if !SHAPE.iter().zip(head.as_bytes()).all(|(shape, byte)| fits(*shape, *byte)) {
            return None;
        }
        let (fraction, zone) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?),
            None => ("", rest),
        };
        if rest.starts_with('.') && fraction.is_empty() {
            return None;
        }
        let kept = fraction[..fraction.len().min(9)].trim_end_matches('0');
        let kept = if kept.is_empty() { String::new() } else { format!(".{kept}") };
        Some(Self(format!("{head}{kept}{}", Self::zone(zone)?)))
    }

    fn zone(zone: &str) -> Option<&str> {
        let is_offset = |zone: &str| {
            let bytes = zone.as_bytes();
            bytes.len() == 6
                && matches!(bytes[0], b'+' | b'-')
                && bytes[3] == b':'
                && [1, 2, 4, 5].iter().all(|at| bytes[*at].is_ascii_digit())
        };
        match zone {
            "Z" | "+00:00" | "-00:00" => Some("Z"),
            zone => is_offset(zone).then_some(zone),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::ref_option, reason = "serde passes a reference")]
fn is_empty(words: &Option<Vec<String>>) -> bool {
    words.as_ref().is_none_or(Vec::is_empty)
}

impl V1Image {
    pub(super) fn parse(json: &str) -> serde_json::Result<Self> {
        serde_json::from_value(fold(serde_json::from_str(json)?, IMAGE_KEYS))
    }
}

/// Reads an object as Go does: keys in any case, and what is null counts as absent.
fn fold(value: Value, keys: &[&str]) -> Value {
    let Value::Object(object) = value else { return value };
    let folded = object.into_iter().filter(|(_, value)| !value.is_null()).filter_map(|(key, value)| {
        let known = keys.iter().find(|known| known.eq_ignore_ascii_case(&key))?;
        Some(((*known).to_owned(), value))
    });
    Value::Object(folded.collect::<Map<_, _>>())
}

fn folded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<V1Config, D::Error> {
    let value = Value::deserialize(deserializer)?;
    serde_json::from_value(fold(value, CONFIG_KEYS)).map_err(serde::de::Error::custom)
}

fn folded_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<V1Config>, D::Error> {
    folded(deserializer).map(Some)
}

fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Moment, D::Error> {
    let text = String::deserialize(deserializer)?;
    Moment::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a time")))
}

/// Reads a command, which may be one text in place of a list.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    Ok(Some(match Words::deserialize(deserializer)? {
        Words::One(word) => vec![word],
        Words::Many(words) => words,
    }))
}

/// Writes JSON as Go's `json.Marshal` does.
pub(super) fn marshal(value: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string(value)?;
    let mut written = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('b') => written.push_str("\\u0008"),
                Some('f') => written.push_str("\\u000c"),
                other => {
                    written.push('\\');
                    written.extend(other);
                }
            },
            c => push_escaped(&mut written, c),
        }
    }
    Ok(written)
}

/// Writes JSON that somebody else wrote as Go does: without spaces, with the signs of HTML escaped, and
/// otherwise as it was.
pub(super) fn compact(json: &str) -> String {
    let mut written = String::with_capacity(json.len());
    let (mut is_text, mut is_escaped) = (false, false);
    for c in json.chars() {
        if !is_text && c.is_ascii_whitespace() {
            continue;
        }
        is_text ^= c == '"' && !is_escaped;
        is_escaped = is_text && c == '\\' && !is_escaped;
        push_escaped(&mut written, c);
    }
    written
}

fn push_escaped(written: &mut String, c: char) {
    match c {
        '<' => written.push_str("\\u003c"),
        '>' => written.push_str("\\u003e"),
        '&' => written.push_str("\\u0026"),
        '\u{2028}' => written.push_str("\\u2028"),
        '\u{2029}' => written.push_str("\\u2029"),
        c => written.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_go_writes_them() {
        for (text, want) in [
            ("2015-01-02T10:00:00Z", "2015-01-02T10:00:00Z"),
            ("2015-01-02T10:00:00.120Z", "2015-01-02T10:00:00.12Z"),
            ("2015-01-02T10:00:00.000Z", "2015-01-02T10:00:00Z"),
            ("2015-01-02T10:00:00.1234567899Z", "2015-01-02T10:00:00.123456789Z"),
            ("2015-01-02T10:00:00+00:00", "2015-01-02T10:00:00Z"),
            ("2015-01-02T10:00:00.5-07:00", "2015-01-02T10:00:00.5-07:00"),
        ] {
            assert_eq!(Moment::parse(text), Some(Moment(want.to_owned())), "{text}");
        }
        for bad in [
            "",
            "2015",
            "2015-01-02 10:00:00Z",
            "2015-01-02T10:00:00",
            "2015-01-02T10:00:00.Z",
            "2015-01-02T10:00:00.5",
        ] {
            assert_eq!(Moment::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn text_is_escaped_as_go_escapes_it() {
        let text = "a<b>&\u{2028}\u{2029}\u{8}\u{c}\n\t\u{1}\u{7f}é\"\\";
        let want = r#""a\u003cb\u003e\u0026\u2028\u2029\u0008\u000c\n\t\u0001"#;
        assert_eq!(marshal(&text).unwrap(), format!("{want}\u{7f}é\\\"\\\\\""));
    }

    #[test]
    fn what_others_wrote_stays_but_for_spaces_and_html() {
        let json = "{ \"a b\" :\t[ 1.50e3 , \"\\b \\\" <\\u00e9\\/ \\\\\" ],\n\"c\": null }";
        let want = "{\"a b\":[1.50e3,\"\\b \\\" \\u003c\\u00e9\\/ \\\\\"],\"c\":null}";
        assert_eq!(compact(json), want);
    }

    #[test]
    fn keys_are_read_in_any_case_and_null_is_nothing() {
        let read = V1Image::parse(
            r#"{"ID":"x","Parent":null,"container_config":{"cmd":"a b","Env":null},"config":null,"new":1}"#,
        )
        .unwrap();
        assert_eq!((read.id.as_str(), read.parent.as_str(), &read.config), ("x", "", &None));
        assert_eq!(read.container_config.cmd, Some(vec!["a b".to_owned()]));
    }
}
