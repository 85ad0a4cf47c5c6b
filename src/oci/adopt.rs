//! A layer that is being downloaded into a file of the store's own, which becomes its blob where it lies.

use std::io::{self, BufRead, Read};

use camino::Utf8Path;

use super::codec::{Compression, Decoder, buffered};
use super::layer::{copy, pack};
use super::{BlobWriter, Error, Store, StoredLayer};
use crate::fs;
use crate::model::image::{Descriptor, Digest, Hasher};

/// Stores the layer whose blob is in the file at `path`. The file is moved and not copied, unless it has
/// to be packed or the store has this layer already.
///
/// `content` is all of the file, which may still be written while it is read here. A file that is not the
/// blob `wanted` stays where it is.
pub fn adopt_layer(
    store: &Store,
    path: &Utf8Path,
    wanted: &Digest,
    content: impl Read,
) -> Result<StoredLayer, Error> {
    let layer = read(store, wanted, content)?;
    if let Some(known) = store.layer(&layer.diff_id)? {
        fs::remove_file(path)?;
        return Ok(known);
    }
    let stored = |blob| StoredLayer { diff_id: layer.diff_id, blob, tar_bytes: layer.tar_bytes };
    if let Some(packed) = layer.packed {
        let (digest, size) = packed.finish()?;
        let stored = stored(Descriptor::new(Compression::Zstd.media_type(), digest, size));
        store.put_layer(&stored)?;
        fs::remove_file(path)?;
        return Ok(stored);
    }
    let stored = stored(Descriptor::new(layer.compression.media_type(), *wanted, layer.size));
    // A layer counts once its blob is there: who finds this file gone finds the layer.
    store.put_layer(&stored)?;
    let place = store.blob_path(wanted);
    let moved = std::fs::rename(path, &place);
    moved.map_err(|source| Error::Io { what: "write", path: place, source })?;
    Ok(stored)
}

/// Looks again at a blob of the store whose layer is not known by it.
pub fn recognize_layer(store: &Store, digest: &Digest) -> Result<Option<StoredLayer>, Error> {
    let Some(size) = store.size_of(digest) else { return Ok(None) };
    let content = store.reader(&Descriptor::new("", *digest, size))?;
    let layer = read(store, digest, content)?;
    let known = store.layer(&layer.diff_id)?;
    // Blobs that are not packed are none of the store's layers.
    if known.is_some() || layer.packed.is_some() {
        return Ok(known);
    }
    let blob = Descriptor::new(layer.compression.media_type(), *digest, size);
    let stored = StoredLayer { diff_id: layer.diff_id, blob, tar_bytes: layer.tar_bytes };
    store.put_layer(&stored)?;
    Ok(Some(stored))
}

/// What a blob turned out to be.
struct Seen {
    compression: Compression,
    diff_id: Digest,
    tar_bytes: u64,
    size: u64,
    /// What was not packed is now, on the way.
    packed: Option<BlobWriter>,
}

fn read(store: &Store, wanted: &Digest, content: impl Read) -> Result<Seen, Error> {
    let mut content = buffered(Hashed { from: content, hasher: Hasher::default() });
    let compression = Compression::of(content.fill_buf().map_err(Error::stream("read a layer"))?);
    let (unpacked, mut rest) = if compression == Compression::None {
        let packed = pack(store, &mut content);
        (packed.map(|(diff_id, tar_bytes, blob)| (diff_id, tar_bytes, Some(blob))), content)
    } else {
        let mut decoder = Decoder::with(compression, content).map_err(Error::stream("unpack a layer"))?;
        let mut hasher = Hasher::default();
        let copied = copy(&mut decoder, &mut hasher, |_| Ok(()));
        (copied.map(|()| (hasher.clone().finish(), hasher.bytes(), None)), decoder.into_inner())
    };
    // That a blob is not the one that it should be tells more than that it cannot be unpacked.
    if let Err(error) = io::copy(&mut rest, &mut io::sink()) {
        return Err(unpacked.err().unwrap_or_else(|| Error::stream("read a layer")(error)));
    }
    let hasher = rest.into_inner().hasher;
    let size = hasher.bytes();
    if hasher.finish() != *wanted {
        return Err(Error::Broken { digest: *wanted });
    }
    let (diff_id, tar_bytes, packed) = unpacked?;
    Ok(Seen { compression, diff_id, tar_bytes, size, packed })
}

/// Hashes all that is read through it.
struct Hashed<R> {
    from: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use camino::Utf8PathBuf;

    use super::*;
    use crate::fs::Access;

    fn store() -> (tempfile::TempDir, Store, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Utf8Path::from_path(dir.path()).unwrap().join("store")).unwrap();
        let part = store.temporary().join("x.part");
        (dir, store, part)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn adopt(store: &Store, part: &Utf8Path, blob: &[u8], wanted: &Digest) -> Result<StoredLayer, Error> {
        fs::write(part, blob, Access::Public).unwrap();
        adopt_layer(store, part, wanted, blob)
    }

    #[test]
    fn a_packed_layer_is_moved_and_a_plain_one_is_packed() {
        let (_dir, store, part) = store();
        let tar = b"a layer".repeat(5000);
        let plain = adopt(&store, &part, b"another", &Digest::of("another")).unwrap();
        assert_eq!((plain.diff_id, plain.tar_bytes), (Digest::of("another"), 7));
        assert_ne!(plain.blob.digest, plain.diff_id);
        let packed = gzip(&tar);
        let stored = adopt(&store, &part, &packed, &Digest::of(&packed)).unwrap();
        assert_eq!((stored.diff_id, stored.blob.digest), (Digest::of(&tar), Digest::of(&packed)));
        assert_eq!(store.layer(&stored.diff_id).unwrap(), Some(stored.clone()));
        assert!(fs::list(&store.temporary()).unwrap().is_empty());
        let again = adopt(&store, &part, &tar, &Digest::of(&tar)).unwrap();
        assert_eq!(again, stored, "it is known, and not packed a second time");
        assert!(fs::list(&store.temporary()).unwrap().is_empty());
    }

    #[test]
    fn another_blob_is_told_and_left_also_if_it_cannot_be_unpacked() {
        let (_dir, store, part) = store();
        let wanted = Digest::of("wanted");
        let broken = [&gzip(&b"x".repeat(5000))[..20], b"nonsense"].concat();
        for blob in [gzip(b"other"), b"other".to_vec(), broken, Vec::new()] {
            let error = adopt(&store, &part, &blob, &wanted).unwrap_err();
            assert!(matches!(error, Error::Broken { digest } if digest == wanted), "{error}");
            assert_eq!(fs::list(&store.temporary()).unwrap(), ["x.part"]);
        }
        assert!(fs::list(&store.root().join("blobs/sha256")).unwrap().is_empty());
    }

    #[test]
    fn a_blob_whose_layer_was_forgotten_is_recognized() {
        let (_dir, store, part) = store();
        let packed = gzip(b"tar");
        let digest = Digest::of(&packed);
        assert_eq!(recognize_layer(&store, &digest).unwrap(), None);
        let stored = adopt(&store, &part, &packed, &digest).unwrap();
        fs::remove_dir(&store.root().join("lab/layers")).unwrap();
        assert_eq!(store.layer(&stored.diff_id).unwrap(), None);
        assert_eq!(recognize_layer(&store, &digest).unwrap(), Some(stored.clone()));
        assert_eq!(store.layer(&stored.diff_id).unwrap(), Some(stored));
    }
}
