//! The beginning of a blob: a file that outlives the run that was cut, and that one run has at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::mpsc::Receiver;

use super::Tally;
use crate::http::Bytes;
use crate::oci;
use crate::registry::{Chunk, WantedBlob};

/// Locked until it is dropped.
pub(super) struct Part {
    path: Utf8PathBuf,
    file: File,
    have: u64,
}

impl Part {
    /// Opens the file of a blob, or returns nothing if somebody else has it.
    pub(super) fn claim(folder: &Utf8Path, blob: &WantedBlob) -> Result<Option<Self>, oci::Error> {
        let path = folder.join(format!("{}.part", blob.digest.hex()));
        let failed = |what| {
            let path = path.clone();
            move |source| oci::Error::Io { what, path, source }
        };
        let file = OpenOptions::new().create(true).read(true).append(true).open(&path);
        let file = file.map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        let ours = file.metadata().map_err(failed("read"))?;
        // Who had it may have moved it to its place, or thrown it away, after we had opened it.
        if !std::fs::metadata(&path).is_ok_and(|there| there.ino() == ours.ino()) {
            return Ok(None);
        }
        let mut have = ours.len();
        if blob.size.is_some_and(|size| have > size) {
            file.set_len(0).map_err(failed("write"))?;
            have = 0;
        }
        Ok(Some(Self { path, file, have }))
    }

    pub(super) fn path(&self) -> &Utf8Path {
        &self.path
    }

    pub(super) fn have(&self) -> u64 {
        self.have
    }
}

/// All of a blob: what is in the file, then what comes, which is written to the file as it passes.
pub(super) struct Content {
    part: Part,
    /// How much is still to be read of what was there.
    before: u64,
    from: Receiver<Chunk>,
    current: Bytes,
    state: State,
    tally: Arc<Tally>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Comes,
    Whole,
    Failed,
}

impl Content {
    pub(super) fn new(part: Part, from: Receiver<Chunk>, tally: Arc<Tally>) -> Self {
        tally.found.fetch_add(part.have, Ordering::Relaxed);
        let before = part.have;
        Self { part, before, from, current: Bytes::new(), state: State::Comes, tally }
    }

    /// Takes no more: whoever sends is not to wait for a reader that has failed.
    pub(super) fn close(&mut self) {
        self.from.close();
    }

    /// Takes the next chunk. Without an end of its own, the blob was cut.
    fn next(&mut self) -> io::Result<()> {
        match self.from.blocking_recv() {
            Some(Chunk::Bytes(bytes)) => {
                self.part.file.write_all(&bytes).map_err(|source| {
                    oci::Error::Io { what: "write", path: self.part.path.clone(), source }.into_io()
                })?;
                self.tally.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                self.current = bytes;
                Ok(())
            }
            Some(Chunk::End) => {
                self.state = State::Whole;
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn read_more(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.before > 0 {
            let most = usize::try_from(self.before).unwrap_or(usize::MAX).min(buffer.len());
            let read = self.part.file.read(&mut buffer[..most])?;
            self.before -= read as u64;
            // Somebody cut the file that we have locked.
            return if read == 0 && most > 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(read) };
        }
        while self.current.is_empty() && self.state == State::Comes {
            self.next()?;
        }
        let read = self.current.len().min(buffer.len());
        buffer[..read].copy_from_slice(&self.current.split_to(read));
        Ok(read)
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.state == State::Failed {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let read = self.read_more(buffer);
        if read.is_err() {
            self.state = State::Failed;
        }
        read
    }
}
