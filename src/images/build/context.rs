//! The folder that is built: what of it the engine is sent, and what of that an image can be made of.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use camino::{Utf8Path, Utf8PathBuf};

use super::key::{DockerfileInput, FileInput, FileKind};
use super::{Error, Ignore, Matched};
use crate::fs;
use crate::model::image::{BuildSource, Digest};

pub(super) const IGNORE_FILE: &str = ".dockerignore";
/// What a Dockerfile is called that does not lie in the folder.
const SENT_DOCKERFILE: &str = ".dockerfile.lab";
const PERMISSIONS: u32 = 0o7777;

/// What is sent, in the order in which it is sent.
#[derive(Debug, Clone)]
pub struct Context {
    pub(super) folder: Utf8PathBuf,
    pub(super) entries: Vec<Entry>,
    /// Files that are not in the folder, with their content.
    pub(super) added: Vec<(String, Vec<u8>)>,
    pub(super) dockerfile: Dockerfile,
}

#[derive(Debug, Clone)]
pub(super) struct Dockerfile {
    /// What the engine is told, below the folder.
    pub(super) name: String,
    pub(super) path: Utf8PathBuf,
    pub(super) text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Below the folder.
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    /// In seconds since 1970. It ends up in layers, but it is no reason to build again.
    pub(super) modified: u64,
    /// Whether it is part of the context for the Dockerfile, and not sent for the builder's own use.
    pub(super) is_visible: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File { bytes: u64 },
    Folder,
    Link { to: String },
    Pipe,
}

impl Context {
    /// Looks at everything in the folder that is not ignored. No file is read but the Dockerfile and
    /// what says which are ignored.
    pub fn open(source: &BuildSource) -> Result<Self, Error> {
        let absent = |error| Error::NoFolder { path: source.folder.clone(), source: error };
        let folder = source.folder.canonicalize_utf8().map_err(absent)?;
        folder.read_dir_utf8().map_err(absent)?;
        let dockerfile = Dockerfile::find(&folder, &source.dockerfile)?;
        let (ignore, ignore_text) = read_ignore(&folder, &dockerfile.path)?;
        let is_outside = dockerfile.name == SENT_DOCKERFILE;
        let always = if is_outside { vec![] } else { vec![IGNORE_FILE.to_owned(), dockerfile.name.clone()] };
        let mut walk =
            Walk { folder: &folder, ignore: &ignore, always, entries: Vec::new(), above: Vec::new() };
        walk.folder("", &Matched::default())?;
        let mut entries = walk.entries;
        let mut added = Vec::new();
        if is_outside {
            // The builder hides what its ignore file names, so that no `COPY` takes what we add.
            entries.retain(|entry| entry.path != IGNORE_FILE);
            let hidden = format!("{ignore_text}\n{IGNORE_FILE}\n{SENT_DOCKERFILE}\n");
            added.push((IGNORE_FILE.to_owned(), hidden.into_bytes()));
            added.push((SENT_DOCKERFILE.to_owned(), dockerfile.text.clone().into_bytes()));
        }
        Ok(Self { folder, entries, added, dockerfile })
    }

    /// Returns how much is sent.
    pub fn bytes(&self) -> u64 {
        let bytes = |entry: &Entry| if let Kind::File { bytes } = entry.kind { bytes } else { 0 };
        self.entries.iter().map(bytes).sum()
    }

    pub(super) fn dockerfile_input(&self) -> DockerfileInput {
        let path = self.dockerfile.path.strip_prefix(&self.folder).unwrap_or(&self.dockerfile.path);
        DockerfileInput { path: path.to_string(), digest: Digest::of(&self.dockerfile.text) }
    }

    /// Puts together what is known of every file that the Dockerfile can copy.
    pub(super) fn inputs(&self, mut digests: BTreeMap<String, Digest>) -> BTreeMap<String, FileInput> {
        let visible = self.entries.iter().filter(|entry| entry.is_visible);
        let inputs = visible.map(|entry| {
            let (kind, digest) = match &entry.kind {
                Kind::File { .. } => (FileKind::File, digests.remove(&entry.path)),
                Kind::Folder => (FileKind::Folder, None),
                Kind::Link { to } => (FileKind::Link, Some(Digest::of(to))),
                Kind::Pipe => (FileKind::Pipe, None),
            };
            (entry.path.clone(), FileInput { kind, mode: entry.mode, digest })
        });
        inputs.collect()
    }
}

impl Dockerfile {
    fn find(folder: &Utf8Path, wanted: &Utf8Path) -> Result<Self, Error> {
        let path = folder.join(wanted);
        let text = fs::read_if_present(&path)?.ok_or_else(|| Error::NoDockerfile { path: path.clone() })?;
        // What a link leads to counts: the engine sees no file outside of what it is sent.
        let real = path.canonicalize_utf8().unwrap_or_else(|_| path.clone());
        let name = real.strip_prefix(folder).map_or_else(|_| SENT_DOCKERFILE.to_owned(), ToString::to_string);
        Ok(Self { name, path, text })
    }
}

/// Reads the ignore file of this Dockerfile if it has one of its own, else that of the folder.
fn read_ignore(folder: &Utf8Path, dockerfile: &Utf8Path) -> Result<(Ignore, String), Error> {
    for path in [Utf8PathBuf::from(format!("{dockerfile}{IGNORE_FILE}")), folder.join(IGNORE_FILE)] {
        if let Some(text) = fs::read_if_present(&path)? {
            let ignore = Ignore::parse(&text).map_err(|source| Error::Ignore { path, source })?;
            return Ok((ignore, text));
        }
    }
    Ok((Ignore::default(), String::new()))
}

struct Walk<'a> {
    folder: &'a Utf8Path,
    ignore: &'a Ignore,
    /// What is sent even if it is ignored.
    always: Vec<String>,
    entries: Vec<Entry>,
    /// Ignored folders that the walk is in: they are sent if something in them is.
    above: Vec<Entry>,
}

impl Walk<'_> {
    fn folder(&mut self, below: &str, matched: &Matched) -> Result<(), Error> {
        for name in self.names(below)? {
            let shown = name.to_string_lossy();
            let path = if below.is_empty() { shown.into_owned() } else { format!("{below}/{shown}") };
            let (is_ignored, matched) = self.ignore.look(&path, matched);
            let is_needed = self.always.contains(&path);
            let full = self.folder.join(&path);
            if name.to_str().is_none() {
                if is_ignored {
                    continue;
                }
                return Err(Error::Name { path: full });
            }
            let found =
                full.symlink_metadata().map_err(|source| Error::Read { path: full.clone(), source })?;
            if found.is_dir() {
                self.subfolder(&path, &found, is_ignored, &matched)?;
            } else if (!is_ignored || is_needed)
                && let Some(kind) = kind(&full, &found)?
            {
                self.add(entry(path, kind, &found, !is_ignored));
            }
        }
        Ok(())
    }

    fn subfolder(
        &mut self,
        path: &str,
        found: &Metadata,
        is_ignored: bool,
        matched: &Matched,
    ) -> Result<(), Error> {
        let this = entry(path.to_owned(), Kind::Folder, found, true);
        if !is_ignored {
            self.add(this);
            return self.folder(path, matched);
        }
        let is_above = |file: &String| file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        if self.ignore.may_except_below(path) || self.always.iter().any(is_above) {
            let depth = self.above.len();
            self.above.push(this);
            self.folder(path, matched)?;
            self.above.truncate(depth);
        }
        Ok(())
    }

    fn add(&mut self, entry: Entry) {
        if entry.is_visible {
            self.entries.append(&mut self.above);
        }
        self.entries.push(entry);
    }

    /// Returns what is in a folder, sorted, so that the same folder is always sent the same way.
    fn names(&self, below: &str) -> Result<Vec<OsString>, Error> {
        let path = self.folder.join(below);
        let found = std::fs::read_dir(&path).and_then(|found| {
            let names = found.map(|entry| entry.map(|entry| entry.file_name()));
            names.collect::<Result<Vec<_>, _>>()
        });
        let mut names = found.map_err(|source| Error::Read { path, source })?;
        names.sort_unstable();
        Ok(names)
    }
}

fn entry(path: String, kind: Kind, found: &Metadata, is_visible: bool) -> Entry {
    // The mode of a link means nothing, and differs between systems.
    let mode = if found.is_symlink() { 0o777 } else { found.mode() & PERMISSIONS };
    let modified = u64::try_from(found.mtime()).unwrap_or(0);
    Entry { path, kind, mode, modified, is_visible }
}

/// Returns what to send for a file, if anything: sockets are left out, as Docker does.
fn kind(path: &Utf8Path, found: &Metadata) -> Result<Option<Kind>, Error> {
    let kind = found.file_type();
    if kind.is_file() {
        return Ok(Some(Kind::File { bytes: found.len() }));
    }
    if kind.is_symlink() {
        let unreadable = |source| Error::Read { path: path.to_owned(), source };
        let to = std::fs::read_link(path).map_err(unreadable)?;
        let to = to.into_os_string().into_string().map_err(|_| Error::Name { path: path.to_owned() })?;
        return Ok(Some(Kind::Link { to }));
    }
    if kind.is_fifo() {
        return Ok(Some(Kind::Pipe));
    }
    if kind.is_socket() {
        return Ok(None);
    }
    Err(Error::Device { path: path.to_owned() })
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    pub(in super::super) fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, BuildSource) {
        let dir = tempfile::tempdir().unwrap();
        let top = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        for (path, content) in files {
            fs::write(&top.join("web").join(path), content, fs::Access::Public).unwrap();
        }
        let source = BuildSource {
            folder: top.join("web"),
            dockerfile: "Dockerfile".into(),
            args: BTreeMap::new(),
            target: None,
        };
        (dir, source)
    }

    fn paths(context: &Context) -> Vec<String> {
        let mark = |entry: &Entry| match entry.kind {
            Kind::Folder => "/",
            Kind::Link { .. } => "@",
            Kind::Pipe => "|",
            Kind::File { .. } if entry.is_visible => "",
            Kind::File { .. } => "?",
        };
        context.entries.iter().map(|entry| format!("{}{}", entry.path, mark(entry))).collect()
    }

    #[track_caller]
    fn check(files: &[(&str, &str)], want: &[&str]) {
        let (_dir, source) = folder(files);
        assert_eq!(paths(&Context::open(&source).unwrap()), want);
    }

    #[test]
    fn what_is_not_ignored_is_sent_in_order() {
        check(
            &[("Dockerfile", ""), ("b/c/d", ""), ("b-", ""), ("a", "")],
            &["Dockerfile", "a", "b/", "b/c/", "b/c/d", "b-"],
        );
        check(
            &[("Dockerfile", ""), (".dockerignore", "x\n*.o"), ("x/a", ""), ("a.o", "")],
            &[".dockerignore", "Dockerfile"],
        );
    }

    #[test]
    fn what_the_builder_needs_is_sent_though_it_is_ignored() {
        check(
            &[("Dockerfile", ""), (".dockerignore", "*\n!a/b"), ("a/b", ""), ("a/c", ""), ("d/b", "")],
            &[".dockerignore?", "Dockerfile?", "a/", "a/b"],
        );
        let (_dir, source) = folder(&[("x/D", ""), (".dockerignore", "*"), ("x/y", "")]);
        let source = BuildSource { dockerfile: "x/D".into(), ..source };
        assert_eq!(paths(&Context::open(&source).unwrap()), [".dockerignore?", "x/D?"]);
    }

    #[test]
    fn a_dockerfile_may_have_an_ignore_file_of_its_own() {
        let (_dir, source) =
            folder(&[("D", ""), ("D.dockerignore", "a"), (".dockerignore", "b"), ("a", ""), ("b", "")]);
        let source = BuildSource { dockerfile: "D".into(), ..source };
        assert_eq!(paths(&Context::open(&source).unwrap()), [".dockerignore", "D", "D.dockerignore", "b"]);
    }

    #[test]
    fn a_dockerfile_outside_is_added_and_hidden() {
        let (_dir, source) = folder(&[("a", ""), (".dockerignore", "x"), ("../D", "FROM a")]);
        for wanted in ["../D".into(), source.folder.join("../D"), source.folder.join("link")] {
            drop(symlink("../D", source.folder.join("link")));
            let source = BuildSource { dockerfile: wanted, ..source.clone() };
            let context = Context::open(&source).unwrap();
            assert_eq!(paths(&context), ["a", "link@"]);
            assert_eq!(context.dockerfile.name, SENT_DOCKERFILE);
            let added: Vec<(&str, &str)> = context
                .added
                .iter()
                .map(|(path, bytes)| (path.as_str(), std::str::from_utf8(bytes).unwrap()))
                .collect();
            let hidden = "x\n.dockerignore\n.dockerfile.lab\n";
            assert_eq!(added, [(IGNORE_FILE, hidden), (SENT_DOCKERFILE, "FROM a")]);
        }
    }

    #[test]
    fn links_are_not_followed_and_odd_files_are_no_trouble() {
        let (_dir, source) = folder(&[("Dockerfile", ""), ("run", "")]);
        let in_folder = |name: &str| source.folder.join(name);
        symlink("/etc", in_folder("etc")).unwrap();
        symlink("nowhere", in_folder("gone")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(in_folder("socket")).unwrap();
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mkfifoat(rustix::fs::CWD, in_folder("pipe").as_std_path(), mode).unwrap();
        std::fs::set_permissions(in_folder("run"), std::fs::Permissions::from_mode(0o4755)).unwrap();
        let context = Context::open(&source).unwrap();
        assert_eq!(paths(&context), ["Dockerfile", "etc@", "gone@", "pipe|", "run"]);
        assert_eq!(context.entries[4].mode, 0o4755);
        assert_eq!(context.entries[1].mode, 0o777);
    }

    #[test]
    fn what_cannot_be_sent_is_told() {
        let told = |source: &BuildSource| {
            let error = Context::open(source).unwrap_err();
            let text = format!("{error}; {}", error.hint().unwrap_or_default());
            text.replace(source.folder.as_str(), "/web")
        };
        let (_dir, source) = folder(&[("a", "")]);
        assert_eq!(
            told(&source),
            "there is no Dockerfile `/web/Dockerfile`; `dockerfile` in lab.toml names it, relative to the folder"
        );
        let absent = BuildSource { folder: source.folder.join("no"), ..source.clone() };
        assert!(told(&absent).starts_with("there is no folder `/web`"), "{}", told(&absent));
        let file = BuildSource { folder: source.folder.join("a"), ..source.clone() };
        assert!(told(&file).starts_with("there is no folder"));
        let (_dir, source) = folder(&[("Dockerfile", ""), (".dockerignore", "[")]);
        assert!(told(&source).starts_with("`/web/.dockerignore` cannot be understood"));
        let (_dir, source) = folder(&[("Dockerfile", "")]);
        let name = std::ffi::OsStr::from_bytes(b"\xff");
        std::fs::File::create(source.folder.as_std_path().join(name)).unwrap();
        assert!(told(&source).contains("is not UTF-8; if the image does not need it"), "{}", told(&source));
        fs::write(&source.folder.join(IGNORE_FILE), "?", fs::Access::Public).unwrap();
        assert_eq!(paths(&Context::open(&source).unwrap()), [".dockerignore", "Dockerfile"]);
    }
}
