//! Makes the cgroup file systems writable, which Docker mounts read-only. It has to happen before systemd
//! starts: systemd decides in its first moments which hierarchies it can use.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::mount::{MountFlags, MountPropagationFlags, mount_change, mount_remount};

use crate::fs;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error("no cgroup file system is mounted below /sys/fs/cgroup")]
    NoCgroups,
    #[error("could not make `{target}` writable")]
    Remount { target: Utf8PathBuf, source: io::Error },
    #[error("could not share the mounts below `/`")]
    Share { source: io::Error },
}

/// A mount that has to become writable.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Remount {
    target: Utf8PathBuf,
    scope: Scope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// This mount only; the file system below it is shared with the host and stays as it is.
    Mount,
    /// The file system itself, which is read-only too.
    FileSystem,
}

/// Makes all cgroups of this node writable, and its mounts visible to what it runs.
pub(super) fn make_writable() -> Result<(), Error> {
    let mounts = fs::read_to_string(Utf8Path::new("/proc/self/mountinfo"))?;
    for Remount { target, scope } in plan(&mounts)? {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let flags = match scope {
            Scope::Mount => flags | MountFlags::BIND,
            Scope::FileSystem => flags,
        };
        mount_remount(target.as_str(), flags, "")
            .map_err(|source| Error::Remount { target, source: source.into() })?;
    }
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)
        .map_err(|source| Error::Share { source: source.into() })
}

/// Decides from `/proc/self/mountinfo` what has to be remounted, in the order in which it can be.
fn plan(mounts: &str) -> Result<Vec<Remount>, Error> {
    let cgroups: Vec<Mount> = mounts.lines().filter_map(parse).filter(Mount::is_below_cgroup).collect();
    if !cgroups.iter().any(|mount| mount.kind.starts_with("cgroup")) {
        return Err(Error::NoCgroups);
    }
    let read_only = cgroups.iter().filter(|mount| is_read_only(mount.options));
    let remounts = read_only.map(|mount| {
        let whole = is_read_only(mount.file_system_options);
        Remount { target: mount.target.into(), scope: if whole { Scope::FileSystem } else { Scope::Mount } }
    });
    Ok(remounts.collect())
}

struct Mount<'a> {
    target: &'a Utf8Path,
    options: &'a str,
    kind: &'a str,
    file_system_options: &'a str,
}

impl Mount<'_> {
    fn is_below_cgroup(&self) -> bool {
        self.target.starts_with("/sys/fs/cgroup")
    }
}

fn is_read_only(options: &str) -> bool {
    options.split(',').any(|option| option == "ro")
}

/// Reads `id parent device root target options [more]... - kind source file-system-options`.
fn parse(line: &str) -> Option<Mount<'_>> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(4);
    let mut after = after.split(' ');
    Some(Mount {
        target: Utf8Path::new(before.next()?),
        options: before.next()?,
        kind: after.next()?,
        file_system_options: after.nth(1)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
1172 1107 0:161 / / rw,relatime master:432 - overlay overlay rw,lowerdir=/l/A:/l/B
1176 1172 0:166 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
1177 1176 0:167 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - tmpfs tmpfs ro,mode=755
1178 1177 0:29 / /sys/fs/cgroup/cpu,cpuacct ro,nosuid,nodev,noexec,relatime master:9 - cgroup cgroup rw,cpu,cpuacct
1179 1177 0:37 / /sys/fs/cgroup/systemd ro,nosuid,nodev,noexec,relatime master:17 - cgroup cgroup rw,name=systemd
1190 1172 0:170 / /run rw,nosuid,nodev,relatime - tmpfs tmpfs rw,mode=755
";
    const HYBRID: &str = "\
1177 1176 0:167 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=755
1178 1177 0:32 / /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime - cgroup cgroup rw,memory
1179 1177 0:38 / /sys/fs/cgroup/unified ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup2 rw
";
    const V2: &str = "\
1176 1172 0:166 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
1177 1176 0:27 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate,memory_recursiveprot
";
    const V2_WRITABLE: &str =
        "1177 1176 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n";

    #[track_caller]
    fn check(mounts: &str, want: &[(&str, Scope)]) {
        let found = plan(mounts).unwrap();
        let found: Vec<_> = found.iter().map(|mount| (mount.target.as_str(), mount.scope)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn what_is_read_only_becomes_writable_and_nothing_else() {
        check(
            V1,
            &[
                ("/sys/fs/cgroup", Scope::FileSystem),
                ("/sys/fs/cgroup/cpu,cpuacct", Scope::Mount),
                ("/sys/fs/cgroup/systemd", Scope::Mount),
            ],
        );
        check(HYBRID, &[("/sys/fs/cgroup/memory", Scope::Mount), ("/sys/fs/cgroup/unified", Scope::Mount)]);
        check(V2, &[("/sys/fs/cgroup", Scope::Mount)]);
        check(V2_WRITABLE, &[]);
    }

    #[test]
    fn a_node_without_cgroups_is_told_so() {
        let error = plan("1 0 0:1 / / rw - overlay overlay rw\n").unwrap_err();
        assert!(matches!(error, Error::NoCgroups), "{error}");
        assert!(plan("").is_err());
    }
}
