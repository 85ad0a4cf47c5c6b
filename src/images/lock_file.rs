//! `lab.lock`, beside `lab.toml`: what every tag was when it was pulled, so that a lab is the same next year.

use std::collections::BTreeMap;
use std::fs::File;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use toml::Spanned;

use crate::fs::{self, Access};
use crate::model::image::{Digest, ImageName, Platform};

pub const FILE_NAME: &str = "lab.lock";
const VERSION: u32 = 1;
const HEAD: &str =
    "# What the tags of images meant when they were pulled. `lab` writes this file; keep it under version
# control, and every lab has the same images. `lab images pull` asks the registries again.
";

/// The digests of tags, by name and platform. A name that has a digest needs none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockFile {
    pins: BTreeMap<(ImageName, Option<String>), Digest>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error("could not lock the folder `{path}`")]
    Lock { path: Utf8PathBuf, source: std::io::Error },
    #[error("`{path}`, line {line}: {message}")]
    Bad { path: Utf8PathBuf, line: usize, message: String },
    #[error("`{path}` is of version {version}, written by a newer lab; this one reads {VERSION}")]
    Version { path: Utf8PathBuf, version: u32 },
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(source) => source.hint(),
            Self::Lock { .. } => None,
            Self::Bad { path, .. } => Some(format!(
                "take `{path}` from version control; or remove it, and all tags are asked for again"
            )),
            Self::Version { .. } => Some("install a newer `lab`".to_owned()),
        }
    }
}

/// What is wrong with the text of a lock file, and on which line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    Bad { line: usize, message: String },
    Version(u32),
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[expect(dead_code, reason = "it is looked at before all else")]
    version: u32,
    #[serde(default)]
    image: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Spanned<ImageName>,
    platform: Option<String>,
    digest: Digest,
}

impl LockFile {
    /// Returns what is written in a project; nothing, if there is no such file.
    pub fn load(project: &Utf8Path) -> Result<Self, Error> {
        let path = project.join(FILE_NAME);
        let text = fs::read_if_present(&path)?.unwrap_or_default();
        Self::parse(&text).map_err(|problem| match problem {
            Problem::Bad { line, message } => Error::Bad { path, line, message },
            Problem::Version(version) => Error::Version { path, version },
        })
    }

    /// Changes what is written in a project, one `lab` after the other.
    pub fn update(project: &Utf8Path, change: impl FnOnce(&mut Self)) -> Result<(), Error> {
        let failed = |source| Error::Lock { path: project.to_owned(), source };
        // The file itself is replaced, and a lock on it would be one on the old.
        let folder = File::open(project).map_err(failed)?;
        folder.lock().map_err(failed)?;
        let before = Self::load(project)?;
        let mut after = before.clone();
        change(&mut after);
        if after != before {
            fs::write(&project.join(FILE_NAME), after.render(), Access::Public)?;
        }
        Ok(())
    }

    /// Returns what a name meant when it was pulled.
    pub fn pin(&self, name: &ImageName, platform: Option<&Platform>) -> Option<Digest> {
        let is_tag = name.digest().is_none();
        self.pins.get(&key(name, platform)).copied().filter(|_| is_tag)
    }

    /// Returns what all names meant that were pulled for a platform.
    pub fn pins(&self, platform: Option<&Platform>) -> BTreeMap<ImageName, Digest> {
        let wanted = platform.map(shown);
        let pins = self.pins.iter().filter(|((_, platform), _)| *platform == wanted);
        pins.map(|((name, _), digest)| (name.clone(), *digest)).collect()
    }

    /// Writes down what a name means.
    pub fn set(&mut self, name: &ImageName, platform: Option<&Platform>, digest: Digest) {
        if name.digest().is_none() {
            self.pins.insert(key(name, platform), digest);
        }
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let bad = |error: toml::de::Error| Problem::Bad {
            line: line(text, error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        };
        let versioned: Versioned = toml::from_str(text).map_err(bad)?;
        if versioned.version != VERSION {
            return Err(Problem::Version(versioned.version));
        }
        let document: Document = toml::from_str(text).map_err(bad)?;
        let mut pins = BTreeMap::new();
        for entry in document.image {
            let line = line(text, entry.name.span().start);
            let name = entry.name.into_inner();
            if name.digest().is_some() {
                let message = format!("`{name}` has a digest of its own, and needs no entry");
                return Err(Problem::Bad { line, message });
            }
            let message = format!("`{name}` is there twice");
            if pins.insert((name, entry.platform), entry.digest).is_some() {
                return Err(Problem::Bad { line, message });
            }
        }
        Ok(Self { pins })
    }

    fn render(&self) -> String {
        let mut text = format!("{HEAD}version = {VERSION}\n");
        for ((name, platform), digest) in &self.pins {
            text += &format!("\n[[image]]\nname = {}\n", quoted(&name.familiar()));
            if let Some(platform) = platform {
                text += &format!("platform = {}\n", quoted(platform));
            }
            text += &format!("digest = \"{digest}\"\n");
        }
        text
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Returns the number of the line that a byte is on.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn key(name: &ImageName, platform: Option<&Platform>) -> (ImageName, Option<String>) {
    (name.clone(), platform.map(shown))
}

fn shown(platform: &Platform) -> String {
    let variant = platform.variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
    format!("{}/{}{variant}", platform.os, platform.architecture)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> ImageName {
        ImageName::parse(text).unwrap()
    }

    fn arm() -> Platform {
        Platform { os: "linux".to_owned(), architecture: "arm".to_owned(), variant: Some("v7".to_owned()) }
    }

    fn sample() -> LockFile {
        let mut lock = LockFile::default();
        lock.set(&name("redis:7"), Some(&arm()), Digest::of("arm"));
        lock.set(&name("redis:7"), None, Digest::of("redis"));
        lock.set(&name("127.0.0.1:5000/a/b"), None, Digest::of("b"));
        lock
    }

    #[test]
    fn a_lock_file_is_sorted_and_reads_the_same_again() {
        let text = sample().render();
        insta::assert_snapshot!(text);
        assert_eq!(LockFile::parse(&text), Ok(sample()));
    }

    #[test]
    fn tags_are_pinned_for_each_platform_and_digests_are_not() {
        let mut lock = sample();
        assert_eq!(lock.pin(&name("docker.io/library/redis:7"), None), Some(Digest::of("redis")));
        assert_eq!(lock.pin(&name("redis:7"), Some(&arm())), Some(Digest::of("arm")));
        assert_eq!(lock.pin(&name("redis:8"), None), None);
        assert_eq!(lock.pins(Some(&arm())), [(name("redis:7"), Digest::of("arm"))].into());
        assert_eq!(lock.pins(None).len(), 2);
        let exact = name("redis").pinned(Digest::of("x"));
        lock.set(&exact, None, Digest::of("y"));
        assert_eq!(lock.pin(&exact, None), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let check = |text: &str, line: usize, what: &str| match LockFile::parse(text).unwrap_err() {
            Problem::Bad { line: told, message } => {
                assert!(told == line && message.contains(what), "{told}: {message}");
            }
            Problem::Version(version) => panic!("{version}"),
        };
        let digest = Digest::of("");
        check("x", 1, "");
        check("version = 1\nimages = 1\n", 2, "unknown field");
        check("version = 1\n[[image]]\nname = 'A'\n", 3, "not the name");
        check("version = 1\n[[image]]\nname = 'a'\ndigest = 'x'\n", 4, "not a digest");
        check("<<<<<<< ours\nversion = 1\n", 1, "");
        let twice =
            format!("version = 1\n{}", format!("[[image]]\nname = 'a'\ndigest = '{digest}'\n").repeat(2));
        check(&twice, 6, "twice");
        check(
            &format!("version = 1\n[[image]]\nname = 'a@{digest}'\ndigest = '{digest}'\n"),
            3,
            "needs no entry",
        );
        assert_eq!(LockFile::parse("version = 2\nnew = 1\n"), Err(Problem::Version(2)));
    }

    #[test]
    fn a_project_without_a_lock_file_has_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let project = Utf8Path::from_path(dir.path()).unwrap();
        assert_eq!(LockFile::load(project).unwrap(), LockFile::default());
        LockFile::update(project, |_| {}).unwrap();
        assert!(fs::list(project).unwrap().is_empty(), "nothing is written for nothing");
        LockFile::update(project, |lock| lock.set(&name("a"), None, Digest::of("1"))).unwrap();
        LockFile::update(project, |lock| lock.set(&name("b"), None, Digest::of("2"))).unwrap();
        let lock = LockFile::load(project).unwrap();
        assert_eq!(lock.pin(&name("a"), None), Some(Digest::of("1")));
        fs::write(&project.join(FILE_NAME), "version = 1\nx", Access::Public).unwrap();
        let error = LockFile::update(project, |_| {}).unwrap_err();
        assert!(error.to_string().contains("lab.lock`, line 2: "), "{error}");
        assert!(error.hint().unwrap().contains("version control"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(version = 1\n)?(\\[\\[image\\]\\]\n|name = '[a-z:@/]*'\n|digest = 1\n|\\PC){0,9}") {
            drop(LockFile::parse(&text));
        }
    }
}
