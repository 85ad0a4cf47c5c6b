//! Reads everything in the cache and compares it with what it should be.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::cache::Cache;
use crate::model::image::{Descriptor, Digest, ImageName};
use crate::oci;

const THREADS: usize = 2;

/// What a look at every byte found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    pub blobs: usize,
    pub bytes: u64,
    /// The blobs that were not what their names say, which are thrown away.
    pub broken: Vec<Digest>,
    /// The images that miss something, because of that or since before.
    pub images: Vec<ImageName>,
}

/// Checks all blobs and throws away what is broken. `tell` hears how many bytes have been read.
pub fn verify(cache: &Cache, tell: impl Fn(u64) + Sync) -> Result<Verified, oci::Error> {
    let blobs: Vec<Descriptor> =
        cache.all_blobs()?.into_iter().map(|(digest, size)| Descriptor::new("", digest, size)).collect();
    let (next, read, broken) = (AtomicUsize::new(0), AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<(), oci::Error> {
        while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            match check(cache, blob) {
                Err(error) if error.bad_blob().is_some() => {
                    cache.store().discard(&blob.digest)?;
                    broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(blob.digest);
                }
                checked => checked?,
            }
            tell(read.fetch_add(blob.size, Ordering::Relaxed) + blob.size);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("the work does not panic"))
    })?;
    let mut broken = broken.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    broken.sort();
    let incomplete = cache.entries()?.into_iter().filter(|entry| cache.wanted(&entry.record).is_err());
    let images: BTreeSet<ImageName> = incomplete.map(|entry| entry.record.name).collect();
    Ok(Verified {
        blobs: blobs.len(),
        bytes: blobs.iter().map(|blob| blob.size).sum(),
        broken,
        images: images.into_iter().collect(),
    })
}

fn check(cache: &Cache, blob: &Descriptor) -> Result<(), oci::Error> {
    let copied = std::io::copy(&mut cache.store().reader(blob)?, &mut std::io::sink());
    copied.map(drop).map_err(oci::Error::stream("read a blob"))
}
