//! A layer on its way into the store: unpacked to learn what it is, packed if nobody did that yet.

use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use super::codec::{Compression, Decoder, begin, buffered};
use super::{BlobWriter, Error, Store};
use crate::model::image::{Descriptor, Digest, Hasher};

/// Three is as fast as the engine's own export and packs better than gzip at its best.
const LEVEL: i32 = 3;
/// Smaller ones repeat more of each other's work; larger ones take memory for each thread.
const JOB_BYTES: u32 = 2 << 20;
const THREADS: u32 = 2;
/// More than any image has; what unpacks to more was made to fill disks.
const LONGEST: u64 = 64 << 30;

/// What the store knows of a layer besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLayer {
    pub diff_id: Digest,
    pub blob: Descriptor,
    pub tar_bytes: u64,
}

/// Stores a layer. One that is packed stays as it is, so that it keeps its digest.
///
/// A layer that the store already has, however packed, is read to learn that, and not stored again.
pub fn store_layer(store: &Store, layer: impl Read) -> Result<StoredLayer, Error> {
    let (compression, layer) = begin(layer).map_err(Error::stream("read a layer"))?;
    let (diff_id, tar_bytes, blob) = match compression {
        Compression::None => pack(store, layer)?,
        packed => keep(store, layer, packed)?,
    };
    if let Some(known) = store.layer(&diff_id)? {
        return Ok(known);
    }
    let compression = if compression == Compression::None { Compression::Zstd } else { compression };
    let (digest, size) = blob.finish()?;
    let stored =
        StoredLayer { diff_id, blob: Descriptor::new(compression.media_type(), digest, size), tar_bytes };
    store.put_layer(&stored)?;
    Ok(stored)
}

/// Packs a plain archive.
pub(super) fn pack(store: &Store, mut tar: impl Read) -> Result<(Digest, u64, BlobWriter), Error> {
    let failed = Error::stream;
    let mut encoder = encoder(store.writer()?).map_err(failed("pack a layer"))?;
    let mut hasher = Hasher::default();
    copy(&mut tar, &mut hasher, |bytes| encoder.write_all(bytes).map_err(failed("write a layer")))?;
    let blob = encoder.finish().map_err(failed("write a layer"))?;
    Ok((hasher.clone().finish(), hasher.bytes(), blob))
}

fn encoder(blob: BlobWriter) -> io::Result<zstd::Encoder<'static, BlobWriter>> {
    let mut encoder = zstd::Encoder::new(blob, LEVEL)?;
    // Any number of threads but none gives the same bytes.
    encoder.multithread(THREADS)?;
    encoder.set_parameter(zstd::zstd_safe::CParameter::JobSize(JOB_BYTES))?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

/// Keeps a packed archive as it is and looks what is in it.
fn keep(
    store: &Store,
    packed: impl BufRead,
    compression: Compression,
) -> Result<(Digest, u64, BlobWriter), Error> {
    let tee = Tee { packed, blob: store.writer()? };
    let mut decoder = Decoder::with(compression, buffered(tee)).map_err(Error::stream("unpack a layer"))?;
    let mut hasher = Hasher::default();
    copy(&mut decoder, &mut hasher, |_| Ok(()))?;
    // Whatever stands behind the last frame belongs to the blob too.
    let mut rest = decoder.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(Error::stream("read a layer"))?;
    Ok((hasher.clone().finish(), hasher.bytes(), rest.into_inner().blob))
}

/// Writes down all that is read through it.
struct Tee<R> {
    packed: R,
    blob: BlobWriter,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.packed.read(buffer)?;
        self.blob.write_all(&buffer[..read])?;
        Ok(read)
    }
}

pub(super) fn copy(
    from: &mut impl Read,
    hasher: &mut Hasher,
    mut to: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut buffer = vec![0; 1 << 17];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                if hasher.bytes() > LONGEST {
                    return Err(Error::TooLong { limit: LONGEST });
                }
                to(&buffer[..read])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::stream("read a layer")(error)),
        }
    }
}
