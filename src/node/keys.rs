//! The user `core` and the keys that let people and `lab` in.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{Gid, Uid, chown};

use crate::fs::{self, Access};
use crate::model::Seed;

const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";
const AUTHORIZED_KEYS: &str = "/home/core/.ssh/authorized_keys";
/// Where systems with a read-only /usr keep the users that they are born with comes last.
const PASSWD: [&str; 3] = ["/etc/passwd", "/usr/share/baselayout/passwd", "/usr/lib/passwd"];
pub(super) const USER: &str = "core";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error("the image has no user `{USER}`")]
    NoUser,
    #[error("could not give `{path}` to `{USER}`")]
    Own { path: Utf8PathBuf, source: io::Error },
}

/// Writes the lab's keys, and nothing where they are there already.
pub(super) fn write(seed: &Seed) -> Result<(), Error> {
    write_private(Utf8Path::new(HOST_KEY), &seed.host_key)?;
    // Of the former key it is of no use any more, and tools that show it would tell a lie.
    fs::remove_file(Utf8Path::new(&format!("{HOST_KEY}.pub")))?;
    let path = Utf8Path::new(AUTHORIZED_KEYS);
    write_private(path, &seed.authorized_key)?;
    own(path.parent().unwrap_or(path))?;
    own(path)
}

fn write_private(path: &Utf8Path, key: &str) -> Result<(), Error> {
    let key = line(key);
    if fs::read_if_present(path)?.as_deref() != Some(&key) {
        fs::write(path, key, Access::Private)?;
    }
    Ok(())
}

/// sshd refuses a key whose last line has no end.
fn line(key: &str) -> String {
    format!("{}\n", key.trim_end())
}

fn own(path: &Utf8Path) -> Result<(), Error> {
    let (user, group) = user_ids()?;
    chown(path.as_str(), Some(user), Some(group))
        .map_err(|source| Error::Own { path: path.to_owned(), source: source.into() })
}

/// Returns the user and group under which people and `lab` log in.
pub(super) fn user_ids() -> Result<(Uid, Gid), Error> {
    for path in PASSWD {
        let passwd = fs::read_if_present(Utf8Path::new(path))?.unwrap_or_default();
        if let Some((user, group)) = parse_ids(&passwd, USER) {
            return Ok((Uid::from_raw(user), Gid::from_raw(group)));
        }
    }
    Err(Error::NoUser)
}

/// Finds `name:password:user:group:…` in `/etc/passwd`.
fn parse_ids(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let mut fields = passwd.lines().map(|line| line.split(':')).find_map(|mut fields| {
        let found = fields.next() == Some(name);
        found.then_some(fields)
    })?;
    let user = fields.nth(1)?.parse().ok()?;
    Some((user, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_by_the_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\ncore2:x:9:9::/:/bin/sh\ncore:x:1000:1001::/home/core:/bin/bash\n";
        assert_eq!(parse_ids(passwd, "core"), Some((1000, 1001)));
        assert_eq!(parse_ids(passwd, "root"), Some((0, 0)));
        assert_eq!(parse_ids(passwd, "cor"), None);
        assert_eq!(parse_ids("core:x:many\n", "core"), None);
    }

    #[test]
    fn a_key_ends_with_the_end_of_a_line() {
        assert_eq!(line("a\nb"), "a\nb\n");
        assert_eq!(line("a\n\n"), "a\n");
    }
}
