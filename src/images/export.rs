//! Images out of the local engine, or out of a file, into the store.

use std::collections::BTreeMap;
use std::io::{self, Read};

use camino::{Utf8Path, Utf8PathBuf};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::bytes::{Buf, Bytes};

use crate::docker::{self, Engine};
use crate::model::Bytes as Size;
use crate::model::image::{Digest, ImageName, Platform};
use crate::oci::{self, ArchiveError, ArchivedImage, ArchivedImages, ReadOptions, Store, read_archive};
use crate::progress::Step;
use crate::registry::host_platform;

/// Pieces that wait between the engine and the store; none is longer than half a megabyte.
const WAITING: usize = 8;
/// How often it is told how far a stream is.
const NEWS_BYTES: u64 = 8 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] docker::Error),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Store(#[from] oci::Error),
    #[error("the Docker engine did not save the image {id}, though it has it")]
    NotSaved { id: Digest },
    #[error("the archive `{path}` has {}", list(.has))]
    NotThere { path: Utf8PathBuf, has: Vec<String> },
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "no image with a name".to_owned()
    } else {
        format!("several images: {}", names.join(", "))
    }
}

impl Error {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Engine(source) => source.hint(),
            Self::Archive(source) => source.hint(),
            Self::Store(source) => source.hint(),
            Self::NotSaved { .. } => Some("run the command again".to_owned()),
            Self::NotThere { .. } => Some("say which one with `image = \"…\"` in lab.toml".to_owned()),
        }
    }
}

/// Fetches images from the engine by the ids that it has for them, in one stream. The caller shares the
/// store's lock.
pub async fn from_engine(
    store: &Store,
    engine: &Engine,
    ids: &[Digest],
    step: &Step,
) -> Result<BTreeMap<Digest, ArchivedImage>, Error> {
    let mut found = fetch(store, engine, ids, step).await?;
    // With containerd an id says nothing about the image's parts: asked for alone, it is the only one.
    for id in ids.iter().filter(|_| ids.len() > 1) {
        if !found.contains_key(id) {
            found.extend(fetch(store, engine, std::slice::from_ref(id), step).await?);
        }
    }
    match ids.iter().find(|id| !found.contains_key(id)) {
        Some(id) => Err(Error::NotSaved { id: *id }),
        None => Ok(found),
    }
}

async fn fetch(
    store: &Store,
    engine: &Engine,
    ids: &[Digest],
    step: &Step,
) -> Result<BTreeMap<Digest, ArchivedImage>, Error> {
    let names: Vec<String> = ids.iter().map(Digest::to_string).collect();
    let saved = receive(store, engine.export_images(&names), options(None, step)).await?.images;
    if let ([id], [image]) = (ids, &saved[..]) {
        return Ok([(*id, image.clone())].into());
    }
    let id_of = |image: &ArchivedImage| {
        ids.iter().find(|id| **id == image.config || **id == image.manifest.digest).copied()
    };
    Ok(saved.into_iter().filter_map(|image| Some((id_of(&image)?, image))).collect())
}

/// Reads the images of a file.
pub async fn from_file(
    store: &Store,
    path: &Utf8Path,
    platform: Option<&Platform>,
    step: &Step,
) -> Result<Vec<ArchivedImage>, Error> {
    let (store, path, options) = (store.clone(), path.to_owned(), options(platform, step));
    let reading = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::open(&path);
        let file = file.map_err(|source| oci::Error::Io { what: "open", path, source })?;
        Ok::<_, Error>(read_archive(&store, file, options)?.images)
    });
    reading.await.expect("reading does not panic")
}

/// Returns the image that is meant: the one of that name, or the only one.
pub fn choose<'a>(
    images: &'a [ArchivedImage],
    reference: Option<&ImageName>,
    path: &Utf8Path,
) -> Result<&'a ArchivedImage, Error> {
    let chosen = match reference {
        Some(reference) => images.iter().find(|image| image.names.contains(reference)),
        None if images.len() == 1 => images.first(),
        None => None,
    };
    let has = || images.iter().flat_map(|image| image.names.iter().map(ImageName::familiar)).collect();
    chosen.ok_or_else(|| Error::NotThere { path: path.to_owned(), has: has() })
}

/// Tells how far the reading is, not oftener than anybody can see.
pub(super) fn options(platform: Option<&Platform>, step: &Step) -> ReadOptions {
    let (step, mut told) = (step.news(), 0);
    let on_bytes = move |bytes: u64| {
        if bytes >= told + NEWS_BYTES {
            told = bytes;
            step(format!("read {}", Size::new(bytes)));
        }
    };
    let platform = platform.cloned().unwrap_or_else(host_platform);
    ReadOptions { platform, on_bytes: Box::new(on_bytes) }
}

/// Reads an archive as it comes. Whichever side fails ends the other, and its error is the one that counts.
async fn receive(
    store: &Store,
    mut archive: impl Stream<Item = Result<Bytes, docker::Error>> + Unpin,
    options: ReadOptions,
) -> Result<ArchivedImages, Error> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let store = store.clone();
    let reading = tokio::task::spawn_blocking(move || read_archive(&store, Received::new(receiver), options));
    while let Some(piece) = archive.next().await {
        if sender.send(Piece::Bytes(piece?)).await.is_err() {
            // The reader has ended, and says why.
            break;
        }
    }
    // Nobody may be left to hear of the end.
    drop(sender.send(Piece::End).await);
    match reading.await {
        Ok(read) => Ok(read?),
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Archive(ArchiveError::Read { source: io::ErrorKind::Interrupted.into() })),
        },
    }
}

enum Piece {
    Bytes(Bytes),
    End,
}

/// What was received. If nobody sends any more before the end, somebody gave up, and reading fails.
struct Received {
    pieces: mpsc::Receiver<Piece>,
    piece: Bytes,
    is_at_end: bool,
}

impl Received {
    fn new(pieces: mpsc::Receiver<Piece>) -> Self {
        Self { pieces, piece: Bytes::new(), is_at_end: false }
    }
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.is_at_end {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(piece)) => self.piece = piece,
                Some(Piece::End) => self.is_at_end = true,
                None => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
        let read = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const SAVED: &[u8] = include_bytes!("../../tests/data/archive/docker-20.10-shared.tar.gz");

    fn options() -> ReadOptions {
        let platform = Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None };
        ReadOptions { platform, on_bytes: Box::new(|_| ()) }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
        (folder, store)
    }

    fn pieces(of: &'static [u8]) -> impl Stream<Item = Result<Bytes, docker::Error>> + Unpin {
        stream::iter(of.chunks(7).map(|piece| Ok(Bytes::from_static(piece))))
    }

    #[tokio::test]
    async fn an_archive_is_read_as_it_comes() {
        let (_folder, store) = store();
        let images = receive(&store, pieces(SAVED), options()).await.unwrap();
        assert_eq!(images.images.len(), 2);
    }

    #[tokio::test]
    async fn the_side_that_failed_says_why() {
        let (_folder, store) = store();
        let cut = receive(&store, pieces(&SAVED[..900]), options()).await.unwrap_err();
        assert!(matches!(cut, Error::Archive(ArchiveError::CutOff { .. })), "{cut:?}");

        let told = docker::Error::TooOld { host: "h".to_owned(), version: "1".to_owned() };
        let died = pieces(&SAVED[..900]).chain(stream::iter([Err(told)]));
        let died = receive(&store, died, options()).await.unwrap_err();
        assert!(matches!(died, Error::Engine(docker::Error::TooOld { .. })), "{died:?}");

        // It would never end if nobody stopped listening.
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(&[0xff; 4096])));
        let strange = receive(&store, endless, options()).await.unwrap_err();
        assert!(matches!(strange, Error::Archive(ArchiveError::NotTar { .. })), "{strange:?}");
    }

    #[test]
    fn a_reader_ends_when_nobody_waits_for_it_any_more() {
        let (sender, receiver) = mpsc::channel(WAITING);
        drop(sender);
        let error = Received::new(receiver).read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
