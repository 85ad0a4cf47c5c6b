//! What goes into a build. Two builds of which all of this is the same make the same image, so that the
//! second need not be done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::image::{Digest, ImageName, Platform};

/// Changes when this program comes to mean something else by the same inputs.
const VERSION: u32 = 1;

/// All that a build depends on, in parts, so that two can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    pub version: u32,
    /// What the Dockerfile can copy, by path. Times are no part of it.
    pub files: BTreeMap<String, FileInput>,
    pub dockerfile: DockerfileInput,
    /// Values as digests: this is kept on disk, and a value may be a secret.
    pub args: BTreeMap<String, Digest>,
    pub target: Option<String>,
    pub platform: Option<Platform>,
    /// The ids of the images that it builds on; `None` for one that the engine does not have.
    pub bases: BTreeMap<ImageName, Option<Digest>>,
    /// The version of the engine that builds, and what it runs on.
    pub builder: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInput {
    pub kind: FileKind,
    pub mode: u32,
    /// Of a file's content, or of what a link leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    File,
    Folder,
    Link,
    Pipe,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerfileInput {
    pub path: String,
    pub digest: Digest,
}

/// What the user says besides the folder.
#[derive(Debug, Clone, Default)]
pub struct Options<'a> {
    pub args: BTreeMap<&'a str, &'a str>,
    pub target: Option<&'a str>,
    pub platform: Option<&'a Platform>,
}

impl Inputs {
    /// Puts together what does not depend on any engine.
    pub fn new(
        files: BTreeMap<String, FileInput>,
        dockerfile: DockerfileInput,
        options: &Options<'_>,
    ) -> Self {
        Self {
            version: VERSION,
            files,
            dockerfile,
            args: options.args.iter().map(|(name, value)| ((*name).to_owned(), Digest::of(value))).collect(),
            target: options.target.map(str::to_owned),
            platform: options.platform.cloned(),
            bases: BTreeMap::new(),
            builder: String::new(),
        }
    }

    /// Returns the digest of all of it.
    pub fn key(&self) -> Digest {
        Digest::of(serde_json::to_vec(self).expect("inputs are plain data"))
    }

    /// Returns whether an image that was made elsewhere of `other` will do: all that lies in the project is
    /// the same, and no base is known to be another. The builder there need not be the one here.
    pub fn is_like(&self, other: &Self) -> bool {
        let project =
            |inputs: &Self| Self { bases: BTreeMap::new(), builder: String::new(), ..inputs.clone() };
        let is_same = |(name, id): (&ImageName, &Option<Digest>)| {
            id.is_none() || other.bases.get(name).is_some_and(|there| there == id)
        };
        project(self) == project(other) && self.bases.iter().all(is_same)
    }

    /// Takes each base that the engine does not have to be what it was: it cannot have become another,
    /// and a build with nothing else changed is not worth a pull.
    #[must_use]
    pub fn with_bases_of(mut self, old: &Self) -> Self {
        for (name, id) in self.bases.iter_mut().filter(|(_, id)| id.is_none()) {
            *id = old.bases.get(name).copied().flatten();
        }
        self
    }
}

/// One reason to build again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Change {
    Added {
        path: String,
    },
    Removed {
        path: String,
    },
    Changed {
        path: String,
    },
    Mode {
        path: String,
        from: u32,
        to: u32,
    },
    Dockerfile,
    Argument {
        name: String,
    },
    Target,
    Platform,
    Base {
        name: ImageName,
    },
    BaseGone {
        name: ImageName,
    },
    Builder {
        from: String,
        to: String,
    },
    /// An older `lab` wrote down what the image was built from.
    Format,
}

/// Returns why `new` makes another image than `old`; nothing if their keys are the same.
pub fn diff(old: &Inputs, new: &Inputs) -> Vec<Change> {
    let mut changes = Vec::new();
    changes.extend((old.version != new.version).then_some(Change::Format));
    changes.extend((old.dockerfile != new.dockerfile).then_some(Change::Dockerfile));
    let args = keys(&old.args, &new.args).filter(|name| old.args.get(*name) != new.args.get(*name));
    changes.extend(args.map(|name| Change::Argument { name: name.clone() }));
    changes.extend((old.target != new.target).then_some(Change::Target));
    changes.extend((old.platform != new.platform).then_some(Change::Platform));
    changes.extend(keys(&old.bases, &new.bases).filter_map(|name| base(name, old, new)));
    let (from, to) = (old.builder.clone(), new.builder.clone());
    changes.extend((from != to).then_some(Change::Builder { from, to }));
    // The Dockerfile is mostly also one of the files.
    let is_told = |path: &str| path == new.dockerfile.path && old.dockerfile != new.dockerfile;
    let paths = keys(&old.files, &new.files).filter(|path| !is_told(path));
    changes.extend(paths.filter_map(|path| file(path, old.files.get(path), new.files.get(path))));
    changes
}

fn keys<'a, K: Ord, V>(old: &'a BTreeMap<K, V>, new: &'a BTreeMap<K, V>) -> impl Iterator<Item = &'a K> {
    old.keys().chain(new.keys()).collect::<BTreeSet<_>>().into_iter()
}

fn base(name: &ImageName, old: &Inputs, new: &Inputs) -> Option<Change> {
    let (before, now) = (old.bases.get(name), new.bases.get(name));
    match (before, now) {
        // What the Dockerfile names is told as a change of the Dockerfile or of an argument.
        (None, _) | (_, None) => None,
        (before, now) if before == now => None,
        (Some(_), Some(None)) => Some(Change::BaseGone { name: name.clone() }),
        (Some(_), Some(Some(_))) => Some(Change::Base { name: name.clone() }),
    }
}

fn file(path: &str, old: Option<&FileInput>, new: Option<&FileInput>) -> Option<Change> {
    let path = path.to_owned();
    match (old, new) {
        (None, Some(_)) => Some(Change::Added { path }),
        (Some(_), None) => Some(Change::Removed { path }),
        (Some(old), Some(new)) if (old.kind, old.digest) != (new.kind, new.digest) => {
            Some(Change::Changed { path })
        }
        (Some(old), Some(new)) if old.mode != new.mode => {
            Some(Change::Mode { path, from: old.mode, to: new.mode })
        }
        _ => None,
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { path } => write!(f, "added: {path}"),
            Self::Removed { path } => write!(f, "removed: {path}"),
            Self::Changed { path } => write!(f, "changed: {path}"),
            Self::Mode { path, from, to } => write!(f, "mode: {path} was {from:o} and is {to:o}"),
            Self::Dockerfile => f.write_str("the Dockerfile"),
            Self::Argument { name } => write!(f, "argument {name}"),
            Self::Target => f.write_str("the stage to build"),
            Self::Platform => f.write_str("the platform"),
            Self::Base { name } => write!(f, "base {name} is another image"),
            Self::BaseGone { name } => write!(f, "base {name} is not in the engine"),
            Self::Builder { from, to } => write!(f, "builder: {from} became {to}"),
            Self::Format => f.write_str("another lab wrote down what it was built from"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(mode: u32, content: &str) -> FileInput {
        FileInput { kind: FileKind::File, mode, digest: Some(Digest::of(content)) }
    }

    fn name(text: &str) -> ImageName {
        ImageName::parse(text).unwrap()
    }

    fn inputs() -> Inputs {
        let dockerfile = DockerfileInput { path: "Dockerfile".to_owned(), digest: Digest::of("FROM a") };
        let files = [("Dockerfile", "FROM a"), ("src/a.c", "a"), ("src/b.c", "b")];
        let files = files.map(|(path, content)| (path.to_owned(), file(0o644, content)));
        let options = Options { args: [("VERSION", "1")].into(), ..Options::default() };
        let mut inputs = Inputs::new(files.into(), dockerfile, &options);
        inputs.bases.insert(name("a"), Some(Digest::of("a")));
        inputs.builder = "20.10".to_owned();
        inputs
    }

    #[track_caller]
    fn check(change: impl Fn(&mut Inputs), want: &[&str]) {
        let (old, mut new) = (inputs(), inputs());
        change(&mut new);
        assert_eq!(diff(&old, &new).iter().map(ToString::to_string).collect::<Vec<_>>(), want);
        assert_eq!(old.key() == new.key(), want.is_empty());
    }

    #[test]
    fn what_was_made_elsewhere_will_do_if_nothing_here_says_otherwise() {
        let there = inputs();
        let like = |change: &dyn Fn(&mut Inputs)| {
            let mut here = inputs();
            change(&mut here);
            here.is_like(&there)
        };
        assert!(like(&|_| {}));
        assert!(like(&|here| here.builder = "29".to_owned()));
        assert!(like(&|here| here.bases = [(name("a"), None)].into()));
        assert!(!like(&|here| here.bases = [(name("a"), Some(Digest::of("b")))].into()));
        assert!(!like(&|here| here.files.clear()));
        assert!(!like(&|here| here.args.clear()));
    }

    #[test]
    fn every_change_is_told_and_makes_another_key() {
        check(|_| {}, &[]);
        check(|new| *new.files.get_mut("src/a.c").unwrap() = file(0o644, "x"), &["changed: src/a.c"]);
        check(
            |new| *new.files.get_mut("src/a.c").unwrap() = file(0o755, "a"),
            &["mode: src/a.c was 644 and is 755"],
        );
        check(
            |new| {
                let moved = new.files.remove("src/b.c").unwrap();
                new.files.insert("src/c.c".to_owned(), moved);
            },
            &["removed: src/b.c", "added: src/c.c"],
        );
        check(|new| new.files.get_mut("src/a.c").unwrap().kind = FileKind::Link, &["changed: src/a.c"]);
        check(
            |new| {
                new.dockerfile.digest = Digest::of("FROM b");
                new.files.insert("Dockerfile".to_owned(), file(0o644, "FROM b"));
                let base = new.bases.remove(&name("a")).unwrap();
                new.bases.insert(name("b"), base);
            },
            &["the Dockerfile"],
        );
        check(|new| new.args = [("VERSION".to_owned(), Digest::of("2"))].into(), &["argument VERSION"]);
        check(|new| new.args.clear(), &["argument VERSION"]);
        check(|new| new.target = Some("x".to_owned()), &["the stage to build"]);
        check(|new| new.platform = Some(Platform::default()), &["the platform"]);
        check(
            |new| new.bases = [(name("a"), Some(Digest::of("x")))].into(),
            &["base a:latest is another image"],
        );
        check(|new| new.bases = [(name("a"), None)].into(), &["base a:latest is not in the engine"]);
        check(|new| new.builder = "29.0".to_owned(), &["builder: 20.10 became 29.0"]);
        check(|new| new.version = 0, &["another lab wrote down what it was built from"]);
    }

    #[test]
    fn a_base_that_is_gone_is_what_it_was() {
        let (old, mut new) = (inputs(), inputs());
        new.bases.insert(name("a"), None);
        assert_eq!(new.clone().with_bases_of(&old).key(), old.key());
        new.bases.insert(name("a"), Some(Digest::of("x")));
        assert_ne!(new.with_bases_of(&old).key(), old.key());
    }

    #[test]
    fn inputs_are_kept_without_the_values_of_arguments() {
        let kept = serde_json::to_string(&inputs()).unwrap();
        assert_eq!(serde_json::from_str::<Inputs>(&kept).unwrap(), inputs());
        let options = Options { args: [("TOKEN", "hunter2")].into(), ..Options::default() };
        let secret = Inputs::new(BTreeMap::new(), inputs().dockerfile, &options);
        assert!(!serde_json::to_string(&secret).unwrap().contains("hunter2"));
    }

    proptest! {
        #[test]
        fn keys_are_the_same_just_if_nothing_differs(
            old in prop::collection::btree_map("[ab]{1,2}", (0..2u32, "[xy]"), 0..4),
            new in prop::collection::btree_map("[ab]{1,2}", (0..2u32, "[xy]"), 0..4),
        ) {
            let with = |files: &BTreeMap<String, (u32, String)>| {
                let files = files.iter().map(|(path, (mode, content))| (path.clone(), file(*mode, content)));
                Inputs { files: files.collect(), ..inputs() }
            };
            let changes = diff(&with(&old), &with(&new));
            prop_assert_eq!(old == new, changes.is_empty());
            prop_assert_eq!(old == new, with(&old).key() == with(&new).key());
        }
    }
}
