//! What the paths of an archive mean. They are names of entries, and never of files.

use super::Error;
use crate::model::image::Digest;

/// Longer paths are of no form that matters.
const LONGEST: usize = 255;

/// What an entry is, by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `manifest.json` and `index.json`, which say what the others are.
    Table,
    /// `<digits>.json`: a configuration.
    Config(Option<Digest>),
    /// `blobs/sha256/<digits>`: anything.
    Blob(Digest),
    /// `<id>/layer.tar`, `<digits>.tar.gz`.
    Layer,
    /// `lab/records/<name>`.
    Record(String),
    /// `repositories`, which all versions of Docker write.
    Repositories,
    /// What only the root of a file system has.
    Root,
    Other,
}

impl Form {
    pub fn of(path: &str) -> Self {
        let parts: Vec<&str> = path.split('/').collect();
        if path.len() > LONGEST {
            return Self::Other;
        }
        match parts[..] {
            ["manifest.json" | "index.json"] => Self::Table,
            ["repositories"] => Self::Repositories,
            ["blobs", "sha256", digits] => Digest::from_hex(digits).map_or(Self::Other, Self::Blob),
            ["lab", "records", name] if is_plain(name) => Self::Record(name.to_owned()),
            [_, "layer.tar"] => Self::Layer,
            ["bin" | "dev" | "etc" | "proc" | "usr", ..] | [".dockerenv"] => Self::Root,
            [name] if is_layer(name) => Self::Layer,
            [name] if name.starts_with("sha256:") => {
                Digest::parse(name).map_or(Self::Other, |digest| Self::Config(Some(digest)))
            }
            [name] => {
                name.strip_suffix(".json").map_or(Self::Other, |stem| Self::Config(Digest::from_hex(stem)))
            }
            _ => Self::Other,
        }
    }

    /// Returns whether images refer to entries of this form, so that links to them count, too.
    pub fn is_referred_to(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Blob(_) | Self::Layer)
    }
}

fn is_layer(name: &str) -> bool {
    [".tar", ".tar.gz", ".tgz", ".tar.zst"].iter().any(|suffix| name.ends_with(suffix))
}

/// Records become files of these names, so nothing but plain ones is taken.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) && !name.starts_with('.')
}

/// Returns a path without the parts that mean nothing.
pub fn normal(path: &str) -> Result<String, Error> {
    let is_unsafe = path.starts_with('/') || path.split('/').any(|part| part == "..");
    let normal = joined("", path).filter(|_| !is_unsafe);
    normal.ok_or_else(|| Error::UnsafePath { path: shown(path) })
}

/// Returns where a symbolic link at `path` leads, or `None` if that is outside.
pub fn led(path: &str, target: &str) -> Option<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    if target.starts_with('/') || target.len() > LONGEST { None } else { joined(folder, target) }
}

fn joined(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Returns a path that is short enough to be shown.
pub fn shown(path: &str) -> String {
    let mut shown: String = path.chars().take(LONGEST).collect();
    if shown.len() < path.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_it_is() {
        let hex = "0".repeat(64);
        let digest = Digest::from_hex(&hex).unwrap();
        for (path, want) in [
            ("manifest.json", Form::Table),
            ("index.json", Form::Table),
            ("a/manifest.json", Form::Other),
            ("repositories", Form::Repositories),
            ("oci-layout", Form::Other),
            (&format!("{hex}.json"), Form::Config(Some(digest))),
            (&format!("sha256:{hex}"), Form::Config(Some(digest))),
            ("config.json", Form::Config(None)),
            (&format!("blobs/sha256/{hex}"), Form::Blob(digest)),
            ("blobs/sha256/../x", Form::Other),
            ("blobs/sha512/00", Form::Other),
            ("abc/layer.tar", Form::Layer),
            ("abc/json", Form::Other),
            ("abc/VERSION", Form::Other),
            (&format!("{hex}.tar"), Form::Layer),
            ("x.tar.gz", Form::Layer),
            ("lab/records/a-1.json", Form::Record("a-1.json".to_owned())),
            ("lab/records/.hidden", Form::Other),
            ("lab/records/a b", Form::Other),
            ("lab/records/a/b", Form::Other),
            ("etc/passwd", Form::Root),
            (".dockerenv", Form::Root),
            (&"x".repeat(5000), Form::Other),
        ] {
            assert_eq!(Form::of(path), want, "{path}");
        }
    }

    #[test]
    fn no_path_leads_out() {
        for (path, want) in [
            ("a/b", Some("a/b")),
            ("./a//b/", Some("a/b")),
            ("", Some("")),
            ("/a", None),
            ("..", None),
            ("../a", None),
            ("a/../../b", None),
            ("a/../b", None),
        ] {
            assert_eq!(normal(path).ok().as_deref(), want, "{path}");
        }
        for (path, target, want) in [
            ("a/layer.tar", "../b/layer.tar", Some("b/layer.tar")),
            ("a/layer.tar", "../../b/layer.tar", None),
            ("a/layer.tar", "/b/layer.tar", None),
            ("a.tar", "b.tar", Some("b.tar")),
        ] {
            assert_eq!(led(path, target).as_deref(), want, "{path} -> {target}");
        }
        assert_eq!(shown(&"é".repeat(300)).chars().count(), 256);
    }
}
