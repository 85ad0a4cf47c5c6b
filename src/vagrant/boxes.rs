//! The boxes that are on this host, by the folders in which Vagrant keeps them.

use camino::Utf8Path;

use super::{BoxRef, Kind};
use crate::fs;

/// Returns whether a box is there, of the version that is wanted. What cannot be read is not there: then Vagrant
/// itself has to say what it thinks of it.
pub fn is_box_there(home: &Utf8Path, base: &BoxRef, kind: Kind) -> bool {
    let folder = home.join("boxes").join(base.name.replace('/', "-VAGRANTSLASH-"));
    let versions = fs::list(&folder).unwrap_or_default();
    // One that came from a file has no version of its own.
    let fits = |version: &&String| match &base.version {
        Some(wanted) => *version == wanted,
        None => true,
    };
    versions.iter().filter(fits).any(|version| has_provider(&folder.join(version), kind))
}

/// Since 2.4 there is a folder for each architecture between the version and the provider.
fn has_provider(version: &Utf8Path, kind: Kind) -> bool {
    let is_box = |folder: &Utf8Path| folder.join(kind.name()).join("metadata.json").exists();
    let below = fs::list(version).unwrap_or_default();
    is_box(version) || below.iter().any(|architecture| is_box(&version.join(architecture)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Access;

    #[test]
    fn a_box_is_there_if_name_version_and_provider_are() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        for path in ["a-VAGRANTSLASH-b/1.0/libvirt", "a-VAGRANTSLASH-b/1.1/amd64/virtualbox", "c/0/libvirt"] {
            fs::write(&home.join("boxes").join(path).join("metadata.json"), "{}", Access::Public).unwrap();
        }
        let there = |name: &str, version: Option<&str>, kind| {
            let base = BoxRef { name: name.to_owned(), version: version.map(str::to_owned), url: None };
            is_box_there(home, &base, kind)
        };
        assert!(there("a/b", Some("1.0"), Kind::Libvirt));
        assert!(there("a/b", Some("1.1"), Kind::VirtualBox));
        assert!(there("a/b", None, Kind::VirtualBox));
        assert!(there("c", None, Kind::Libvirt));
        assert!(!there("a/b", Some("1.1"), Kind::Libvirt));
        assert!(!there("a/b", Some("2"), Kind::Libvirt));
        assert!(!there("c", None, Kind::VirtualBox));
        assert!(!there("d", None, Kind::Libvirt));
    }
}
