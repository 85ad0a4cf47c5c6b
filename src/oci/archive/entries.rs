//! The entries of a tar archive, one after the other, from a stream that cannot go back.

use std::io::{self, Read};

use super::Error;
use super::header::{self, BLOCK, BadHeader, Header, Kind};

/// Longer names, or attributes, are not read into memory.
const LONGEST_EXTENSION: u64 = 1 << 20;
/// More than a root file system has; an archive of images has a handful.
const MOST_ENTRIES: u64 = 1_000_000;
/// What stands behind the end is read so that whoever writes it can end, too; but not forever.
const LONGEST_REST: u64 = 1 << 20;
/// No archive is as long as this.
const LONGEST: u64 = 1 << 42;

/// Reading from it reads the content of the current entry.
pub struct Entries<R> {
    from: R,
    /// How much was taken from the stream.
    at: u64,
    /// A byte that was looked at before it is read.
    ahead: Option<u8>,
    /// Of the current entry.
    left: u64,
    padding: u64,
    count: u64,
    state: State,
}

/// Why an archive could not be read on, whatever somebody who read from it makes of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Whole,
    CutOff,
    Unreadable,
}

/// What is said of the next entry before its header.
#[derive(Default)]
struct Before {
    path: Option<String>,
    target: Option<String>,
    extension: header::Extension,
}

impl<R: Read> Entries<R> {
    pub fn new(from: R) -> Self {
        Self { from, at: 0, ahead: None, left: 0, padding: 0, count: 0, state: State::Whole }
    }

    /// Returns how far the archive could be read, and how.
    pub fn state(&self) -> (State, u64) {
        (self.state, self.at)
    }

    /// Returns how much of the current entry was not read yet.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Returns whether the current entry begins as a JSON object of a machine does.
    pub fn begins_with_brace(&mut self) -> Result<bool, Error> {
        let mut first = [0];
        let read = self.read(&mut first).map_err(|error| self.failed(error))?;
        self.left += read as u64;
        self.ahead = (read == 1).then_some(first[0]);
        Ok(self.ahead == Some(b'{'))
    }

    /// Goes on to the next entry; `None` at the end of the archive.
    pub fn advance(&mut self) -> Result<Option<Header>, Error> {
        let mut before = Before::default();
        loop {
            self.skip()?;
            let at = self.at;
            let Some(header) = self.header()? else {
                self.read_rest()?;
                return Ok(None);
            };
            self.left = header.size;
            match header.kind {
                Kind::LongName => before.path = Some(header::text(&self.held(at)?)),
                Kind::LongTarget => before.target = Some(header::text(&self.held(at)?)),
                Kind::Extension => before.extension = self.extension(at)?,
                _ => return self.entry(header, before).map(Some),
            }
            self.skip()?;
        }
    }

    fn entry(&mut self, header: Header, before: Before) -> Result<Header, Error> {
        let path = before.extension.path.or(before.path).unwrap_or(header.path);
        if header.kind == Kind::Sparse || before.extension.is_sparse {
            return Err(Error::Sparse { path });
        }
        let size = match header.kind {
            Kind::HardLink | Kind::Symlink | Kind::Bare => 0,
            _ => before.extension.size.unwrap_or(header.size),
        };
        self.expect(size);
        let target = before.extension.target.or(before.target).unwrap_or(header.target);
        Ok(Header { path, target, size, ..header })
    }

    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    fn header(&mut self) -> Result<Option<Header>, Error> {
        self.count += 1;
        if self.count > MOST_ENTRIES {
            return Err(Error::TooMuch { limit: MOST_ENTRIES, what: "entries" });
        }
        let at = self.at;
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        let header = header::parse(&block).map_err(|source| broken(at, source))?;
        self.expect(header.as_ref().map_or(0, |header| header.size));
        Ok(header)
    }

    fn fill(&mut self, block: &mut [u8]) -> Result<(), Error> {
        let mut filled = 0;
        while filled < block.len() {
            filled += match self.read_on(&mut block[filled..]) {
                Ok(0) if self.at == 0 => return Err(Error::Empty),
                Ok(0) => return Err(self.cut_off()),
                Ok(read) => read,
                Err(error) => return Err(self.failed(error)),
            };
        }
        Ok(())
    }

    fn read_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.from.read(buffer) {
                Ok(read) => {
                    self.at += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let is_end = error.kind() == io::ErrorKind::UnexpectedEof;
                    self.state = if is_end { State::CutOff } else { State::Unreadable };
                    return Err(error);
                }
            }
        }
    }

    fn cut_off(&mut self) -> Error {
        self.state = State::CutOff;
        Error::CutOff { bytes: self.at }
    }

    /// Returns what is wrong with the archive if its content could not be read.
    pub fn failed(&self, source: io::Error) -> Error {
        match self.state {
            State::CutOff => Error::CutOff { bytes: self.at },
            _ => Error::read(source),
        }
    }

    /// Returns the content of an entry that speaks of another one.
    fn held(&mut self, at: u64) -> Result<Vec<u8>, Error> {
        if self.left > LONGEST_EXTENSION {
            return Err(broken(at, BadHeader::Extension));
        }
        self.content()
    }

    fn extension(&mut self, at: u64) -> Result<header::Extension, Error> {
        let records = self.held(at)?;
        header::extension(&records).map_err(|source| broken(at, source))
    }

    /// Returns the content of the current entry, whose length the caller has looked at.
    pub fn content(&mut self) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        let read = self.read_to_end(&mut content);
        read.map_err(|error| self.failed(error)).map(|_| content)
    }

    /// Passes over what is left of the current entry.
    fn skip(&mut self) -> Result<(), Error> {
        if self.at.saturating_add(self.left) > LONGEST {
            return Err(Error::TooMuch { limit: LONGEST, what: "bytes" });
        }
        let skipped = io::copy(self, &mut io::sink());
        skipped.map_err(|error| self.failed(error))?;
        let padding = usize::try_from(std::mem::take(&mut self.padding)).unwrap_or(0);
        self.fill(&mut [0; BLOCK][..padding])
    }

    /// What is packed is only known to be whole at its very end.
    fn read_rest(&mut self) -> Result<(), Error> {
        self.left = LONGEST_REST;
        let mut buffer = [0; 1 << 13];
        while self.left > 0 {
            match self.read_on(&mut buffer) {
                Ok(0) => break,
                Ok(read) => self.left = self.left.saturating_sub(read as u64),
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.left = 0;
        Ok(())
    }
}

fn broken(at: u64, source: BadHeader) -> Error {
    let is_tar = at > 0 || source != BadHeader::Checksum;
    if is_tar { Error::Broken { at, source } } else { Error::NotTar { source } }
}

impl<R: Read> Read for Entries<R> {
    /// Fills the buffer as long as there is content: how something is packed is told by its first bytes, which
    /// must not come one by one.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let mut filled = 0;
        while filled < most {
            let read = match self.ahead.take() {
                Some(byte) => {
                    buffer[filled] = byte;
                    1
                }
                None => self.read_on(&mut buffer[filled..most])?,
            };
            if read == 0 {
                self.state = State::CutOff;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            self.left -= read as u64;
        }
        Ok(filled)
    }
}
