//! Defaults, and what a value may be. Flags and `lab.toml` pass through the same checks.

mod stack_file;

use camino::Utf8PathBuf;

use crate::model::image::{ImageName, Platform};
use crate::model::{Bytes, FleetEngine, LabName, MAX_NODES, NodeName, Subnet};

use super::file::{Provider, VERSION};
use super::vagrant::{Driver, VagrantProvider};

pub(super) use stack_file::{
    endpoint, instances, port, role, scheme, sentence, status, text, url_path, variable, variable_value,
};

/// How many nodes a new lab has if nobody says.
pub const DEFAULT_NODES: u16 = 3;
pub const DEFAULT_PREFIX: &str = "core";
/// What a new user sees run; it comes with `lab`.
pub const DEFAULT_STACK: &str = "demo";
pub const DEFAULT_BASE_IMAGE: &str = "debian:bookworm-slim";

/// Below it systemd, Docker and etcd of one node kill each other for memory.
pub const LEAST_MEMORY: Bytes = Bytes::mebibytes(256);
/// Below it a node does not come up in the time that `lab up` waits.
pub const LEAST_CPUS: f64 = 0.1;
/// More than any host has; Docker counts in billionths and would overflow far above.
pub const MOST_CPUS: f64 = 1024.0;

pub const DEFAULT_CACHE_LIMIT: Bytes = Bytes::mebibytes(20 << 10);
/// Below it the images of one lab push each other out.
pub const LEAST_CACHE_LIMIT: Bytes = Bytes::mebibytes(1 << 10);

/// What a node's name may be long, less the longest number: `-200`.
pub(super) const LONGEST_PREFIX: usize = NodeName::LONGEST - 4;
pub(super) const LONGEST_IMAGE: usize = 255;
pub(super) const LONGEST_STACK: usize = NodeName::LONGEST;

/// Why a value is no good: a sentence that goes behind the name of its key or flag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    reason: String,
    suggestion: Option<String>,
}

impl Refused {
    #[expect(clippy::needless_pass_by_value, reason = "`map_err` hands errors over by value")]
    fn because(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), suggestion: None }
    }

    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }
}

/// Refuses what `parse` has not already told apart as the file of another program.
pub(super) fn version(number: i64) -> Result<u32, Refused> {
    u32::try_from(number)
        .ok()
        .filter(|version| *version == VERSION)
        .ok_or_else(|| Refused::because(format!("there is no version {number}; this lab reads {VERSION}")))
}

pub(super) fn name(text: &str) -> Result<LabName, Refused> {
    LabName::parse(text).map_err(|bad| Refused {
        reason: bad.to_string(),
        suggestion: Some(format!("`{}` would do", LabName::from_folder(text))),
    })
}

pub(super) fn nodes(count: i64) -> Result<u16, Refused> {
    u16::try_from(count)
        .ok()
        .filter(|count| (1..=MAX_NODES).contains(count))
        .ok_or_else(|| Refused::because(format!("{count} is not between 1 and {MAX_NODES}")))
}

pub(super) fn provider(text: &str) -> Result<Provider, Refused> {
    text.parse().map_err(Refused::because)
}

pub(super) fn vagrant_provider(text: &str) -> Result<VagrantProvider, Refused> {
    text.parse().map_err(Refused::because)
}

/// Refuses what a program could take for an option; the catalogue knows the rest.
pub(super) fn box_name(text: &str) -> Result<String, Refused> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    let is_name = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_plain);
    if !is_name || text.len() > LONGEST_IMAGE {
        let text = text.escape_debug();
        return Err(Refused::because(format!("`{text}` is not a box: it is written like debian/bookworm64")));
    }
    Ok(text.to_owned())
}

pub(super) fn box_version(text: &str) -> Result<String, Refused> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    if text.is_empty() {
        return Err(Refused::because("it is empty"));
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(is_plain) {
        return Err(Refused::because(format!("`{}` is not a version", text.escape_debug())));
    }
    Ok(text.to_owned())
}

pub(super) fn box_url(text: &str) -> Result<String, Refused> {
    if text.is_empty() || text.starts_with('-') || text.contains(char::is_control) {
        return Err(Refused::because(format!("`{}` is no address and no file", text.escape_debug())));
    }
    Ok(text.to_owned())
}

pub(super) fn driver(text: &str) -> Result<Driver, Refused> {
    match text {
        "kvm" => Ok(Driver::Kvm),
        "qemu" => Ok(Driver::Qemu),
        other => Err(Refused::because(format!("`{}` is neither `kvm` nor `qemu`", other.escape_debug()))),
    }
}

pub(super) fn boot_timeout(seconds: i64) -> Result<u32, Refused> {
    let limit = u32::try_from(seconds).ok().filter(|seconds| (10..=3600).contains(seconds));
    limit.ok_or_else(|| Refused::because(format!("{seconds} is not between 10 and 3600")))
}

/// Refuses what could lead out of the folder `services`, and what would be another folder on a disk that
/// takes small and capital letters for the same.
pub fn stack(text: &str) -> Result<String, Refused> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let reason = if text.is_empty() {
        "it is empty; `none` starts nothing"
    } else if text.len() > LONGEST_STACK {
        "it is too long"
    } else if !text.chars().all(|c| is_plain(c) || c == '-') {
        "only lower-case letters, digits and `-` may stand in it"
    } else if !text.starts_with(is_plain) || !text.ends_with(is_plain) {
        "it must begin and end with a letter or a digit"
    } else {
        return Ok(text.to_owned());
    };
    Err(Refused::because(format!("`{}` cannot name a stack: {reason}", text.escape_debug())))
}

pub(super) fn engine(text: &str) -> Result<FleetEngine, Refused> {
    match text {
        "lab" => Ok(FleetEngine::Lab),
        "fleet" => Ok(FleetEngine::Fleet),
        other => {
            let other = other.escape_debug();
            Err(Refused::because(format!("`{other}` is not an engine: there are `lab` and `fleet`")))
        }
    }
}

pub(super) fn metadata_key(key: &str) -> Result<(), Refused> {
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        let reason = "only letters, digits, `.`, `_` and `-` may stand in it";
        return Err(Refused::because(format!("`{}` cannot name metadata: {reason}", key.escape_debug())));
    }
    Ok(())
}

/// Refuses what would be several values, or none, in a list such as `zone=a,disk=ssd`.
pub(super) fn metadata_value(text: &str) -> Result<String, Refused> {
    let reason = if text.is_empty() {
        return Err(Refused::because("a value is missing"));
    } else if text.contains(|c: char| "=,".contains(c) || c.is_control()) {
        "`=`, `,` and control characters may not stand in it"
    } else if text.trim() != text {
        "it begins or ends with a blank"
    } else {
        return Ok(text.to_owned());
    };
    Err(Refused::because(format!("`{}` is no value of metadata: {reason}", text.escape_debug())))
}

pub(super) fn prefix(text: &str) -> Result<NodeName, Refused> {
    if text.len() > LONGEST_PREFIX {
        return Err(Refused::because(format!("`{text}` is too long: a number is added to it, such as -200")));
    }
    NodeName::parse(text).map_err(Refused::because)
}

pub(super) fn memory(bytes: Bytes) -> Result<Bytes, Refused> {
    if bytes < LEAST_MEMORY {
        return Err(Refused::because(format!(
            "{bytes} is less than {LEAST_MEMORY}, with which no node runs"
        )));
    }
    Ok(bytes)
}

pub(super) fn memory_text(text: &str) -> Result<Bytes, Refused> {
    text.parse().map_err(Refused::because).and_then(memory)
}

/// Refuses also what is no number: NaN is in no range.
pub(super) fn cpus(count: f64) -> Result<f64, Refused> {
    if !(LEAST_CPUS..=MOST_CPUS).contains(&count) {
        return Err(Refused::because(format!("{count} is not between {LEAST_CPUS} and {MOST_CPUS}")));
    }
    Ok(count)
}

pub(super) fn subnet(subnet: Subnet) -> Result<Subnet, Refused> {
    subnet.check_for_lab().map_err(Refused::because)
}

pub(super) fn subnet_text(text: &str) -> Result<Subnet, Refused> {
    text.parse().map_err(Refused::because).and_then(subnet)
}

/// Refuses what cannot be an image, and what a program could take for an option; the engine knows the rest.
pub(super) fn base_image(text: &str) -> Result<String, Refused> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/:@-".contains(c);
    let reason = if text.is_empty() {
        "it is empty"
    } else if text.len() > LONGEST_IMAGE {
        "it is too long"
    } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(is_plain) {
        "it is written like debian:bookworm-slim"
    } else {
        return Ok(text.to_owned());
    };
    Err(Refused::because(format!("`{}` is not an image: {reason}", text.escape_debug())))
}

pub(super) fn cache_limit(bytes: Bytes) -> Result<Bytes, Refused> {
    if bytes < LEAST_CACHE_LIMIT {
        return Err(Refused::because(format!("{bytes} is less than {LEAST_CACHE_LIMIT}")));
    }
    Ok(bytes)
}

pub(super) fn cache_limit_text(text: &str) -> Result<Bytes, Refused> {
    text.parse().map_err(Refused::because).and_then(cache_limit)
}

/// Returns whether a table or a folder may name an image; with `latest` behind it, it is one's name.
pub(super) fn is_image_key(key: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    key.starts_with(is_plain)
        && key.ends_with(is_plain)
        && key.chars().all(|c| is_plain(c) || "._-".contains(c))
        && ImageName::parse(key).is_ok()
}

pub(super) fn image_key(key: &str) -> Result<String, Refused> {
    let reason = "only lower-case letters, digits, `.`, `_` and `-` may stand in it, the last three inside";
    if !is_image_key(key) {
        let key = key.escape_debug();
        return Err(Refused::because(format!("`{key}` cannot name an image: {reason}")));
    }
    Ok(key.to_owned())
}

pub(super) fn image_reference(text: &str) -> Result<ImageName, Refused> {
    ImageName::parse(text).map_err(Refused::because)
}

/// Refuses a digest: what an image is called on a node can be moved to another image.
pub(super) fn image_name(text: &str) -> Result<ImageName, Refused> {
    let name = image_reference(text)?;
    match name.digest() {
        None => Ok(name),
        Some(_) => Err(Refused::because(format!("`{text}` is a name with a digest, which no node can give"))),
    }
}

pub(super) fn platform(text: &str) -> Result<Platform, Refused> {
    let is_word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c));
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        [os, architecture, rest @ ..] if rest.len() <= 1 && parts.iter().all(|part| is_word(part)) => {
            Ok(Platform {
                os: (*os).to_owned(),
                architecture: (*architecture).to_owned(),
                variant: rest.first().map(|variant| (*variant).to_owned()),
            })
        }
        _ => Err(Refused::because(format!(
            "`{}` is not a platform: it is written like linux/amd64 or linux/arm/v7",
            text.escape_debug()
        ))),
    }
}

pub(super) fn path(text: &str) -> Result<Utf8PathBuf, Refused> {
    match text {
        "" => Err(Refused::because("a path is missing")),
        text if text.contains('\0') => Err(Refused::because("no path has a zero byte in it")),
        text => Ok(text.into()),
    }
}

/// Refuses what a builder would not find in any Dockerfile.
pub(super) fn word(text: &str) -> Result<String, Refused> {
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Refused::because(format!("`{}` is not one word", text.escape_debug())));
    }
    Ok(text.to_owned())
}

pub(super) fn is_argument(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused<T: std::fmt::Debug>(result: Result<T, Refused>, want: &str) {
        assert_eq!(result.unwrap_err().to_string(), want);
    }

    #[test]
    fn values_at_the_edge_are_taken_and_those_beyond_refused() {
        assert_eq!((nodes(1), nodes(200)), (Ok(1), Ok(200)));
        refused(nodes(0), "0 is not between 1 and 200");
        refused(nodes(201), "201 is not between 1 and 200");
        refused(nodes(-1), "-1 is not between 1 and 200");
        refused(nodes(65537), "65537 is not between 1 and 200");
        assert_eq!((cpus(0.1), cpus(1024.0)), (Ok(0.1), Ok(1024.0)));
        refused(cpus(0.09), "0.09 is not between 0.1 and 1024");
        refused(cpus(f64::NAN), "NaN is not between 0.1 and 1024");
        refused(cpus(f64::INFINITY), "inf is not between 0.1 and 1024");
        assert_eq!(memory(LEAST_MEMORY), Ok(LEAST_MEMORY));
        refused(memory(Bytes::new(0)), "0B is less than 256MiB, with which no node runs");
    }

    #[test]
    fn a_prefix_leaves_room_for_the_number() {
        let longest = prefix(&"x".repeat(LONGEST_PREFIX)).unwrap();
        assert!(NodeName::numbered(&longest, MAX_NODES).is_ok());
        assert!(prefix(&"x".repeat(LONGEST_PREFIX + 1)).is_err());
    }

    #[test]
    fn a_bad_name_comes_with_one_that_is_good() {
        assert_eq!(name("My Lab").unwrap_err().suggestion(), Some("`my-lab` would do"));
    }

    #[test]
    fn what_names_an_image_is_also_an_images_name() {
        for good in ["web", "a", "3proxy", "my-app.v2", "a_b", "localhost"] {
            assert!(image_key(good).is_ok(), "{good}");
            assert_eq!(ImageName::parse(good).unwrap().familiar(), format!("{good}:latest"));
        }
        for bad in ["", "Web", "-a", "a-", ".a", "a b", "a/b", "ü", "_shared", "a:b", &"x".repeat(300)] {
            assert!(image_key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_platform_has_two_or_three_parts() {
        let part = |text: &str| platform(text).map(|found| (found.os, found.architecture, found.variant));
        assert_eq!(part("linux/amd64"), Ok(("linux".into(), "amd64".into(), None)));
        assert_eq!(part("linux/arm/v7"), Ok(("linux".into(), "arm".into(), Some("v7".into()))));
        for bad in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b", "linux/\n"] {
            assert!(platform(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stack_is_a_folder_and_none_above_it() {
        for good in ["demo", "none", "web-2", "0", &"x".repeat(63)] {
            assert_eq!(stack(good), Ok(good.to_owned()));
        }
        for bad in ["", "Demo", "..", "a/b", "a.b", "a_b", "-a", "a-", "ü", "a b", &"x".repeat(64)] {
            assert!(stack(bad).is_err(), "{bad}");
        }
        refused(
            stack("My Stack"),
            "`My Stack` cannot name a stack: only lower-case letters, digits and `-` may stand in it",
        );
    }

    #[test]
    fn metadata_fits_into_a_list_of_fleet() {
        for good in ["a", "ssd", "us-east 1", "ü", "\"x\"", "a:b/c"] {
            assert_eq!(metadata_value(good), Ok(good.to_owned()));
        }
        for bad in ["", " ", "a ", "\u{a0}a", "a=b", "a,b", "a\nb", "a\tb", "\u{1b}[31m"] {
            assert!(metadata_value(bad).is_err(), "{bad:?}");
        }
        assert!(["a", "A.b_c-9"].iter().all(|key| metadata_key(key).is_ok()));
        assert!(["", "a b", "a=", "ü", "a,b", "a\n"].iter().all(|key| metadata_key(key).is_err()));
    }

    #[test]
    fn a_cache_has_room_for_one_lab() {
        assert_eq!(cache_limit_text("1GiB"), Ok(LEAST_CACHE_LIMIT));
        refused(cache_limit_text("1023MiB"), "1023MiB is less than 1GiB");
    }

    #[test]
    fn an_image_is_no_option_and_no_shell_script() {
        for good in ["debian:12", "a", "registry.example:5000/team/debian@sha256:00ff", "Base"] {
            assert!(base_image(good).is_ok(), "{good}");
        }
        for bad in ["", "--privileged", "a b", "a\nb", "$(id)", "/a", &"x".repeat(256)] {
            assert!(base_image(bad).is_err(), "{bad}");
        }
    }
}
