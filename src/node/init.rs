//! `labd init`: the first process of a node, which prepares it and then becomes systemd.

use std::convert::Infallible;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{Gid, Uid, chown};

use super::{apply, cgroup, rights};
use crate::exec::{self, Cmd, replace_this_process};
use crate::fs::{self, Access};
use crate::model::{NodeConfig, Seed};

const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";
const AUTHORIZED_KEYS: &str = "/home/core/.ssh/authorized_keys";
const PASSWD: &str = "/etc/passwd";
pub(super) const USER: &str = "core";
const SYSTEMD: &str = "/sbin/init";
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("this container cannot be a node")]
    Rights(#[from] rights::Error),
    #[error("the node's cgroups are not usable")]
    Cgroups(#[from] cgroup::Error),
    #[error("LAB_SEED could not be read")]
    Seed { source: serde_json::Error },
    #[error("`{path}` could not be read")]
    Config { path: &'static str, source: serde_json::Error },
    #[error("the node knows nothing of itself: there is no `{}`, and LAB_SEED is not set", NodeConfig::PATH)]
    NoSeed,
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error(transparent)]
    Apply(#[from] apply::Error),
    #[error("the image has no user `{USER}`")]
    NoUser,
    #[error("could not give `{path}` to `{USER}`")]
    Own { path: Utf8PathBuf, source: io::Error },
    #[error("systemd could not take over")]
    Systemd(#[from] exec::Error),
}

/// Prepares the node and becomes systemd. Returns only if something fails.
///
/// `seed` is the text of `LAB_SEED`, if it is set. A node that has been told more since then, by
/// `PUT /v1/config`, keeps that.
pub fn init(seed: Option<&str>) -> Result<Infallible, Error> {
    rights::check()?;
    cgroup::make_writable()?;
    let seed = seed.map(parse_seed).transpose()?;
    let config = match load_config()? {
        Some(config) => config,
        None => seed.as_ref().ok_or(Error::NoSeed)?.config.clone(),
    };
    if let Some(seed) = &seed {
        write_keys(seed)?;
    }
    apply::write_all(&config)?;
    let systemd = Cmd::new(SYSTEMD).clean_env().env("container", "docker").env("PATH", SEARCH_PATH);
    Err(Error::Systemd(replace_this_process(&systemd)))
}

/// Returns the configuration in force; `None` on a node that has never been told.
pub(super) fn load_config() -> Result<Option<NodeConfig>, Error> {
    let text = fs::read_if_present(Utf8Path::new(NodeConfig::PATH))?;
    let parse = |text: String| serde_json::from_str(&text);
    text.map(parse).transpose().map_err(|source| Error::Config { path: NodeConfig::PATH, source })
}

fn parse_seed(text: &str) -> Result<Seed, Error> {
    serde_json::from_str(text).map_err(|source| Error::Seed { source })
}

fn write_keys(seed: &Seed) -> Result<(), Error> {
    fs::write(Utf8Path::new(HOST_KEY), line(&seed.host_key), Access::Private)?;
    let path = Utf8Path::new(AUTHORIZED_KEYS);
    fs::write(path, line(&seed.authorized_key), Access::Private)?;
    own(path.parent().unwrap_or(path))?;
    own(path)
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
    let passwd = fs::read_to_string(Utf8Path::new(PASSWD))?;
    let (user, group) = parse_ids(&passwd, USER).ok_or(Error::NoUser)?;
    Ok((Uid::from_raw(user), Gid::from_raw(group)))
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
    use crate::node::samples;

    #[test]
    fn ids_are_found_by_the_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\ncore2:x:9:9::/:/bin/sh\ncore:x:1000:1001::/home/core:/bin/bash\n";
        assert_eq!(parse_ids(passwd, "core"), Some((1000, 1001)));
        assert_eq!(parse_ids(passwd, "root"), Some((0, 0)));
        assert_eq!(parse_ids(passwd, "cor"), None);
        assert_eq!(parse_ids("core:x:many\n", "core"), None);
    }

    #[test]
    fn a_seed_is_read_or_refused() {
        let seed = Seed {
            config: samples::config(),
            authorized_key: "ssh-ed25519 A".to_owned(),
            host_key: "K".to_owned(),
        };
        let text = serde_json::to_string(&seed).unwrap();
        assert_eq!(parse_seed(&text).unwrap(), seed);
        assert_eq!(parse_seed("{}").unwrap_err().to_string(), "LAB_SEED could not be read");
        assert_eq!(line("a\nb"), "a\nb\n");
        assert_eq!(line("a\n\n"), "a\n");
    }
}
