//! How much of what the node uses: memory, disk and time, from `/proc`, `/sys` and the file system.

use camino::Utf8Path;

use crate::fs::read_to_string;
use crate::model::{DiskUse, MemoryUse};

/// Where one version of cgroups says what.
struct Files {
    used: &'static str,
    limit: &'static str,
    details: &'static str,
    /// The line of `details` that counts cached pages which can be dropped at any time.
    cache: &'static str,
}

const V2: Files = Files {
    used: "/sys/fs/cgroup/memory.current",
    limit: "/sys/fs/cgroup/memory.max",
    details: "/sys/fs/cgroup/memory.stat",
    cache: "inactive_file",
};

const V1: Files = Files {
    used: "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    limit: "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    details: "/sys/fs/cgroup/memory/memory.stat",
    cache: "total_inactive_file",
};

/// Returns what the node uses and may use; `None` where this kernel does not count it.
pub(super) fn memory() -> Option<MemoryUse> {
    let host = text("/proc/meminfo")?;
    let total = field(&host, "MemTotal:")? * 1024;
    let of_group = [V2, V1].iter().find_map(|files| {
        let used = text(files.used)?.trim().parse().ok()?;
        let cache = field(&text(files.details)?, files.cache)?;
        Some(judge(used, cache, text(files.limit)?.trim(), total))
    });
    of_group.or_else(|| whole_machine(&host))
}

/// The root of all groups has no figures of its own: a machine that has a kernel to itself uses what is not free.
fn whole_machine(meminfo: &str) -> Option<MemoryUse> {
    let bytes = |name| Some(field(meminfo, name)? * 1024);
    let total_bytes = bytes("MemTotal:")?;
    Some(MemoryUse { total_bytes, used_bytes: total_bytes.saturating_sub(bytes("MemAvailable:")?) })
}

/// A limit above what the host has, or the word `max`, is none.
fn judge(used: u64, cache: u64, limit: &str, host: u64) -> MemoryUse {
    MemoryUse {
        total_bytes: limit.parse().map_or(host, |limit: u64| limit.min(host)),
        used_bytes: used.saturating_sub(cache),
    }
}

pub(super) fn disk(path: &str) -> Option<DiskUse> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(DiskUse {
        total_bytes: found.f_blocks * found.f_frsize,
        free_bytes: found.f_bavail * found.f_frsize,
    })
}

/// Returns how long ago the node's first process started.
pub(super) fn uptime_seconds() -> Option<u64> {
    let host = text("/proc/uptime")?;
    let first = text("/proc/1/stat")?;
    parse_uptime(&host, &first)
}

fn parse_uptime(host: &str, first: &str) -> Option<u64> {
    /// The unit of times in `/proc`, the same on all architectures.
    const TICKS_PER_SECOND: u64 = 100;
    let now: u64 = host.split('.').next()?.parse().ok()?;
    // The name of the process may contain anything; fields are counted from behind it.
    let started: u64 = first.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some(now.saturating_sub(started / TICKS_PER_SECOND))
}

fn text(path: &str) -> Option<String> {
    read_to_string(Utf8Path::new(path)).ok()
}

/// Finds the number after a line's first word.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(name)).then(|| words.next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_only_below_what_the_host_has() {
        for (used, cache, limit, want) in [
            (100, 30, "max", (1000, 70)),
            (100, 30, "9223372036854771712", (1000, 70)),
            (100, 130, "512", (512, 0)),
        ] {
            let found = judge(used, cache, limit, 1000);
            assert_eq!((found.total_bytes, found.used_bytes), want, "{limit}");
        }
    }

    #[test]
    fn a_machine_without_a_group_uses_what_is_not_available() {
        let found = whole_machine("MemTotal: 1000 kB\nMemFree: 200 kB\nMemAvailable: 700 kB\n");
        assert_eq!(found.map(|found| (found.total_bytes, found.used_bytes)), Some((1_024_000, 307_200)));
        assert_eq!(whole_machine("MemTotal: 1000 kB\n"), None);
    }

    #[test]
    fn fields_are_found_by_the_whole_word() {
        let stat = "inactive_file 1\ntotal_inactive_file 2\nempty\n";
        assert_eq!(field(stat, "inactive_file"), Some(1));
        assert_eq!(field(stat, "total_inactive_file"), Some(2));
        assert_eq!(field(stat, "file"), None);
        assert_eq!(field(stat, "empty"), None);
        assert_eq!(field("MemTotal:       24569000 kB\n", "MemTotal:"), Some(24_569_000));
    }

    #[test]
    fn uptime_counts_from_the_first_process() {
        let stat = "1 (a ) b) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 250050 99 98\n";
        assert_eq!(parse_uptime("2510.17 4000.00\n", stat), Some(10));
        assert_eq!(parse_uptime("1.00 1.00\n", stat), Some(0));
        assert_eq!(parse_uptime("", stat), None);
    }

    #[test]
    fn this_machine_has_a_disk() {
        let disk = disk("/").unwrap();
        assert!(disk.total_bytes >= disk.free_bytes && disk.total_bytes > 0);
        assert_eq!(super::disk("/no/such/folder"), None);
    }
}
