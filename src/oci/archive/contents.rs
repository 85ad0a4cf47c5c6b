//! What is in an archive: everything that images may refer to is in the store after one pass, and here
//! is written down which path was what.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::entries::{Entries, State};
use super::header::{Header, Kind};
use super::path::{self, Form};
use super::{Error, Store, StoreError};
use crate::model::image::{Digest, Hasher};
use crate::oci::{StoredLayer, store_layer};

/// The longest text that is read into memory, which is the longest that a store gives out.
pub const LONGEST_TEXT: u64 = 8 << 20;
const LONGEST_RECORD: u64 = 1 << 20;
const ALL_RECORDS: u64 = 16 << 20;
/// Texts of images are stored as they come, but not without an end.
const ALL_TEXTS: u64 = 1 << 30;
/// How many entries are remembered; a thousand images have twenty thousand layers.
const MOST_KNOWN: usize = 50_000;
/// A chain of links longer than this is a ring.
const LONGEST_CHAIN: usize = 8;

/// What a path that images may refer to turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A manifest, a configuration, or anything else that begins as a JSON object does.
    Text {
        digest: Digest,
        size: u64,
    },
    Layer(StoredLayer),
    /// A text that is too long to be one; it is not stored.
    TooLong,
    /// To a path, or `None` if it leads out of the archive.
    Link {
        to: Option<String>,
        target: String,
    },
}

#[derive(Debug, Default)]
pub struct Contents {
    /// `manifest.json` and `index.json`.
    pub tables: BTreeMap<String, Vec<u8>>,
    pub records: BTreeMap<String, Vec<u8>>,
    pub has_repositories: bool,
    pub has_root: bool,
    found: BTreeMap<String, Found>,
    text_bytes: u64,
    record_bytes: u64,
}

impl Contents {
    pub fn read(store: &Store, mut entries: Entries<impl Read>) -> Result<Self, Error> {
        let mut contents = Self::default();
        while let Some(header) = entries.advance()? {
            contents.take(store, &header, &mut entries)?;
        }
        Ok(contents)
    }

    /// Returns what is at a path, at the end of all links.
    pub fn at(&self, path: &str) -> Result<Option<&Found>, Error> {
        let mut at = path.to_owned();
        for _ in 0..LONGEST_CHAIN {
            match self.found.get(&at) {
                Some(Found::Link { to: Some(to), .. }) => at.clone_from(to),
                Some(Found::Link { to: None, target }) => {
                    return Err(Error::BadLink { path: at, target: path::shown(target) });
                }
                other => return Ok(other),
            }
        }
        Err(Error::BadLink { path: path.to_owned(), target: at })
    }

    fn take(
        &mut self,
        store: &Store,
        header: &Header,
        content: &mut Entries<impl Read>,
    ) -> Result<(), Error> {
        let path = path::normal(&header.path)?;
        let form = Form::of(&path);
        self.has_repositories |= form == Form::Repositories;
        self.has_root |= form == Form::Root;
        match (header.kind, form) {
            (Kind::Symlink, form) if form.is_referred_to() => {
                let to = path::led(&path, &header.target);
                self.know(path, Found::Link { to, target: header.target.clone() })
            }
            (Kind::HardLink, form) if form.is_referred_to() => {
                let to = path::normal(&header.target)?;
                self.know(path, Found::Link { to: Some(to), target: header.target.clone() })
            }
            (Kind::File, Form::Table) => self.take_table(path, content),
            (Kind::File, Form::Record(name)) => self.take_record(&path, name, content),
            (Kind::File, Form::Config(digest)) => self.take_text(store, path, digest, content),
            (Kind::File, Form::Blob(digest)) => self.take_blob(store, path, digest, content),
            (Kind::File, Form::Layer) => {
                let layer = layer(store, &path, content)?;
                self.know(path, Found::Layer(layer))
            }
            _ => Ok(()),
        }
    }

    fn know(&mut self, path: String, found: Found) -> Result<(), Error> {
        if self.found.len() >= MOST_KNOWN {
            return Err(Error::TooMuch { limit: MOST_KNOWN as u64, what: "layers and texts" });
        }
        match self.found.get(&path) {
            Some(known) if *known != found => Err(Error::Duplicate { path }),
            _ => {
                self.found.insert(path, found);
                Ok(())
            }
        }
    }

    fn take_table(&mut self, path: String, content: &mut Entries<impl Read>) -> Result<(), Error> {
        if content.left() > LONGEST_TEXT {
            return Err(Error::TooLong { path, limit: LONGEST_TEXT });
        }
        let text = content.content()?;
        match self.tables.get(&path) {
            Some(known) if *known != text => Err(Error::Duplicate { path }),
            _ => {
                self.tables.insert(path, text);
                Ok(())
            }
        }
    }

    fn take_record(
        &mut self,
        path: &str,
        name: String,
        content: &mut Entries<impl Read>,
    ) -> Result<(), Error> {
        let size = content.left();
        if size > LONGEST_RECORD {
            return Err(Error::TooLong { path: path.to_owned(), limit: LONGEST_RECORD });
        }
        // An empty one takes memory, too.
        self.record_bytes += size + name.len() as u64;
        if self.record_bytes > ALL_RECORDS {
            return Err(Error::TooMuch { limit: ALL_RECORDS, what: "bytes of records" });
        }
        let text = content.content()?;
        match self.records.get(&name) {
            Some(known) if *known != text => Err(Error::Duplicate { path: path.to_owned() }),
            _ => {
                self.records.insert(name, text);
                Ok(())
            }
        }
    }

    fn take_text(
        &mut self,
        store: &Store,
        path: String,
        wanted: Option<Digest>,
        content: &mut Entries<impl Read>,
    ) -> Result<(), Error> {
        let size = content.left();
        if size > LONGEST_TEXT {
            return self.know(path, Found::TooLong);
        }
        self.text_bytes += size;
        if self.text_bytes > ALL_TEXTS {
            return Err(Error::TooMuch { limit: ALL_TEXTS, what: "bytes of texts" });
        }
        let text = content.content()?;
        let digest = Digest::of(&text);
        // One that is not what its name says would only be in the way.
        if wanted.is_some_and(|wanted| wanted != digest) {
            return Err(Error::WrongDigest { path, found: digest });
        }
        store.put(&text)?;
        self.know(path, Found::Text { digest, size })
    }

    /// What a blob is, only its beginning says.
    fn take_blob(
        &mut self,
        store: &Store,
        path: String,
        wanted: Digest,
        content: &mut Entries<impl Read>,
    ) -> Result<(), Error> {
        if content.begins_with_brace()? {
            return self.take_text(store, path, Some(wanted), content);
        }
        // A plain archive has the same name here and in the store, and need not be packed only to learn it.
        let known = store.layer(&wanted)?;
        let mut hashed = Hashed { from: content, hasher: Hasher::default() };
        let layer = match known {
            Some(known) => {
                let read = io::copy(&mut hashed, &mut io::sink());
                read.map_err(|error| hashed.from.failed(error)).map(|_| known)?
            }
            None => layer(store, &path, &mut hashed)?,
        };
        let found = hashed.hasher.finish();
        if found != wanted {
            return Err(Error::WrongDigest { path, found });
        }
        self.know(path, Found::Layer(layer))
    }
}

/// A reader that knows whether it failed for a reason that is not in what was read.
trait Watched: Read {
    fn state(&self) -> (State, u64);
}

impl<R: Read> Watched for Entries<R> {
    fn state(&self) -> (State, u64) {
        Self::state(self)
    }
}

struct Hashed<'a, R> {
    from: &'a mut Entries<R>,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

impl<R: Read> Watched for Hashed<'_, R> {
    fn state(&self) -> (State, u64) {
        self.from.state()
    }
}

fn layer(store: &Store, path: &str, content: &mut impl Watched) -> Result<StoredLayer, Error> {
    store_layer(store, &mut *content).map_err(|error| match (content.state(), error) {
        ((State::CutOff, bytes), _) => Error::CutOff { bytes },
        ((State::Unreadable, _), StoreError::Stream { source, .. }) => Error::Read { source },
        (_, source @ (StoreError::Stream { .. } | StoreError::TooLong { .. })) if !source.is_full_disk() => {
            Error::Layer { path: path.to_owned(), source }
        }
        (_, source) => Error::Store(source),
    })
}
