//! A host on which all is well, for tests to spoil.

use crate::docker::{EngineFacts, Labels, Network};
use crate::model::LabName;
use crate::ops::doctor::facts::{
    Cgroups, Disk, EngineState, FolderState, Generation, HostFacts, Inotify, Installer, KernelFacts,
    LabFolder, Labd, Memory, Program, Programs, Route,
};

pub(super) const GIB: u64 = 1 << 30;

pub(super) fn healthy() -> HostFacts {
    let disk = |path: &str| Disk { path: path.into(), free_bytes: 70 * GIB, free_inodes: Some(5_000_000) };
    HostFacts {
        is_linux: true,
        is_root: false,
        has_systemd: true,
        engine: EngineState::Up {
            host: "unix:///var/run/docker.sock".to_owned(),
            facts: engine(),
            networks: vec![
                network("bridge", "172.17.0.0/16", None),
                network("lab-web", "10.77.0.0/24", Some("web")),
            ],
        },
        other_socket: None,
        kernel: Some(kernel()),
        engine_disk: Some(disk("/var/lib/docker")),
        project_disk: Some(disk("/home/me/web")),
        project: "/home/me/web".into(),
        project_state: FolderState::Writable,
        keys: "/home/me/web/.lab".into(),
        keys_state: FolderState::Writable,
        cache: "/home/me/.cache/lab".into(),
        cache_state: FolderState::Writable,
        labd_path: "/usr/bin/labd".into(),
        labd: Labd::For("x86_64"),
        wanted: None,
        labs: vec![LabFolder {
            lab: LabName::parse("web").unwrap(),
            project: "/home/me/web".into(),
            is_there: true,
        }],
        programs: programs(),
        installer: Some(Installer::Apt),
    }
}

fn engine() -> EngineFacts {
    EngineFacts {
        version: "28.2.2".to_owned(),
        storage_driver: "overlay2".to_owned(),
        cgroup_version: 2,
        cpus: 8,
        memory_bytes: 16 * GIB,
        root_dir: "/var/lib/docker".to_owned(),
        architecture: "x86_64".to_owned(),
        has_apparmor: false,
        is_rootless: false,
    }
}

fn kernel() -> KernelFacts {
    KernelFacts {
        cpus: 8,
        memory: Some(Memory { total: 16 * GIB, available: 8 * GIB, swap_total: 2 * GIB, swap_free: 2 * GIB }),
        inotify: Some(Inotify { max_instances: 128, max_watches: 65_536, instances_in_use: Some(12) }),
        cgroups: Some(Cgroups {
            generation: Generation::V2,
            controllers: ["cpuset", "cpu", "io", "memory", "pids"].map(str::to_owned).into(),
        }),
        capabilities: Some(0x01ff_ffff_ffff),
        has_overlay: Some(true),
        forwards_packets: Some(true),
        filters_bridges: Some(true),
        routes: vec![
            route("172.17.0.0/16", "docker0", true),
            route("10.77.0.0/24", "br-0f1d289309b3", true),
            route("192.168.1.0/24", "eth0", false),
        ],
    }
}

fn programs() -> Programs {
    let present = |version: Option<&str>| Program::Present { version: version.map(str::to_owned) };
    Programs {
        ssh: present(None),
        mmdebstrap: present(None),
        vagrant: present(Some("2.4.1")),
        virtualbox: present(Some("7.0.20r163906")),
        dockerd: present(None),
    }
}

pub(super) fn route(subnet: &str, interface: &str, is_bridge: bool) -> Route {
    Route { subnet: subnet.parse().unwrap(), interface: interface.to_owned(), is_bridge }
}

pub(super) fn network(name: &str, subnet: &str, lab: Option<&str>) -> Network {
    let labels: Labels = lab.map(|lab| ("lab.name".to_owned(), lab.to_owned())).into_iter().collect();
    Network { name: name.to_owned(), labels, subnets: vec![subnet.parse().unwrap()] }
}
