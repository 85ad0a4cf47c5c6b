//! The settings that hold: a flag wins over the environment, that over `lab.toml`, and that over a default.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};

use super::file::{FILE_NAME, LabFile, Provider};
use super::images::{self, ImageProblem};
use super::limits::{self, DEFAULT_BASE_IMAGE, DEFAULT_CACHE_LIMIT, DEFAULT_PREFIX, Refused};
use super::parse::{decode, parse};
use super::problem::Problems;
use crate::fs;
use crate::model::image::ImageSpec;
use crate::model::{Bytes, LabName, NodeName, Subnet};

/// What flags say, or the environment where no flag is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flags {
    pub lab: Option<LabName>,
    pub file: Option<Utf8PathBuf>,
    pub nodes: Option<u16>,
    pub provider: Option<Provider>,
    pub prefix: Option<NodeName>,
    pub memory: Option<Bytes>,
    pub cpus: Option<f64>,
    pub subnet: Option<Subnet>,
    pub base_image: Option<String>,
    pub cache_limit: Option<Bytes>,
}

/// Everything that the user wants of a lab.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub lab: LabName,
    /// The folder that the lab belongs to.
    pub project: Utf8PathBuf,
    /// `None` if nobody said a number: a lab that exists keeps its nodes.
    pub nodes: Option<u16>,
    pub provider: Provider,
    pub prefix: NodeName,
    pub memory: Option<Bytes>,
    pub cpus: Option<f64>,
    /// `None` for one that is free.
    pub subnet: Option<Subnet>,
    pub base_image: String,
    /// What every node gets, sorted by key.
    pub images: Vec<ImageSpec>,
    pub cache_limit: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error(transparent)]
    Problems(#[from] Problems),
    #[error("{flag}: {refused}")]
    Flag { flag: Flag, refused: Refused },
    #[error(transparent)]
    Image(#[from] ImageProblem),
}

/// A flag and the variable that stands in for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    pub name: &'static str,
    pub variable: &'static str,
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (or `{}`)", self.name, self.variable)
    }
}

const NODES: Flag = Flag::new("--nodes", "LAB_NODES");
const NODE_PREFIX: Flag = Flag::new("--prefix", "LAB_PREFIX");
const MEMORY: Flag = Flag::new("--memory", "LAB_MEMORY");
const CPUS: Flag = Flag::new("--cpus", "LAB_CPUS");
const SUBNET: Flag = Flag::new("--subnet", "LAB_SUBNET");
const BASE_IMAGE: Flag = Flag::new("--base-image", "LAB_BASE_IMAGE");
const CACHE_LIMIT: Flag = Flag::new("--cache-limit", "LAB_CACHE_LIMIT");

impl Flag {
    const fn new(name: &'static str, variable: &'static str) -> Self {
        Self { name, variable }
    }

    fn check<T>(self, result: Result<T, Refused>) -> Result<T, Error> {
        result.map_err(|refused| Error::Flag { flag: self, refused })
    }
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) if error.is_not_found() => Some("`lab init` writes a lab.toml".to_owned()),
            Self::File(error) => error.hint(),
            Self::Problems(problems) => problems.hint(),
            Self::Flag { refused, .. } => refused.suggestion().map(str::to_owned),
            Self::Image(problem) => Some(problem.hint()),
        }
    }
}

impl Settings {
    /// Finds and reads `lab.toml`, if there is one, and lets flags win over it.
    pub fn load(flags: Flags, cwd: &Utf8Path, home: Option<&Utf8Path>) -> Result<Self, Error> {
        let Some(path) = locate(flags.file.as_deref(), cwd, home) else {
            return Self::resolve(flags, LabFile::default(), &images::folders(cwd)?, cwd);
        };
        let file = load_file(&path, path.strip_prefix(cwd).unwrap_or(&path))?;
        let folder = path.parent().unwrap_or(cwd);
        // A folder that was named `..` has no name to call the lab by.
        let folder = folder.canonicalize_utf8().unwrap_or_else(|_| folder.to_owned());
        Self::resolve(flags, file, &images::folders(&folder)?, &folder)
    }

    /// Decides every value. Those of the file are checked already; those of flags are checked here.
    /// `found` names the folders that are images also without a table.
    pub fn resolve(flags: Flags, file: LabFile, found: &[String], folder: &Utf8Path) -> Result<Self, Error> {
        let prefix = flags.prefix.map(|prefix| NODE_PREFIX.check(limits::prefix(prefix.as_str())));
        let image = flags.base_image.map(|image| BASE_IMAGE.check(limits::base_image(&image)));
        let nodes = flags.nodes.map(|count| NODES.check(limits::nodes(count.into())));
        let memory = flags.memory.map(|bytes| MEMORY.check(limits::memory(bytes)));
        let cpus = flags.cpus.map(|count| CPUS.check(limits::cpus(count)));
        let subnet = flags.subnet.map(|subnet| SUBNET.check(limits::subnet(subnet)));
        let cache_limit = flags.cache_limit.map(|bytes| CACHE_LIMIT.check(limits::cache_limit(bytes)));
        Ok(Self {
            images: images::specs(&file.images, found, folder)?,
            cache_limit: cache_limit.transpose()?.or(file.cache.limit).unwrap_or(DEFAULT_CACHE_LIMIT),
            lab: flags.lab.or(file.name).unwrap_or_else(|| lab_of(folder)),
            project: folder.to_owned(),
            nodes: nodes.transpose()?.or(file.nodes),
            provider: flags.provider.or(file.provider).unwrap_or_default(),
            prefix: prefix.transpose()?.or(file.node.prefix).unwrap_or_else(default_prefix),
            memory: memory.transpose()?.or(file.node.memory),
            cpus: cpus.transpose()?.or(file.node.cpus),
            subnet: subnet.transpose()?.or(file.network.subnet),
            base_image: image
                .transpose()?
                .or(file.image.base)
                .unwrap_or_else(|| DEFAULT_BASE_IMAGE.to_owned()),
        })
    }
}

fn lab_of(folder: &Utf8Path) -> LabName {
    LabName::from_folder(folder.file_name().unwrap_or_default())
}

fn default_prefix() -> NodeName {
    NodeName::parse(DEFAULT_PREFIX).expect("the default is a host name")
}

/// Returns the `lab.toml` that holds in `cwd`: the one that is named, else that of the folder or of one
/// above it. The search ends at the root of the repository or at the home folder; outside of both it
/// does not begin, for there a folder above may be anybody's, as `/tmp` is.
pub fn locate(named: Option<&Utf8Path>, cwd: &Utf8Path, home: Option<&Utf8Path>) -> Option<Utf8PathBuf> {
    if let Some(named) = named {
        return Some(cwd.join(named));
    }
    let home = home.and_then(|home| home.canonicalize_utf8().ok());
    let is_last = |folder: &&Utf8Path| folder.join(".git").exists() || Some(*folder) == home.as_deref();
    let last = cwd.ancestors().find(is_last).unwrap_or(cwd);
    cwd.ancestors()
        .take_while(|folder| folder.starts_with(last))
        .map(|folder| folder.join(FILE_NAME))
        .find(|path| path.symlink_metadata().is_ok())
}

/// Reads one file; `shown` is how messages call it.
pub fn load_file(path: &Utf8Path, shown: &Utf8Path) -> Result<LabFile, Error> {
    let text = decode(fs::read(path)?, shown)?;
    Ok(parse(&text, shown)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CacheTable, ImageTable, NetworkTable, NodeTable, OneImage};

    fn name<T: std::str::FromStr<Err: fmt::Debug>>(text: &str) -> T {
        text.parse().unwrap()
    }

    fn flags() -> Flags {
        Flags {
            lab: Some(name("flag")),
            file: None,
            nodes: Some(7),
            provider: Some(Provider::Container),
            prefix: Some(name("flag")),
            memory: Some(Bytes::mebibytes(700)),
            cpus: Some(0.7),
            subnet: Some(name("10.77.7.0/24")),
            base_image: Some("flag:7".to_owned()),
            cache_limit: Some(Bytes::mebibytes(7 << 10)),
        }
    }

    fn file() -> LabFile {
        LabFile {
            version: Some(1),
            name: Some(name("file")),
            nodes: Some(5),
            provider: Some(Provider::Container),
            node: NodeTable {
                prefix: Some(name("file")),
                memory: Some(Bytes::mebibytes(500)),
                cpus: Some(0.5),
            },
            network: NetworkTable { subnet: Some(name("10.77.5.0/24")) },
            image: ImageTable { base: Some("file:5".to_owned()) },
            images: [("off".to_owned(), OneImage { skip: Some(true), ..OneImage::default() })].into(),
            cache: CacheTable { limit: Some(Bytes::mebibytes(5 << 10)) },
        }
    }

    fn defaults() -> Settings {
        Settings {
            lab: name("my-folder"),
            project: "/home/a/My Folder".into(),
            nodes: None,
            provider: Provider::Container,
            prefix: name("core"),
            memory: None,
            cpus: None,
            subnet: None,
            base_image: "debian:bookworm-slim".to_owned(),
            images: Vec::new(),
            cache_limit: Bytes::mebibytes(20 << 10),
        }
    }

    fn resolve(flags: Flags, file: LabFile) -> Result<Settings, Error> {
        Settings::resolve(flags, file, &[], Utf8Path::new("/home/a/My Folder"))
    }

    #[track_caller]
    fn check(flags: Flags, file: LabFile, want: &Settings) {
        assert_eq!(resolve(flags, file).unwrap(), *want);
    }

    #[test]
    fn each_flag_wins_over_its_key_and_each_key_over_its_default() {
        let from_file = Settings {
            lab: name("file"),
            nodes: Some(5),
            prefix: name("file"),
            memory: Some(Bytes::mebibytes(500)),
            cpus: Some(0.5),
            subnet: Some(name("10.77.5.0/24")),
            base_image: "file:5".to_owned(),
            cache_limit: Bytes::mebibytes(5 << 10),
            ..defaults()
        };
        let none = Flags::default;
        check(none(), LabFile::default(), &defaults());
        check(none(), file(), &from_file);
        check(
            Flags { lab: flags().lab, ..none() },
            file(),
            &Settings { lab: name("flag"), ..from_file.clone() },
        );
        check(Flags { nodes: Some(7), ..none() }, file(), &Settings { nodes: Some(7), ..from_file.clone() });
        let prefix = Flags { prefix: flags().prefix, ..none() };
        check(prefix, file(), &Settings { prefix: name("flag"), ..from_file.clone() });
        let memory = flags().memory;
        check(Flags { memory, ..none() }, file(), &Settings { memory, ..from_file.clone() });
        let cpus = flags().cpus;
        check(Flags { cpus, ..none() }, file(), &Settings { cpus, ..from_file.clone() });
        let subnet = flags().subnet;
        check(Flags { subnet, ..none() }, file(), &Settings { subnet, ..from_file.clone() });
        let image = Flags { base_image: flags().base_image, ..none() };
        check(image, file(), &Settings { base_image: "flag:7".to_owned(), ..from_file.clone() });
        let cache = Flags { cache_limit: flags().cache_limit, ..none() };
        check(cache, file(), &Settings { cache_limit: Bytes::mebibytes(7 << 10), ..from_file });
        let with_file = resolve(flags(), file()).unwrap();
        assert_eq!(with_file, resolve(flags(), LabFile::default()).unwrap(), "nothing of the file is left");
    }

    #[test]
    fn a_flag_has_the_limits_of_its_key() {
        let told = |flags: Flags| resolve(flags, file()).unwrap_err().to_string();
        let all = [
            told(Flags { nodes: Some(900), ..Flags::default() }),
            told(Flags { memory: Some(Bytes::mebibytes(12)), ..Flags::default() }),
            told(Flags { cpus: Some(0.0), ..Flags::default() }),
            told(Flags { subnet: Some(name("8.8.8.0/24")), ..Flags::default() }),
            told(Flags { prefix: Some(name(&"x".repeat(63))), ..Flags::default() }),
            told(Flags { base_image: Some("a b".to_owned()), ..Flags::default() }),
            told(Flags { cache_limit: Some(Bytes::mebibytes(12)), ..Flags::default() }),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }

    /// A folder with `home/repo/.git` and `home/repo/deep/er`, and the files that a test names.
    fn tree(files: &[&str]) -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let top = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        fs::create_dir(&top.join("home/repo/.git")).unwrap();
        fs::create_dir(&top.join("home/repo/deep/er")).unwrap();
        for file in files {
            fs::write(&top.join(file), "nodes = 4\n", fs::Access::Public).unwrap();
        }
        (dir, top)
    }

    #[track_caller]
    fn check_found(files: &[&str], cwd: &str, want: Option<&str>) {
        let (_dir, top) = tree(files);
        let found = locate(None, &top.join(cwd), Some(&top.join("home")));
        assert_eq!(found, want.map(|path| top.join(path)));
    }

    #[test]
    fn the_file_is_looked_for_up_to_the_repository_or_home() {
        let all = &["lab.toml", "home/lab.toml", "home/repo/lab.toml", "home/repo/deep/lab.toml"];
        check_found(all, "home/repo/deep/er", Some("home/repo/deep/lab.toml"));
        check_found(all, "home/repo", Some("home/repo/lab.toml"));
        check_found(all, "home/other", Some("home/lab.toml"));
        check_found(all, "home", Some("home/lab.toml"));
        check_found(&["lab.toml", "home/lab.toml"], "home/repo/deep", None);
        check_found(&["lab.toml"], "home/other", None);
        check_found(&["lab.toml"], "elsewhere", None);
        check_found(&["lab.toml", "elsewhere/lab.toml"], "elsewhere", Some("elsewhere/lab.toml"));
        check_found(&[], "home/repo/deep", None);
    }

    #[test]
    fn the_project_is_the_folder_of_the_file_however_it_is_named() {
        let (_dir, top) = tree(&["home/repo/lab.toml", "home/repo/other.toml"]);
        let cwd = top.join("home/repo/deep");
        for file in [None, Some("../lab.toml"), Some("../other.toml"), Some("er/../../lab.toml")] {
            let flags = Flags { file: file.map(Into::into), ..Flags::default() };
            let settings = Settings::load(flags, &cwd, None).unwrap();
            assert_eq!((settings.lab.as_str(), settings.nodes), ("repo", Some(4)), "{file:?}");
            assert_eq!(settings.project, top.join("home/repo"));
        }
        let without = Settings::load(Flags::default(), &top.join("home"), None).unwrap();
        assert_eq!((without.lab.as_str(), without.nodes), ("home", None));
    }

    #[test]
    fn images_are_found_with_and_without_a_file() {
        let (_dir, top) = tree(&["home/repo/images/web/Dockerfile", "home/repo/deep/images/a/Dockerfile"]);
        let images = |cwd: &str| {
            let settings = Settings::load(Flags::default(), &top.join(cwd), None).unwrap();
            settings.images.iter().map(|spec| spec.key.clone()).collect::<Vec<_>>()
        };
        assert_eq!(images("home/repo"), ["web"]);
        assert_eq!(images("home/repo/deep"), ["a"]);
        fs::write(&top.join("home/repo/lab.toml"), "[images.x]\npull = \"x\"", fs::Access::Public).unwrap();
        assert_eq!(images("home/repo/deep"), ["web", "x"]);
    }

    #[test]
    fn a_file_is_named_as_the_user_sees_it() {
        let (_dir, top) = tree(&[]);
        fs::write(&top.join("home/repo/lab.toml"), "nodez = 1", fs::Access::Public).unwrap();
        let told = |cwd: &str, file: Option<&str>| {
            let flags = Flags { file: file.map(Into::into), ..Flags::default() };
            Settings::load(flags, &top.join(cwd), None).unwrap_err()
        };
        assert!(told("home/repo", None).to_string().starts_with("lab.toml:1:1: "));
        assert!(told("home/repo/deep", Some("../lab.toml")).to_string().starts_with("../lab.toml:1:1: "));
        let above = told("home/repo/deep", None).to_string();
        assert!(above.starts_with(&format!("{top}/home/repo/lab.toml:1:1: ")), "{above}");
        let absent = told("home", Some("absent.toml"));
        assert_eq!(absent.to_string(), format!("could not read `{top}/home/absent.toml`"));
        assert!(absent.hint().unwrap().contains("lab init"));
    }
}
