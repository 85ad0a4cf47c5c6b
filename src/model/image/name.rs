//! What images are called: `redis`, `quay.io/coreos/etcd:v2.3.8`, `debian@sha256:…`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Digest;

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
const LONGEST: usize = 255;
const LONGEST_TAG: usize = 128;

/// A name in full, whatever of it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not the name of an image: {reason}")]
pub struct BadImageName {
    name: String,
    reason: &'static str,
}

impl ImageName {
    /// Reads a name by the rules of Docker: without a registry it is one of Docker Hub's, without tag
    /// and digest it is `latest`.
    pub fn parse(name: &str) -> Result<Self, BadImageName> {
        let bad = |reason| BadImageName { name: name.to_owned(), reason };
        if name.is_empty() || name.len() > LONGEST {
            return Err(bad("it is empty or too long"));
        }
        let (rest, digest) = match name.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(Digest::parse(digest).map_err(|_| bad("its digest is not one"))?))
            }
            None => (name, None),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(bad("its tag has to be of letters, digits, `_`, `.` and `-`, at most 128"));
        }
        let (registry, repository) = split_registry(path);
        if !repository.split('/').all(is_component) {
            return Err(bad("a path of lower-case letters, digits, `.`, `_` and `-` is expected"));
        }
        if !is_registry(registry) {
            return Err(bad("its registry is not a host"));
        }
        let is_official = registry == DEFAULT_REGISTRY && !repository.contains('/');
        Ok(Self {
            registry: registry.to_owned(),
            repository: if is_official { format!("library/{repository}") } else { repository.to_owned() },
            tag: match (tag, &digest) {
                (None, None) => Some(DEFAULT_TAG.to_owned()),
                (tag, _) => tag.map(str::to_owned),
            },
            digest,
        })
    }

    pub fn registry(&self) -> &str {
        &self.registry
    }

    pub fn repository(&self) -> &str {
        &self.repository
    }

    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns the name in full, as registries and containerd know it.
    pub fn full(&self) -> String {
        format!("{}/{}{}", self.registry, self.repository, self.suffix())
    }

    /// Returns the name as people write it and as Docker lists it.
    pub fn familiar(&self) -> String {
        let path = match self.registry.as_str() {
            DEFAULT_REGISTRY => {
                self.repository.strip_prefix("library/").unwrap_or(&self.repository).to_owned()
            }
            registry => format!("{registry}/{}", self.repository),
        };
        format!("{path}{}", self.suffix())
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }

    /// Returns the same image at exactly this digest, with no tag.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// Returns the name without its digest; one without a tag gets none.
    #[must_use]
    pub fn unpinned(&self) -> Self {
        let tag = self.tag.clone().or_else(|| Some(DEFAULT_TAG.to_owned()));
        Self { tag, digest: None, ..self.clone() }
    }
}

/// The first part is a registry if it cannot be a folder of Docker Hub.
fn split_registry(path: &str) -> (&str, &str) {
    match path.split_once('/') {
        Some(("index.docker.io" | "registry-1.docker.io", rest)) => (DEFAULT_REGISTRY, rest),
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => (DEFAULT_REGISTRY, path),
    }
}

fn is_registry(name: &str) -> bool {
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
    starts_well && name.chars().all(is_host) && !name.ends_with(':')
}

fn is_component(part: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(is_plain)
        && part.ends_with(is_plain)
        && part.chars().all(|c| is_plain(c) || "._-".contains(c))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !tag.is_empty()
        && tag.len() <= LONGEST_TAG
        && tag.starts_with(is_word)
        && tag.chars().all(|c| is_word(c) || ".-".contains(c))
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.familiar())
    }
}

impl FromStr for ImageName {
    type Err = BadImageName;

    fn from_str(name: &str) -> Result<Self, BadImageName> {
        Self::parse(name)
    }
}

impl TryFrom<String> for ImageName {
    type Error = BadImageName;

    fn try_from(name: String) -> Result<Self, BadImageName> {
        Self::parse(&name)
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> Self {
        name.familiar()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(name: &str, familiar: &str, full: &str) {
        let read = ImageName::parse(name).unwrap();
        assert_eq!((read.familiar().as_str(), read.full().as_str()), (familiar, full));
        assert_eq!(ImageName::parse(familiar).unwrap(), read);
        assert_eq!(ImageName::parse(full).unwrap(), read);
    }

    #[test]
    fn names_are_completed_as_docker_does() {
        let digest = Digest::of("");
        check("redis", "redis:latest", "docker.io/library/redis:latest");
        check("library/redis:7", "redis:7", "docker.io/library/redis:7");
        check("a/app", "a/app:latest", "docker.io/a/app:latest");
        check("quay.io/coreos/etcd:v2", "quay.io/coreos/etcd:v2", "quay.io/coreos/etcd:v2");
        check("localhost/x", "localhost/x:latest", "localhost/x:latest");
        check("127.0.0.1:5000/x:1", "127.0.0.1:5000/x:1", "127.0.0.1:5000/x:1");
        check("[::1]:5000/x:1", "[::1]:5000/x:1", "[::1]:5000/x:1");
        check("index.docker.io/redis", "redis:latest", "docker.io/library/redis:latest");
        check(&format!("a@{digest}"), &format!("a@{digest}"), &format!("docker.io/library/a@{digest}"));
        let both = format!("a:1@{digest}");
        check(&both, &both, &format!("docker.io/library/{both}"));
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_reason() {
        for (name, reason) in [
            ("", "empty"),
            ("Redis", "lower-case"),
            ("a//b", "lower-case"),
            ("a/", "lower-case"),
            ("../etc", "host"),
            ("a:", "tag"),
            ("a:.x", "tag"),
            ("a b", "lower-case"),
            ("a@sha256:12", "digest"),
            ("-a.b/x", "host"),
        ] {
            let error = ImageName::parse(name).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_pin_comes_and_goes() {
        let (name, digest) = (ImageName::parse("a:1").unwrap(), Digest::of(""));
        assert_eq!(name.pinned(digest).familiar(), format!("a@{digest}"));
        assert_eq!(name.pinned(digest).unpinned().familiar(), "a:latest");
        assert_eq!(name.unpinned(), name);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_reads_the_same_again(text in "\\PC*|[a-z./:@_-]{0,40}") {
            if let Ok(name) = ImageName::parse(&text) {
                prop_assert_eq!(ImageName::parse(&name.full()).unwrap(), name);
            }
        }
    }
}
