//! `labd init`: the first process of a node, which prepares it and then becomes systemd.

use std::convert::Infallible;

use camino::Utf8Path;

use super::{apply, cgroup, keys, rights};
use crate::exec::{self, Cmd, replace_this_process};
use crate::fs;
use crate::model::{NodeConfig, Seed};

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
    #[error(transparent)]
    Keys(#[from] keys::Error),
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
        keys::write(seed)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::samples;

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
    }
}
