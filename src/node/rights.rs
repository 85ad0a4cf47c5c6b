//! What the container must be allowed to do, checked first: systemd and dockerd fail later and say less.

use camino::Utf8Path;

use crate::fs;

/// Capabilities by their bit in `CapEff`, and what does not work without them.
const CAPABILITIES: [(u32, &str, &str); 2] = [
    (12, "NET_ADMIN", "dockerd cannot make its network"),
    (21, "SYS_ADMIN", "systemd cannot mount or make cgroups"),
];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error("the container lacks the capability `{name}`: {why} (`docker run --cap-add {name}`)")]
    Capability { name: &'static str, why: &'static str },
    #[error(
        "/proc/sys is read-only: dockerd cannot start (`docker run --security-opt systempaths=unconfined`)"
    )]
    ProcSys,
}

pub(super) fn check() -> Result<(), Error> {
    let status = fs::read_to_string(Utf8Path::new("/proc/self/status"))?;
    let mounts = fs::read_to_string(Utf8Path::new("/proc/self/mountinfo"))?;
    judge(&status, &mounts)
}

fn judge(status: &str, mounts: &str) -> Result<(), Error> {
    let has = effective_capabilities(status);
    if let Some((_, name, why)) = CAPABILITIES.into_iter().find(|(bit, ..)| has >> bit & 1 == 0) {
        return Err(Error::Capability { name, why });
    }
    let is_proc_sys_read_only = mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(4);
        fields.next() == Some("/proc/sys") && fields.next().is_some_and(|options| options.starts_with("ro"))
    });
    if is_proc_sys_read_only { Err(Error::ProcSys) } else { Ok(()) }
}

/// Returns the mask of `CapEff` in `/proc/self/status`; none where it cannot be read.
fn effective_capabilities(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROC_SYS: &str = "1 2 0:3 /sys /proc/sys ro,nosuid,nodev,noexec,relatime - proc proc rw\n";

    #[track_caller]
    fn check(mask: &str, mounts: &str, want: Option<&str>) {
        let status = format!("Name:\tlabd\nCapInh:\t0000000000000000\nCapEff:\t{mask}\n");
        let found = judge(&status, mounts).err().map(|error| error.to_string());
        match want {
            None => assert_eq!(found, None),
            Some(want) => assert!(found.as_ref().is_some_and(|text| text.contains(want)), "{found:?}"),
        }
    }

    #[test]
    fn the_first_thing_that_is_missing_is_named() {
        check("00000000a82435fb", "", None);
        check("000001ffffffffff", "", None);
        check("00000000a80425fb", "", Some("capability `NET_ADMIN`"));
        check("00000000a80435fb", "", Some("capability `SYS_ADMIN`"));
        check("", "", Some("NET_ADMIN"));
        check("00000000a82435fb", PROC_SYS, Some("systempaths=unconfined"));
    }
}
