//! The user's own folders, by the rules of XDG.

use camino::{Utf8Path, Utf8PathBuf};

use crate::model::LabName;

/// Where things are kept that belong to the user and not to one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    home: Option<Utf8PathBuf>,
    cache: Utf8PathBuf,
    state: Utf8PathBuf,
    docker_config: Option<Utf8PathBuf>,
    vagrant_home: Utf8PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no folder for {what}: neither `{variable}` nor `HOME` is an absolute path")]
pub struct NoFolder {
    what: &'static str,
    variable: &'static str,
}

impl NoFolder {
    pub fn hint(&self) -> String {
        format!("set `HOME` to your home folder, or `{}` to any folder that is yours", self.variable)
    }
}

impl Dirs {
    #[expect(clippy::disallowed_methods, reason = "the environment is read here, once")]
    pub fn from_env() -> Result<Self, NoFolder> {
        Self::resolve(|name| std::env::var(name).ok())
    }

    /// Finds the folders; what is empty or relative counts as not set, as XDG has it.
    fn resolve(variable: impl Fn(&str) -> Option<String>) -> Result<Self, NoFolder> {
        let folder = |name| variable(name).map(Utf8PathBuf::from).filter(|path| path.is_absolute());
        let home = folder("HOME");
        let place = |what, variable, below_home| {
            folder(variable)
                .or_else(|| Some(home.as_ref()?.join(below_home)))
                .map(|path| path.join("lab"))
                .ok_or(NoFolder { what, variable })
        };
        let cache = place("the cache", "XDG_CACHE_HOME", ".cache")?;
        let state = place("locks", "XDG_STATE_HOME", ".local/state")?;
        let docker_config = folder("DOCKER_CONFIG").or_else(|| Some(home.as_ref()?.join(".docker")));
        let docker_config = docker_config.map(|path| path.join("config.json"));
        let below_home = || home.as_ref().map(|home| home.join(".vagrant.d"));
        let vagrant_home =
            folder("VAGRANT_HOME").or_else(below_home).unwrap_or_else(|| state.join("vagrant"));
        Ok(Self { home, cache, state, docker_config, vagrant_home })
    }

    /// Returns where the search for `lab.toml` ends.
    pub fn home(&self) -> Option<&Utf8Path> {
        self.home.as_deref()
    }

    /// Returns the file in which `docker login` keeps passwords, if there can be one.
    pub fn docker_config(&self) -> Option<&Utf8Path> {
        self.docker_config.as_deref()
    }

    pub fn cache(&self) -> &Utf8Path {
        &self.cache
    }

    /// Returns the store of all images, which all labs of the user share.
    pub fn store(&self) -> Utf8PathBuf {
        self.cache.join("store")
    }

    /// Returns the folder in which the labs are written down whose machines bear no labels.
    pub fn machines(&self) -> Utf8PathBuf {
        self.state.join("machines")
    }

    /// Returns where Vagrant keeps its boxes.
    pub fn vagrant_home(&self) -> &Utf8Path {
        &self.vagrant_home
    }

    /// Returns the lock of a lab: not in its project, as two projects may mean the same lab.
    pub fn lock(&self, lab: &LabName) -> Utf8PathBuf {
        self.state.join(format!("locks/{lab}.lock"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(variables: &[(&str, &str)]) -> Result<Dirs, NoFolder> {
        let of =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Dirs::resolve(of)
    }

    #[track_caller]
    fn check(variables: &[(&str, &str)], cache: &str, lock: &str) {
        let dirs = dirs(variables).unwrap();
        assert_eq!(dirs.cache(), cache);
        assert_eq!(dirs.lock(&LabName::parse("web").unwrap()), lock);
    }

    #[test]
    fn folders_follow_xdg() {
        let lock = "/home/a/.local/state/lab/locks/web.lock";
        check(&[("HOME", "/home/a")], "/home/a/.cache/lab", lock);
        check(&[("HOME", "/home/a"), ("XDG_CACHE_HOME", "/c")], "/c/lab", lock);
        check(&[("HOME", "/home/a"), ("XDG_CACHE_HOME", "")], "/home/a/.cache/lab", lock);
        check(&[("HOME", "/home/a"), ("XDG_CACHE_HOME", "c")], "/home/a/.cache/lab", lock);
        let both = [("XDG_CACHE_HOME", "/c"), ("XDG_STATE_HOME", "/s")];
        check(&both, "/c/lab", "/s/lab/locks/web.lock");
        assert_eq!(dirs(&both).unwrap().home(), None);
    }

    #[test]
    fn docker_keeps_its_passwords_where_it_is_told() {
        let config = |variables: &[_]| dirs(variables).unwrap().docker_config().map(Utf8Path::to_string);
        let home = ("HOME", "/home/a");
        assert_eq!(config(&[home]).unwrap(), "/home/a/.docker/config.json");
        assert_eq!(config(&[home, ("DOCKER_CONFIG", "/d")]).unwrap(), "/d/config.json");
        assert_eq!(config(&[("XDG_CACHE_HOME", "/c"), ("XDG_STATE_HOME", "/s")]), None);
    }

    #[test]
    fn without_any_home_the_error_says_what_to_set() {
        let error = dirs(&[("HOME", ""), ("XDG_CACHE_HOME", "/c")]).unwrap_err();
        insta::assert_snapshot!(format!("{error}\n{}", error.hint()));
    }
}
