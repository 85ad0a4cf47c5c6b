//! Reads what the kernel tells in /proc, from text that someone else has read.

use super::facts::{Cgroups, Generation, Memory, Route};
use crate::model::{HostRoute, parse_routes};

/// Reads /proc/meminfo.
pub(super) fn memory(meminfo: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim_end().parse().ok()?;
        Some(kib * 1024)
    };
    Some(Memory {
        total: bytes("MemTotal")?,
        // Kernels before 3.14 do not tell; what is free is then the least that is available.
        available: bytes("MemAvailable").or_else(|| bytes("MemFree"))?,
        swap_total: bytes("SwapTotal").unwrap_or(0),
        swap_free: bytes("SwapFree").unwrap_or(0),
    })
}

/// Returns whether the kernel knows a file system now, by /proc/filesystems.
pub(super) fn has_filesystem(filesystems: &str, name: &str) -> bool {
    filesystems.lines().any(|line| line.split_whitespace().last() == Some(name))
}

/// Reads the control groups out of /proc/mounts and, for version 2, out of `cgroup.controllers`.
pub(super) fn cgroups(mounts: &str, v2_controllers: &str) -> Cgroups {
    let of_type = |wanted: &'static str| {
        mounts.lines().filter_map(move |line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            (fields.get(2) == Some(&wanted)).then(|| fields.get(3).copied().unwrap_or_default())
        })
    };
    // Among the options of a version 1 mount are the names of its controllers.
    let v1: Vec<String> =
        of_type("cgroup").flat_map(|options| options.split(',')).map(str::to_owned).collect();
    let has_v2 = of_type("cgroup2").next().is_some();
    let generation = match (v1.is_empty(), has_v2) {
        (true, false) => Generation::Absent,
        (true, true) => Generation::V2,
        (false, true) => Generation::Hybrid,
        (false, false) => Generation::V1,
    };
    let v2 = || v2_controllers.split_whitespace().map(str::to_owned).collect();
    Cgroups { generation, controllers: if generation == Generation::V2 { v2() } else { v1 } }
}

/// Reads /proc/net/route, and marks the bridges among its interfaces.
pub(super) fn routes(table: &str, is_bridge: impl Fn(&str) -> bool) -> Vec<Route> {
    let route =
        |HostRoute { subnet, interface }| Route { subnet, is_bridge: is_bridge(&interface), interface };
    parse_routes(table).into_iter().map(route).collect()
}

/// Reads a file of one number.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Tells for which processor a program of Linux is made, by its first 20 bytes.
pub(super) fn elf_machine(head: &[u8]) -> Option<&'static str> {
    let [0x7f, b'E', b'L', b'F', _, order, ..] = head else { return None };
    let machine: [u8; 2] = head.get(18..20)?.try_into().ok()?;
    let machine = if *order == 2 { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
    Some(match machine {
        0x3e => "x86_64",
        0xb7 => "aarch64",
        0xf3 => "riscv64",
        0x15 => "ppc64le",
        0x16 => "s390x",
        _ => "another processor",
    })
}

/// Returns the version that a program printed: the last word, as warnings come first.
pub(super) fn version(printed: &str) -> Option<String> {
    printed
        .split_whitespace()
        .last()
        .filter(|word| word.contains(|c: char| c.is_ascii_digit()))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let told = "MemTotal:       24684096 kB\nMemFree:        18298012 kB\nMemAvailable:   23695296 kB\n\
            SwapCached:            0 kB\nSwapTotal:       2097148 kB\nSwapFree:              0 kB\n";
        let memory_told = memory(told).unwrap();
        assert_eq!(memory_told.total, 24_684_096 * 1024);
        assert_eq!(memory_told.available, 23_695_296 * 1024);
        assert_eq!((memory_told.swap_total, memory_told.swap_free), (2_097_148 * 1024, 0));
        let old = memory("MemTotal: 100 kB\nMemFree: 10 kB\n").unwrap();
        assert_eq!((old.available, old.swap_total), (10 * 1024, 0));
        assert_eq!(memory(""), None);
    }

    #[test]
    fn a_file_system_is_found_by_its_whole_name() {
        let known = "nodev\toverlay\n\text4\nnodev\tfuse\n";
        assert!(has_filesystem(known, "overlay") && has_filesystem(known, "ext4"));
        assert!(!has_filesystem("nodev\toverlayx\n", "overlay"));
    }

    #[track_caller]
    fn check_cgroups(mounts: &str, controllers: &str, want: Generation, has_memory: bool) {
        let found = cgroups(mounts, controllers);
        assert_eq!(found.generation, want);
        assert_eq!(found.controllers.iter().any(|name| name == "memory"), has_memory);
    }

    #[test]
    fn the_generation_of_control_groups_is_told_by_what_is_mounted() {
        let v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nsdelegate 0 0\n";
        let v1 = "tmpfs /sys/fs/cgroup tmpfs ro 0 0\ncgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
            cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n";
        let hybrid = format!("{v1}cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n");
        check_cgroups(v2, "cpuset cpu io memory pids\n", Generation::V2, true);
        check_cgroups(v2, "cpu pids\n", Generation::V2, false);
        check_cgroups(v1, "", Generation::V1, true);
        check_cgroups(&hybrid, "hugetlb\n", Generation::Hybrid, true);
        check_cgroups("proc /proc proc rw 0 0\n", "", Generation::Absent, false);
    }

    #[test]
    fn a_program_of_linux_is_told_by_its_head() {
        let head = |order: u8, machine: [u8; 2]| {
            let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, order];
            bytes.resize(18, 0);
            bytes.extend(machine);
            bytes
        };
        assert_eq!(elf_machine(&head(1, [0x3e, 0])), Some("x86_64"));
        assert_eq!(elf_machine(&head(1, [0xb7, 0])), Some("aarch64"));
        assert_eq!(elf_machine(&head(2, [0, 0x16])), Some("s390x"));
        assert_eq!(elf_machine(&head(1, [1, 1])), Some("another processor"));
        assert_eq!(elf_machine(b"\xcf\xfa\xed\xfe of macOS, and long enough"), None);
        assert_eq!(elf_machine(b"\x7fELF\x02\x01"), None);
    }

    #[test]
    fn a_version_is_the_last_word_if_it_is_one() {
        assert_eq!(version("Vagrant 2.4.1\n").as_deref(), Some("2.4.1"));
        let told =
            "WARNING: The vboxdrv kernel module is not loaded.\n         Please recompile.\n7.0.20r163906\n";
        assert_eq!(version(told).as_deref(), Some("7.0.20r163906"));
        assert_eq!(version(""), None);
        assert_eq!(version("no version\n"), None);
    }
}
