//! Files, with the path in every error and no half-written file ever visible.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};

#[derive(Debug, thiserror::Error)]
#[error("could not {verb} `{path}`")]
pub struct Error {
    verb: &'static str,
    path: Utf8PathBuf,
    source: io::Error,
}

impl Error {
    /// Returns what to do about it, where the cause tells.
    pub fn hint(&self) -> Option<String> {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(format!(
                "the disk that holds `{}` is full; free some space and run the command again",
                self.path
            )),
            io::ErrorKind::PermissionDenied => Some(format!(
                "`ls -ld {}` shows who may; what an earlier run with sudo made, `sudo chown -R $USER .lab` gives back",
                self.path
            )),
            io::ErrorKind::ReadOnlyFilesystem => {
                Some(format!("`{}` is on a read-only file system; choose another folder", self.path))
            }
            _ => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    pub fn is_full_disk(&self) -> bool {
        is_full_disk(&self.source)
    }
}

/// Returns whether there was no room to write to.
pub fn is_full_disk(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn failed(verb: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error { verb, path: path.to_owned(), source }
}

/// Who may read a file that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everyone.
    Public,
    /// The owner only: keys, and what contains them.
    Private,
    /// Everyone may read and run it.
    Program,
}

impl Access {
    fn mode(self) -> u32 {
        match self {
            Self::Public => 0o644,
            Self::Private => 0o600,
            Self::Program => 0o755,
        }
    }
}

pub fn read(path: &Utf8Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(failed("read", path))
}

#[expect(clippy::disallowed_methods, reason = "this is the wrapper that the rule asks for")]
pub fn read_to_string(path: &Utf8Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(failed("read", path))
}

/// Returns `None` for a file that does not exist.
pub fn read_if_present(path: &Utf8Path) -> Result<Option<String>, Error> {
    match read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file so that a reader, or a crash, sees the old content or the new one and never a part.
pub fn write(path: &Utf8Path, content: impl AsRef<[u8]>, access: Access) -> Result<(), Error> {
    // Two threads may write the same file, each from the beginning to the end.
    static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let parent = path.parent().filter(|parent| !parent.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    create_dir(parent)?;
    let name = path.file_name().unwrap_or("file");
    let number = LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let temporary = parent.join(format!(".{name}.{}.{number}.tmp", std::process::id()));
    let written = write_whole(&temporary, content.as_ref(), access)
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(failed("write", path));
    if written.is_err() {
        // What is left is a fragment under a temporary name; the first error is the one that matters.
        drop(fs::remove_file(&temporary));
    }
    written
}

fn write_whole(path: &Utf8Path, content: &[u8], access: Access) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(access.mode()).open(path)?;
    file.set_permissions(Permissions::from_mode(access.mode()))?;
    file.write_all(content)?;
    file.sync_data()
}

/// Writes a file in place, for files that are mounts of their own and cannot be replaced by a rename.
pub fn overwrite(path: &Utf8Path, content: impl AsRef<[u8]>) -> Result<(), Error> {
    let mut file = File::create(path).map_err(failed("write", path))?;
    file.write_all(content.as_ref()).map_err(failed("write", path))
}

/// Returns the length of a file and the nanosecond in which it was changed.
pub fn fingerprint(path: &Utf8Path) -> Result<(u64, i64), Error> {
    let metadata = fs::metadata(path).map_err(failed("look at", path))?;
    let changed = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    Ok((metadata.len(), changed))
}

pub fn create_dir(path: &Utf8Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(failed("create the folder", path))
}

/// Removes a file; one that is not there counts as removed.
pub fn remove_file(path: &Utf8Path) -> Result<(), Error> {
    absent_is_fine(fs::remove_file(path)).map_err(failed("remove", path))
}

/// Removes a folder with all that is in it; one that is not there counts as removed.
pub fn remove_dir(path: &Utf8Path) -> Result<(), Error> {
    absent_is_fine(fs::remove_dir_all(path)).map_err(failed("remove the folder", path))
}

/// Removes a folder with nothing in it. Returns whether it is gone.
pub fn remove_dir_if_empty(path: &Utf8Path) -> Result<bool, Error> {
    match absent_is_fine(fs::remove_dir(path)) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        other => other.map(|()| true).map_err(failed("remove the folder", path)),
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Returns the names in a folder, sorted; a folder that is not there has none.
pub fn list(path: &Utf8Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed("list", path))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("list", path))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, path)
    }

    #[test]
    fn a_private_file_is_private_also_where_an_open_one_stood() {
        let (_dir, path) = folder();
        let file = path.join("deep/key");
        write(&file, "open", Access::Public).unwrap();
        write(&file, "secret", Access::Private).unwrap();
        assert_eq!(read_to_string(&file).unwrap(), "secret");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(list(&path.join("deep")).unwrap(), ["key"], "no temporary file is left");
    }

    #[test]
    fn a_file_that_many_write_at_a_time_is_that_of_one_of_them() {
        let (_dir, path) = folder();
        let file = path.join("file");
        std::thread::scope(|scope| {
            for n in 0..8 {
                let file = &file;
                scope.spawn(move || {
                    (0..50).for_each(|_| write(file, n.to_string().repeat(9), Access::Public).unwrap());
                });
            }
        });
        let text = read_to_string(&file).unwrap();
        assert_eq!(text, text[..1].repeat(9));
        assert_eq!(list(&path).unwrap(), ["file"]);
    }

    #[test]
    fn what_is_absent_can_be_removed_listed_and_asked_for() {
        let (_dir, path) = folder();
        let absent = path.join("absent");
        remove_file(&absent).unwrap();
        remove_dir(&absent).unwrap();
        assert!(remove_dir_if_empty(&absent).unwrap());
        assert_eq!(read_if_present(&absent).unwrap(), None);
        assert!(list(&absent).unwrap().is_empty());
    }

    #[test]
    fn a_folder_with_something_in_it_is_not_empty() {
        let (_dir, path) = folder();
        create_dir(&path.join("a/b")).unwrap();
        assert!(!remove_dir_if_empty(&path.join("a")).unwrap());
        assert!(remove_dir_if_empty(&path.join("a/b")).unwrap());
    }

    #[test]
    fn an_error_names_the_path_and_not_the_cause_twice() {
        let error = read(Utf8Path::new("/nowhere/at/all")).unwrap_err();
        assert_eq!(error.to_string(), "could not read `/nowhere/at/all`");
        assert!(error.is_not_found());
    }
}
