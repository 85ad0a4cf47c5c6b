//! The stacks that come with `lab`, as they were when it was built.

use camino::{Utf8Path, Utf8PathBuf};
use include_dir::{Dir, File, include_dir};
use sha2::{Digest as _, Sha256};

use super::folder::{Files, is_read};
use crate::fs::{self, Access};

static SHIPPED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/services");

pub fn names() -> Vec<&'static str> {
    SHIPPED.dirs().filter_map(|dir| dir.path().to_str()).collect()
}

/// Returns the files of one of them that mean something.
pub(super) fn files(name: &str) -> Option<Files> {
    let file = |file: &File<'static>| {
        let name = file.path().file_name()?.to_str()?;
        Some((name.to_owned(), file.contents_utf8()?.to_owned()))
    };
    let dir = SHIPPED.get_dir(name)?;
    Some(dir.files().filter_map(file).filter(|(name, _)| is_read(name)).collect())
}

/// Returns all files of one of them, with their places below its folder.
pub(super) fn whole(name: &str) -> Option<Vec<(Utf8PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    walk(SHIPPED.get_dir(name)?, &mut files);
    let below = |path: &str| path.strip_prefix(name).unwrap_or(path).trim_start_matches('/').into();
    Some(files.into_iter().map(|(path, content)| (below(path), content.to_vec())).collect())
}

/// Writes all of them below a folder, where images can be built from them, and returns where they are. Each build of
/// `lab` has its own place, so that none changes under another.
pub(super) fn lay_out(shelf: &Utf8Path) -> Result<Utf8PathBuf, fs::Error> {
    let mut files = Vec::new();
    walk(&SHIPPED, &mut files);
    let hash = files.iter().fold(Sha256::new(), |hash, (path, content)| {
        hash.chain_update(path).chain_update([0]).chain_update(Sha256::digest(content))
    });
    let name: String = hash.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = shelf.join(name);
    for (path, content) in files {
        let path = folder.join(path);
        let is_program = content.starts_with(b"#!");
        // What another `lab` writes at this moment is the same.
        if fs::read(&path).ok().as_deref() != Some(content) {
            fs::write(&path, content, if is_program { Access::Program } else { Access::Public })?;
        }
    }
    Ok(folder)
}

fn walk(dir: &'static Dir<'static>, found: &mut Vec<(&'static str, &'static [u8])>) {
    found.extend(dir.files().filter_map(|file| Some((file.path().to_str()?, file.contents()))));
    dir.dirs().for_each(|dir| walk(dir, found));
}
