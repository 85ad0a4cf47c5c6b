//! How layers and archives are packed: found out by their first bytes, never by their name.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use crate::model::image::media;

/// How many bytes tell it.
const LONGEST_MARK: u64 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    pub fn of(beginning: &[u8]) -> Self {
        match beginning {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame of zstd, or one to be skipped that may stand before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Returns what a layer that is packed like this is called in a manifest.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::None => media::OCI_LAYER,
            Self::Gzip => media::OCI_LAYER_GZIP,
            Self::Zstd => media::OCI_LAYER_ZSTD,
        }
    }
}

/// Reads what is packed in whatever way.
pub enum Decoder<R: BufRead> {
    None(R),
    Gzip(Box<MultiGzDecoder<R>>),
    Zstd(Box<zstd::Decoder<'static, R>>),
}

impl<R: BufRead> Decoder<R> {
    /// Looks at the beginning of `packed` and chooses.
    pub fn new(mut packed: R) -> io::Result<Self> {
        let compression = Compression::of(packed.fill_buf()?);
        Self::with(compression, packed)
    }

    pub fn with(compression: Compression, packed: R) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(packed),
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(packed))),
            Compression::Zstd => Self::Zstd(Box::new(zstd::Decoder::with_buffer(packed)?)),
        })
    }

    pub fn compression(&self) -> Compression {
        match self {
            Self::None(_) => Compression::None,
            Self::Gzip(_) => Compression::Gzip,
            Self::Zstd(_) => Compression::Zstd,
        }
    }

    /// Returns the packed stream, which may have more in it than was asked for.
    pub fn into_inner(self) -> R {
        match self {
            Self::None(inner) => inner,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        }
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(inner) => inner.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// A stream of which the beginning was looked at.
pub(super) type Begun<R> = BufReader<io::Chain<Cursor<Vec<u8>>, R>>;

/// Looks how a stream is packed, however few bytes it gives at a time.
pub(super) fn begin<R: Read>(mut from: R) -> io::Result<(Compression, Begun<R>)> {
    let mut beginning = Vec::new();
    (&mut from).take(LONGEST_MARK).read_to_end(&mut beginning)?;
    let compression = Compression::of(&beginning);
    Ok((compression, buffered(Cursor::new(beginning).chain(from))))
}

/// Returns a reader with a buffer that is large enough for its beginning to be looked at.
pub(super) fn buffered<R: Read>(reader: R) -> BufReader<R> {
    BufReader::with_capacity(1 << 17, reader)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_packed_is_known_by_its_beginning() {
        let text = b"what is packed".repeat(1000);
        let two_members = [gzip(&text[..7000]), gzip(&text[7000..])].concat();
        let two_frames =
            [zstd::encode_all(&text[..9], 1).unwrap(), zstd::encode_all(&text[9..], 1).unwrap()].concat();
        for (packed, want) in [
            (text.clone(), Compression::None),
            (gzip(&text), Compression::Gzip),
            (two_members, Compression::Gzip),
            (zstd::encode_all(&text[..], 3).unwrap(), Compression::Zstd),
            (two_frames, Compression::Zstd),
        ] {
            let mut decoder = Decoder::new(packed.as_slice()).unwrap();
            assert_eq!(decoder.compression(), want);
            let mut read = Vec::new();
            decoder.read_to_end(&mut read).unwrap();
            assert!(read == text, "{want:?}");
        }
        assert!(Decoder::new(&b""[..]).is_ok_and(|decoder| decoder.compression() == Compression::None));
    }

    #[test]
    fn a_stream_that_comes_byte_by_byte_is_known_too() {
        struct Slow<'a>(&'a [u8]);
        impl Read for Slow<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let most = buffer.len().min(1);
                self.0.read(&mut buffer[..most])
            }
        }
        for (bytes, want) in [(gzip(b"x"), Compression::Gzip), (b"ab".to_vec(), Compression::None)] {
            let (compression, mut begun) = begin(Slow(&bytes)).unwrap();
            let mut read = Vec::new();
            begun.read_to_end(&mut read).unwrap();
            assert_eq!((compression, read), (want, bytes));
        }
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let text = b"what is packed".repeat(1000);
        for packed in [gzip(&text), zstd::encode_all(&text[..], 3).unwrap()] {
            let mut decoder = Decoder::new(&packed[..packed.len() - 5]).unwrap();
            assert!(decoder.read_to_end(&mut Vec::new()).is_err());
        }
    }
}
