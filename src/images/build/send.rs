//! Reads a context: as a tar archive for the engine, or for its digests alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use camino::Utf8PathBuf;
use tar::{EntryType, Header};

use super::Error;
use super::context::{Context, Entry, Kind};
use super::key::FileInput;
use crate::model::image::{Digest, Hasher};

const BUFFER: usize = 1 << 17;
/// Reading is no faster with more, and the other processors have work.
const THREADS: usize = 2;

impl Context {
    /// Returns what is in every file that the Dockerfile can copy.
    pub fn read(&self) -> Result<BTreeMap<String, FileInput>, Error> {
        let is_read = |entry: &&Entry| entry.is_visible && matches!(entry.kind, Kind::File { .. });
        let files: Vec<&Entry> = self.entries.iter().filter(is_read).collect();
        let next = AtomicUsize::new(0);
        let digests = Mutex::new(BTreeMap::new());
        let work = || -> Result<(), Error> {
            let mut buffer = vec![0; BUFFER];
            while let Some(entry) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                let digest = self.digest(entry, &mut buffer)?;
                digests.lock().expect("nobody panics with it").insert(entry.path.clone(), digest);
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (1..THREADS.min(files.len())).map(|_| scope.spawn(work)).collect();
            let own = work();
            let others = threads.into_iter().map(|thread| thread.join().expect("reading does not panic"));
            others.fold(own, Result::and)
        })?;
        Ok(self.inputs(digests.into_inner().expect("nobody panics with it")))
    }

    fn digest(&self, entry: &Entry, buffer: &mut [u8]) -> Result<Digest, Error> {
        let path = self.folder.join(&entry.path);
        let unreadable = |source| Error::Read { path: path.clone(), source };
        let mut file = File::open(&path).map_err(unreadable)?;
        let mut hasher = Hasher::default();
        loop {
            match file.read(buffer).map_err(unreadable)? {
                0 => return Ok(hasher.finish()),
                count => hasher.update(&buffer[..count]),
            }
        }
    }

    /// Writes the context as a tar archive. Returns what was in every file in that moment, so that a
    /// file that changes meanwhile is known with the content that the engine got.
    pub fn send(&self, out: impl Write) -> Result<BTreeMap<String, FileInput>, Error> {
        let mut archive = tar::Builder::new(io::BufWriter::with_capacity(BUFFER, out));
        let mut digests = BTreeMap::new();
        for (path, content) in &self.added {
            let mut header = header(EntryType::Regular, 0o644, 0);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, content.as_slice()).map_err(|error| self.sent(error))?;
        }
        for entry in &self.entries {
            self.append(&mut archive, entry, &mut digests)?;
        }
        // An engine may close the stream as soon as it has seen all entries.
        drop(archive.into_inner().and_then(|mut out| out.flush()));
        Ok(self.inputs(digests))
    }

    fn append(
        &self,
        archive: &mut tar::Builder<impl Write>,
        entry: &Entry,
        digests: &mut BTreeMap<String, Digest>,
    ) -> Result<(), Error> {
        let begun = |kind| header(kind, entry.mode, entry.modified);
        let path = &entry.path;
        let appended = match &entry.kind {
            Kind::Folder => {
                archive.append_data(&mut begun(EntryType::Directory), format!("{path}/"), io::empty())
            }
            Kind::Pipe => archive.append_data(&mut begun(EntryType::Fifo), path, io::empty()),
            Kind::Link { to } => archive.append_link(&mut begun(EntryType::Symlink), path, to),
            Kind::File { bytes } => {
                let full = self.folder.join(path);
                let file = File::open(&full).map_err(|source| Error::Read { path: full.clone(), source })?;
                let mut header = begun(EntryType::Regular);
                header.set_size(*bytes);
                let mut content = Content { path: full, file, left: *bytes, hasher: Hasher::default() };
                let appended = archive.append_data(&mut header, path, &mut content);
                digests.insert(path.clone(), content.hasher.finish());
                appended
            }
        };
        appended.map_err(|error| self.sent(error))
    }

    /// Returns the error that came up while a file was read, or the one of the stream.
    fn sent(&self, error: io::Error) -> Error {
        match error.downcast::<Error>() {
            Ok(ours) => ours,
            Err(source) => Error::Unsent { path: self.folder.clone(), source },
        }
    }
}

fn header(kind: EntryType, mode: u32, modified: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(modified);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

/// A file that has to be as long as the archive says.
struct Content {
    path: Utf8PathBuf,
    file: File,
    left: u64,
    hasher: Hasher,
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let ours = |error: Error| io::Error::other(error);
        let read = self.file.read(&mut buffer[..most]);
        let count = read.map_err(|source| ours(Error::Read { path: self.path.clone(), source }))?;
        if count == 0 {
            return Err(ours(Error::Changed { path: self.path.clone() }));
        }
        self.hasher.update(&buffer[..count]);
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::{Duration, SystemTime};

    use camino::Utf8Path;

    use super::super::context::tests::folder;
    use super::*;
    use crate::fs;

    fn write(path: &Utf8Path, content: &str) {
        fs::write(path, content, fs::Access::Public).unwrap();
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
        let (_dir, source) = folder(&[("Dockerfile", "FROM a"), ("b/c", "content"), (&long, "x"), ("e", "")]);
        symlink("b/c", source.folder.join("link")).unwrap();
        let context = Context::open(&source).unwrap();
        let mut archive = Vec::new();
        let sent = context.send(&mut archive).unwrap();
        assert_eq!(sent, context.read().unwrap());
        let mut again = Vec::new();
        context.send(&mut again).unwrap();
        assert_eq!(archive, again);
        let mut found = BTreeMap::new();
        for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            assert_eq!(entry.header().uid().unwrap(), 0);
            assert!(entry.header().mtime().unwrap() > 0);
            found.insert(path, content);
        }
        assert_eq!(found.keys().collect::<Vec<_>>(), sent.keys().collect::<Vec<_>>());
        assert_eq!((found["b/c"].as_str(), found[&long].as_str()), ("content", "x"));
    }

    #[test]
    fn times_do_not_matter_and_everything_else_does() {
        let (_dir, source) = folder(&[("Dockerfile", ""), ("a", "1"), ("b/c", "2")]);
        let read = || Context::open(&source).unwrap().read().unwrap();
        let (first, a) = (read(), source.folder.join("a"));
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        File::open(&a).unwrap().set_modified(then).unwrap();
        assert_eq!(read(), first);
        write(&a, "3");
        let changed = read();
        assert_ne!(changed, first);
        std::fs::set_permissions(&a, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_ne!(read(), changed);
        write(&a, "1");
        assert_eq!(read(), first);
        std::fs::rename(&a, source.folder.join("z")).unwrap();
        assert_ne!(read(), first);
        std::fs::rename(source.folder.join("z"), &a).unwrap();
        std::fs::set_permissions(source.folder.join("b"), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_ne!(read(), first);
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_told_or_known_as_it_was_sent() {
        let (_dir, source) = folder(&[("Dockerfile", ""), ("a", "long")]);
        let context = Context::open(&source).unwrap();
        let first = context.read().unwrap();
        write(&source.folder.join("a"), "long and longer");
        assert_eq!(context.send(io::sink()).unwrap(), first, "it is sent as long as it was");
        write(&source.folder.join("a"), "s");
        let error = context.send(io::sink()).unwrap_err();
        assert!(error.to_string().ends_with("/a` changed while it was read"), "{error}");
        fs::remove_file(&source.folder.join("a")).unwrap();
        assert!(context.send(io::sink()).unwrap_err().to_string().starts_with("could not read"));
        assert!(context.read().unwrap_err().hint().unwrap().contains(".dockerignore"));
    }

    #[test]
    fn a_stream_that_breaks_is_an_error_of_its_own() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let large = "x".repeat(BUFFER * 2);
        let (_dir, source) = folder(&[("Dockerfile", ""), ("a", &large)]);
        let error = Context::open(&source).unwrap().send(Full).unwrap_err();
        assert!(matches!(error, Error::Unsent { .. }), "{error}");
    }
}
