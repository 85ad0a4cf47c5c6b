//! Looks at this host. Every look has a limit, and what does not answer in time stays unknown.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{Access, access, statvfs};
use rustix::io::Errno;
use tokio::time::timeout;

use super::facts::{
    Disk, EngineState, FolderState, HostFacts, Inotify, Installer, KernelFacts, LabFolder, Labd, Program,
    Programs,
};
use super::proc;
use crate::docker::{self, Engine};
use crate::exec::{self, Cmd};
use crate::fs;
use crate::model::{LabName, Subnet, bounding_set};

const LIMIT: Duration = Duration::from_secs(2);
/// Counting open files is worth this much and no more.
#[cfg(target_os = "linux")]
const COUNT_LIMIT: Duration = Duration::from_millis(25);
const ENGINE_ROOT: &str = "/var/lib/docker";

/// Where to look: what the caller knows of its user.
#[derive(Debug, Clone)]
pub struct Place {
    pub project: Utf8PathBuf,
    pub cache: Utf8PathBuf,
    /// The program that nodes boot with.
    pub labd: Utf8PathBuf,
    /// The network that lab.toml asks for.
    pub subnet: Option<Subnet>,
    /// The labs of this host and, where it is known, the folder that each was made from.
    pub labs: Vec<(LabName, Option<String>)>,
}

/// Looks at everything at once; takes as long as the slowest look.
pub async fn gather(engine: Result<&Engine, &docker::Error>, place: &Place) -> HostFacts {
    let is_local = is_local(engine);
    let (state, kernel, files, programs) = tokio::join!(
        look_at_engine(engine),
        limited(move || is_local.then(kernel).flatten()),
        look_at_files(place, is_local),
        look_at_programs(),
    );
    let root = engine_root(&state);
    let engine_disk = limited(move || is_local.then(|| disk(&root)).flatten()).await.flatten();
    HostFacts {
        is_linux: cfg!(target_os = "linux"),
        is_root: rustix::process::geteuid().is_root(),
        has_systemd: Path::new("/run/systemd/system").is_dir(),
        engine: state,
        other_socket: users_socket(),
        kernel: kernel.flatten(),
        engine_disk,
        project_disk: files.project_disk,
        project: place.project.clone(),
        project_state: files.project,
        keys: place.project.join(".lab"),
        keys_state: files.keys,
        cache: place.cache.clone(),
        cache_state: files.cache,
        labd_path: place.labd.clone(),
        labd: files.labd,
        wanted: place.subnet,
        labs: files.labs,
        programs,
        installer: installer(),
    }
}

fn engine_root(state: &EngineState) -> Utf8PathBuf {
    match state {
        EngineState::Up { facts, .. } if !facts.root_dir.is_empty() => facts.root_dir.clone().into(),
        _ => ENGINE_ROOT.into(),
    }
}

/// Runs what may block on a slow disk, and leaves it behind if it does.
async fn limited<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    timeout(LIMIT, tokio::task::spawn_blocking(look)).await.ok()?.ok()
}

/// Returns whether the engine shares this kernel. One that does not answer is where it was looked for.
fn is_local(engine: Result<&Engine, &docker::Error>) -> bool {
    match engine {
        Ok(engine) => engine.is_local(),
        Err(docker::Error::Unreachable { host, .. } | docker::Error::TooOld { host, .. }) => {
            cfg!(target_os = "linux") && host.starts_with("unix://")
        }
        Err(_) => cfg!(target_os = "linux"),
    }
}

async fn look_at_engine(engine: Result<&Engine, &docker::Error>) -> EngineState {
    let engine = match engine {
        Ok(engine) => engine,
        Err(error) => return unreached(error),
    };
    match timeout(LIMIT, async { tokio::try_join!(engine.facts(), engine.networks()) }).await {
        Ok(Ok((facts, networks))) => EngineState::Up { host: engine.host().to_owned(), facts, networks },
        Ok(Err(error)) => EngineState::Failing { says: error.to_string() },
        Err(_) => EngineState::Failing { says: format!("it says nothing within {} s", LIMIT.as_secs()) },
    }
}

fn unreached(error: &docker::Error) -> EngineState {
    match error {
        docker::Error::TooOld { host, version } => {
            EngineState::TooOld { host: host.clone(), version: version.clone() }
        }
        docker::Error::Unreachable { host, .. } => {
            let host = host.clone();
            let Some(socket) = host.strip_prefix("unix://") else { return EngineState::Silent { host } };
            match access(socket, Access::READ_OK | Access::WRITE_OK) {
                Err(Errno::ACCESS) => EngineState::Denied { host },
                _ => EngineState::Stopped { host },
            }
        }
        error => EngineState::Failing { says: error.to_string() },
    }
}

/// Returns the socket of the user's own engine, if there is one.
fn users_socket() -> Option<String> {
    let socket = format!("/run/user/{}/docker.sock", rustix::process::getuid().as_raw());
    access(&socket, Access::WRITE_OK).is_ok().then_some(socket)
}

fn kernel() -> Option<KernelFacts> {
    let read = |path: &str| fs::read_to_string(Utf8Path::new(path)).ok();
    let number = |path: &str| proc::number(&read(path)?);
    // Without it there is no /proc, and nothing below could be told.
    let status = read("/proc/self/status")?;
    let is_bridge = |interface: &str| Path::new("/sys/class/net").join(interface).join("bridge").is_dir();
    let inotify = |max_instances| {
        let max_watches = number("/proc/sys/fs/inotify/max_user_watches")?;
        Some(Inotify { max_instances, max_watches, instances_in_use: instances_of_root() })
    };
    Some(KernelFacts {
        cpus: std::thread::available_parallelism().map_or(0, |cpus| cpus.get() as u64),
        memory: read("/proc/meminfo").and_then(|text| proc::memory(&text)),
        inotify: number("/proc/sys/fs/inotify/max_user_instances").and_then(inotify),
        cgroups: read("/proc/self/mounts").map(|mounts| {
            proc::cgroups(&mounts, &read("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default())
        }),
        capabilities: bounding_set(&status),
        has_overlay: read("/proc/filesystems").map(|text| proc::has_filesystem(&text, "overlay")),
        forwards_packets: number("/proc/sys/net/ipv4/ip_forward").map(|on| on == 1),
        filters_bridges: number("/proc/sys/net/bridge/bridge-nf-call-iptables").map(|on| on == 1),
        routes: read("/proc/net/route").map(|table| proc::routes(&table, is_bridge)).unwrap_or_default(),
    })
}

/// Counts the inotify instances of root, to whom the daemons on nodes belong; only root sees them all.
#[cfg(target_os = "linux")]
fn instances_of_root() -> Option<u64> {
    use std::os::unix::fs::MetadataExt;

    let began = std::time::Instant::now();
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let mut count = 0;
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let is_process = process.file_name().to_string_lossy().starts_with(|c: char| c.is_ascii_digit());
        if !is_process || process.metadata().map_or(true, |of| of.uid() != 0) {
            continue;
        }
        // A process that has ended meanwhile holds nothing.
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let links = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
        count += links.filter(|link| link == Path::new("anon_inode:inotify")).count() as u64;
        if began.elapsed() > COUNT_LIMIT {
            return None;
        }
    }
    Some(count)
}

#[cfg(not(target_os = "linux"))]
fn instances_of_root() -> Option<u64> {
    None
}

struct Files {
    project: FolderState,
    project_disk: Option<Disk>,
    keys: FolderState,
    cache: FolderState,
    labd: Labd,
    labs: Vec<LabFolder>,
}

async fn look_at_files(place: &Place, is_local: bool) -> Files {
    let of = |path: Utf8PathBuf| limited(move || folder(&path));
    let (project, program) = (place.project.clone(), place.labd.clone());
    // The folders of labs on an engine elsewhere may be those of another host.
    let labs = if is_local { place.labs.clone() } else { Vec::new() };
    let (project, project_disk, keys, cache, program, folders) = tokio::join!(
        of(project.clone()),
        limited(move || disk(&project)),
        of(place.project.join(".lab")),
        of(place.cache.clone()),
        limited(move || program_at(&program)),
        limited(move || labs.into_iter().filter_map(lab_folder).collect()),
    );
    Files {
        project: project.unwrap_or(FolderState::Silent),
        project_disk: project_disk.flatten(),
        keys: keys.unwrap_or(FolderState::Silent),
        cache: cache.unwrap_or(FolderState::Silent),
        labd: program.unwrap_or(Labd::Unreadable),
        labs: folders.unwrap_or_default(),
    }
}

fn folder(path: &Utf8Path) -> FolderState {
    match access(path.as_std_path(), Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => FolderState::Writable,
        Err(Errno::ROFS) => FolderState::ReadOnly,
        Err(Errno::NOENT) => FolderState::Absent,
        Err(_) => FolderState::Denied,
    }
}

fn lab_folder((lab, project): (LabName, Option<String>)) -> Option<LabFolder> {
    let project = Utf8PathBuf::from(project?);
    // A folder that may not be looked into is there.
    let is_there = project.try_exists().unwrap_or(true);
    Some(LabFolder { lab, project, is_there })
}

/// Returns what is free where `path` is. A folder that others may not enter stands where its parent does.
fn disk(path: &Utf8Path) -> Option<Disk> {
    let of = match statvfs(path.as_std_path()) {
        Err(Errno::ACCESS) => statvfs(path.parent()?.as_std_path()),
        other => other,
    };
    let of = of.ok()?;
    let free_inodes = (of.f_files > 0).then_some(of.f_favail);
    Some(Disk { path: path.to_owned(), free_bytes: of.f_bavail.saturating_mul(of.f_frsize), free_inodes })
}

fn program_at(path: &Utf8Path) -> Labd {
    let mut head = [0; 20];
    match std::fs::File::open(path).and_then(|mut file| file.read(&mut head)) {
        Ok(length) => proc::elf_machine(&head[..length]).map_or(Labd::NotLinux, Labd::For),
        Err(_) => Labd::Unreadable,
    }
}

async fn look_at_programs() -> Programs {
    let present = |name| find(name).map_or(Program::Absent, |_| Program::Present { version: None });
    let (vagrant, virtualbox) = tokio::join!(with_version("vagrant"), with_version("VBoxManage"));
    Programs {
        ssh: present("ssh"),
        mmdebstrap: present("mmdebstrap"),
        dockerd: present("dockerd"),
        vagrant,
        virtualbox,
    }
}

/// Finds a program on the PATH, or where ordinary users of some systems do not look.
fn find(name: &str) -> Option<Utf8PathBuf> {
    let found = which::which(name).ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
    let elsewhere =
        || ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(|folder| Utf8Path::new(folder).join(name));
    found.or_else(|| elsewhere().into_iter().find(|path| path.is_file()))
}

async fn with_version(name: &str) -> Program {
    let Some(path) = find(name) else { return Program::Absent };
    let cmd = Cmd::new(path).arg("--version");
    let printed = timeout(LIMIT, exec::run(&cmd, b"")).await.ok().and_then(Result::ok);
    Program::Present { version: printed.and_then(|output| proc::version(&output.text())) }
}

fn installer() -> Option<Installer> {
    let known = [
        ("apt-get", Installer::Apt),
        ("dnf", Installer::Dnf),
        ("zypper", Installer::Zypper),
        ("pacman", Installer::Pacman),
        ("apk", Installer::Apk),
        ("brew", Installer::Brew),
    ];
    known.into_iter().find(|(program, _)| which::which(program).is_ok()).map(|(_, installer)| installer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, Place) {
        let dir = tempfile::tempdir().unwrap();
        let project = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let gone = Some(project.join("gone").into_string());
        let labs = vec![
            (LabName::parse("here").unwrap(), Some(project.to_string())),
            (LabName::parse("gone").unwrap(), gone),
            (LabName::parse("unknown").unwrap(), None),
        ];
        let place =
            Place { cache: project.join("cache"), labd: project.join("labd"), project, subnet: None, labs };
        (dir, place)
    }

    fn too_old(host: &str) -> docker::Error {
        docker::Error::TooOld { host: host.to_owned(), version: "API 1.24".to_owned() }
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_host_is_looked_at_though_its_engine_is_of_no_use() {
        let (_dir, place) = place();
        fs::write(&place.labd, "#!/bin/sh\n", fs::Access::Program).unwrap();
        let facts = gather(Err(&too_old("unix:///var/run/docker.sock")), &place).await;
        assert!(matches!(facts.engine, EngineState::TooOld { .. }));
        let kernel = facts.kernel.unwrap();
        assert!(kernel.memory.unwrap().total > 0 && kernel.cpus > 0 && kernel.capabilities.is_some());
        assert!(facts.project_disk.unwrap().free_bytes > 0);
        assert_eq!(facts.project_state, FolderState::Writable);
        assert_eq!((facts.keys_state, facts.cache_state), (FolderState::Absent, FolderState::Absent));
        assert_eq!(facts.labd, Labd::NotLinux);
        let labs: Vec<(&str, bool)> = facts.labs.iter().map(|lab| (lab.lab.as_str(), lab.is_there)).collect();
        assert_eq!(labs, [("here", true), ("gone", false)]);
    }

    #[tokio::test]
    async fn of_an_engine_elsewhere_this_kernel_says_nothing() {
        let (_dir, place) = place();
        let facts = gather(Err(&too_old("tcp://10.0.0.1:2375")), &place).await;
        assert!(facts.kernel.is_none() && facts.engine_disk.is_none() && facts.labs.is_empty());
        assert_eq!(facts.labd, Labd::Unreadable);
    }

    #[tokio::test]
    async fn an_engine_that_nobody_runs_is_told_from_one_elsewhere() {
        let (_dir, place) = place();
        let nowhere = format!("unix://{}", place.project.join("docker.sock"));
        let error = Engine::connect(Some(&nowhere)).await.err().unwrap();
        assert!(matches!(unreached(&error), EngineState::Stopped { host } if host == nowhere));
        let error = Engine::connect(Some("tcp://127.0.0.1:1")).await.err().unwrap();
        assert!(matches!(unreached(&error), EngineState::Silent { .. }));
    }

    #[test]
    fn programs_are_found_also_beside_the_path() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program"), None);
    }
}
