//! Which value holds, and which file is read.

use super::*;
use crate::config::{CacheTable, ImageTable, NetworkTable, NodeTable, OneImage, VagrantTable};
use crate::model::FleetEngine;

fn name<T: std::str::FromStr<Err: fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn flags() -> Flags {
    Flags {
        lab: Some(name("flag")),
        file: None,
        nodes: Some(7),
        provider: Some(Provider::Container),
        vagrant_provider: Some(VagrantProvider::Libvirt),
        prefix: Some(name("flag")),
        memory: Some(Bytes::mebibytes(700)),
        cpus: Some(0.7),
        subnet: Some(name("10.77.7.0/24")),
        base_image: Some("flag:7".to_owned()),
        cache_limit: Some(Bytes::mebibytes(7 << 10)),
        fence: Some(false),
        stacks: vec!["flag".to_owned()],
    }
}

fn file() -> LabFile {
    LabFile {
        version: Some(1),
        name: Some(name("file")),
        nodes: Some(5),
        provider: Some(Provider::Vagrant),
        vagrant: VagrantTable { provider: Some(VagrantProvider::Docker), ..VagrantTable::default() },
        stack: Some(vec!["file".to_owned()]),
        node: NodeTable {
            prefix: Some(name("file")),
            memory: Some(Bytes::mebibytes(500)),
            cpus: Some(0.5),
            gateway_memory: Some(Bytes::mebibytes(300)),
            gateway_cpus: None,
        },
        network: NetworkTable { subnet: Some(name("10.77.5.0/24")) },
        fleet: FleetTable { engine: None, fence: Some(true) },
        metadata: MetadataTable::default(),
        image: ImageTable { base: Some("file:5".to_owned()) },
        images: [("off".to_owned(), OneImage { skip: Some(true), ..OneImage::default() })].into(),
        cache: CacheTable { limit: Some(Bytes::mebibytes(5 << 10)) },
    }
}

fn vagrant(flag: Option<VagrantProvider>) -> VagrantSettings {
    VagrantSettings::resolve(flag, VagrantTable::default())
}

fn defaults() -> Settings {
    Settings {
        lab: name("my-folder"),
        project: "/home/a/My Folder".into(),
        nodes: None,
        provider: None,
        vagrant: vagrant(None),
        prefix: name("core"),
        memory: None,
        cpus: None,
        gateway_memory: None,
        gateway_cpus: None,
        subnet: None,
        base_image: "debian:bookworm-slim".to_owned(),
        images: Vec::new(),
        cache_limit: Bytes::mebibytes(20 << 10),
        fleet: FleetSettings::default(),
        stacks: None,
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
        provider: Some(Provider::Vagrant),
        vagrant: vagrant(Some(VagrantProvider::Docker)),
        prefix: name("file"),
        memory: Some(Bytes::mebibytes(500)),
        cpus: Some(0.5),
        gateway_memory: Some(Bytes::mebibytes(300)),
        gateway_cpus: Some(0.5),
        subnet: Some(name("10.77.5.0/24")),
        base_image: "file:5".to_owned(),
        cache_limit: Bytes::mebibytes(5 << 10),
        fleet: FleetSettings { fence: true, ..FleetSettings::default() },
        stacks: Some(vec!["file".to_owned()]),
        ..defaults()
    };
    let none = Flags::default;
    check(none(), LabFile::default(), &defaults());
    check(none(), file(), &from_file);
    check(Flags { lab: flags().lab, ..none() }, file(), &Settings { lab: name("flag"), ..from_file.clone() });
    check(Flags { nodes: Some(7), ..none() }, file(), &Settings { nodes: Some(7), ..from_file.clone() });
    let prefix = Flags { prefix: flags().prefix, ..none() };
    check(prefix, file(), &Settings { prefix: name("flag"), ..from_file.clone() });
    let memory = flags().memory;
    check(
        Flags { memory, ..none() },
        file(),
        &Settings { memory, gateway_memory: memory, ..from_file.clone() },
    );
    let cpus = flags().cpus;
    check(Flags { cpus, ..none() }, file(), &Settings { cpus, gateway_cpus: cpus, ..from_file.clone() });
    let subnet = flags().subnet;
    check(Flags { subnet, ..none() }, file(), &Settings { subnet, ..from_file.clone() });
    let image = Flags { base_image: flags().base_image, ..none() };
    check(image, file(), &Settings { base_image: "flag:7".to_owned(), ..from_file.clone() });
    let cache = Flags { cache_limit: flags().cache_limit, ..none() };
    check(cache, file(), &Settings { cache_limit: Bytes::mebibytes(7 << 10), ..from_file.clone() });
    let fence = Flags { fence: Some(false), ..none() };
    check(fence, file(), &Settings { fleet: FleetSettings::default(), ..from_file.clone() });
    let stacks = Flags { stacks: flags().stacks, ..none() };
    check(stacks, file(), &Settings { stacks: Some(vec!["flag".to_owned()]), ..from_file });
    let with_file = resolve(flags(), file()).unwrap();
    assert_eq!(with_file, resolve(flags(), LabFile::default()).unwrap(), "nothing of the file is left");
}

#[test]
fn who_names_who_runs_machines_wants_machines() {
    let by = |flags| resolve(flags, LabFile::default()).unwrap().provider;
    let vagrant_provider = Some(VagrantProvider::Docker);
    assert_eq!(by(Flags { vagrant_provider, ..Flags::default() }), Some(Provider::Vagrant));
    let provider = Some(Provider::Container);
    assert_eq!(by(Flags { provider, vagrant_provider, ..Flags::default() }), provider);
}

#[test]
fn what_only_the_file_says_of_the_fleet_is_kept() {
    let text = "[fleet]\nengine = \"fleet\"\n[metadata]\nall = { a = \"1\" }\nx-09 = { b = \"2\" }";
    let file = || parse(text, Utf8Path::new("lab.toml")).unwrap();
    let map = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    let want = FleetSettings {
        engine: FleetEngine::Fleet,
        fence: false,
        metadata: map("a", "1"),
        node_metadata: [(name("x-09"), map("b", "2"))].into(),
    };
    assert_eq!(resolve(Flags::default(), file()).unwrap().fleet, want);
    let fenced = resolve(Flags { fence: Some(true), ..Flags::default() }, file()).unwrap().fleet;
    assert_eq!(fenced, FleetSettings { fence: true, ..want });
}

#[test]
fn no_stack_is_wanted_where_a_flag_or_the_file_says_none() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let stacks = |flags: &[&str], key: Option<&[&str]>| {
        let file = LabFile { stack: key.map(names), ..LabFile::default() };
        resolve(Flags { stacks: names(flags), ..Flags::default() }, file).unwrap().stacks
    };
    assert_eq!(stacks(&[], None), None);
    assert_eq!(stacks(&["none"], Some(&["web"])), Some(Vec::new()));
    assert_eq!(stacks(&[], Some(&["none"])), Some(Vec::new()));
    assert_eq!(stacks(&["web", "db"], Some(&["none"])), Some(names(&["web", "db"])));
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
        told(Flags { stacks: vec!["../up".to_owned()], ..Flags::default() }),
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
