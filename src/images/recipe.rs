//! The folder `images/node`, as it was when `lab` was built, and what it says.

use include_dir::{Dir, File, include_dir};
use sha2::{Digest, Sha256};

static NODE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/images/node");

/// Returns the packages that a node needs beyond a minimal Debian.
pub(super) fn packages() -> Vec<&'static str> {
    lines("packages")
}

/// Returns the options with which dpkg leaves out what no node needs.
pub(super) fn dpkg_options() -> Vec<&'static str> {
    lines("dpkg.cfg")
}

/// Returns a file of the folder.
pub(super) fn file(path: &str) -> &'static [u8] {
    NODE.get_file(path).map(File::contents).expect("the folder is part of the program")
}

fn lines(name: &str) -> Vec<&'static str> {
    let text = str::from_utf8(file(name)).expect("what we wrote ourselves is UTF-8");
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Returns every file with its path below the folder, sorted.
fn files() -> Vec<(&'static str, &'static [u8])> {
    fn walk(dir: &'static Dir<'static>, found: &mut Vec<(&'static str, &'static [u8])>) {
        found.extend(dir.files().filter_map(|file| Some((file.path().to_str()?, file.contents()))));
        dir.dirs().for_each(|dir| walk(dir, found));
    }
    let mut found = Vec::new();
    walk(&NODE, &mut found);
    found.sort_unstable();
    found
}

/// Returns the build context: the folder and `labd`, the same bytes for the same content.
pub(super) fn context(labd: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files() {
        append(&mut archive, path, content, 0o644);
    }
    append(&mut archive, "labd", labd, 0o755);
    archive.into_inner().expect("writing to memory does not fail")
}

pub(super) fn append(archive: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8], mode: u32) {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    header.set_mtime(0);
    archive.append_data(&mut header, path, content).expect("writing to memory does not fail");
}

/// Returns a short name for everything that goes into a node's image but its base.
pub(super) fn key(labd: &[u8], base: &str) -> String {
    short(Sha256::new().chain_update(base).chain_update([0]).chain_update(context(labd)))
}

/// Returns a short name for what goes into a base made from packages.
pub(super) fn base_key() -> String {
    let parts = ["merged-usr"].into_iter().chain(packages()).chain(dpkg_options());
    short(parts.fold(Sha256::new(), |hash, part| hash.chain_update(part).chain_update([0])))
}

pub(super) fn short(hash: Sha256) -> String {
    hash.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_holds_the_folder_and_labd_and_nothing_of_today() {
        let context = context(b"program");
        let mut archive = tar::Archive::new(context.as_slice());
        let entries: Vec<(String, u32, u64)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let path = entry.path().unwrap().to_string_lossy().into_owned();
                (path, entry.header().mode().unwrap(), entry.header().mtime().unwrap())
            })
            .collect();
        assert!(entries.iter().any(|(path, mode, _)| path == "labd" && *mode == 0o755));
        assert!(entries.iter().any(|(path, ..)| path == "Dockerfile"));
        assert!(entries.iter().any(|(path, ..)| path == "rootfs/etc/systemd/system/labd.service"));
        assert!(entries.iter().all(|(_, _, mtime)| *mtime == 0));
    }

    #[test]
    fn a_key_changes_with_labd_and_with_the_base() {
        assert_eq!(key(b"a", "debian"), key(b"a", "debian"));
        assert_ne!(key(b"a", "debian"), key(b"b", "debian"));
        assert_ne!(key(b"a", "debian"), key(b"a", "ubuntu"));
    }

    #[test]
    fn comments_are_no_packages() {
        assert!(packages().contains(&"docker.io"));
        assert!(packages().iter().all(|name| !name.contains([' ', '#'])));
        assert!(dpkg_options().iter().all(|option| option.starts_with("path-")));
    }
}
