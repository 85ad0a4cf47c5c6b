//! One blob: written under a name of its own and renamed once it is whole, checked whenever it is read.

use std::fs::{self, File};
use std::io::{self, Read, Write};

use camino::{Utf8Path, Utf8PathBuf};

use super::Error;
use crate::model::image::{Digest, Hasher};

/// A blob that is being written. Dropped before it is finished, it leaves nothing.
pub struct BlobWriter {
    file: File,
    temporary: Utf8PathBuf,
    blobs: Utf8PathBuf,
    hasher: Hasher,
    is_kept: bool,
}

impl BlobWriter {
    pub(super) fn create(temporary: Utf8PathBuf, blobs: Utf8PathBuf) -> Result<Self, Error> {
        let file = File::create_new(&temporary);
        let file = file.map_err(|source| Error::Io { what: "create", path: temporary.clone(), source })?;
        Ok(Self { file, temporary, blobs, hasher: Hasher::default(), is_kept: false })
    }

    /// Gives the blob its place and returns its digest and length.
    ///
    /// The disk is not waited for: what a crash of the machine cuts is found when it is read.
    pub fn finish(mut self) -> Result<(Digest, u64), Error> {
        let hasher = std::mem::take(&mut self.hasher);
        let (bytes, digest) = (hasher.bytes(), hasher.finish());
        let path = self.blobs.join(digest.hex());
        let kept = fs::rename(&self.temporary, &path);
        kept.map_err(|source| Error::Io { what: "write", path, source })?;
        self.is_kept = true;
        Ok((digest, bytes))
    }

    /// Like [`Self::finish`], but only for a blob that has this digest.
    pub fn finish_as(self, wanted: &Digest) -> Result<u64, Error> {
        if self.hasher.clone().finish() != *wanted {
            return Err(Error::Broken { digest: *wanted });
        }
        self.finish().map(|(_, bytes)| bytes)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed now is swept with everything that lies around when the store is pruned.
            drop(fs::remove_file(&self.temporary));
        }
    }
}

/// A blob that is being read. The last read fails if the content was not what its digest says.
pub struct BlobReader<R = File> {
    from: R,
    digest: Digest,
    left: u64,
    hasher: Option<Hasher>,
}

impl BlobReader {
    pub(super) fn open(path: &Utf8Path, digest: &Digest, size: u64) -> Result<Self, Error> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => Error::Missing { digest: *digest },
            _ => Error::Io { what: "read", path: path.to_owned(), source },
        };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() != size {
            return Err(Error::Broken { digest: *digest });
        }
        Ok(Self::over(file, digest, size))
    }
}

impl<R: Read> BlobReader<R> {
    /// Reads a blob from a stream that goes on behind it.
    pub fn over(from: R, digest: &Digest, size: u64) -> Self {
        Self { from, digest: *digest, left: size, hasher: Some(Hasher::default()) }
    }

    fn check_end(&mut self) -> io::Result<()> {
        let is_right =
            self.hasher.take().is_none_or(|hasher| self.left == 0 && hasher.finish() == self.digest);
        if is_right { Ok(()) } else { Err(Error::Broken { digest: self.digest }.into_io()) }
    }
}

impl<R: Read> Read for BlobReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return if self.left == 0 { self.check_end().map(|()| 0) } else { Ok(0) };
        }
        let read = self.from.read(&mut buffer[..most])?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..read]);
        }
        self.left -= read as u64;
        if read == 0 || self.left == 0 {
            self.check_end()?;
        }
        Ok(read)
    }
}
