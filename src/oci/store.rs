//! The store's folder: which file is where, and who may change it when.
//!
//! ```text
//! oci-layout, index.json      what makes it an OCI image layout, for other tools
//! blobs/sha256/<digits>       layers, configurations, manifests
//! lab/layers/<digits>.json    for each layer, by the digest of its tar archive, the blob that has it
//! lab/records/                where images came from (written by `images`)
//! lab/tmp/                    what is being written
//! lab/lock                    shared by who adds and reads, held alone by who removes
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use camino::{Utf8Path, Utf8PathBuf};

use super::{BlobReader, BlobWriter, Error, StoredLayer};
use crate::fs::{self, Access};
use crate::model::image::{Descriptor, Digest, Hasher, ImageConfig, ImageName, Manifest, WantedImage};

/// Manifests and configurations are read into memory; none that makes sense is larger.
const LARGEST_TEXT: u64 = 8 << 20;

#[derive(Debug, Clone)]
pub struct Store {
    root: Utf8PathBuf,
}

/// Others may use the store as we do, until this is dropped.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

impl Store {
    /// Opens the store at `root`, and makes it if it is not there.
    pub fn open(root: &Utf8Path) -> Result<Self, Error> {
        let store = Self { root: root.to_owned() };
        for folder in ["blobs/sha256", "lab/layers", "lab/records", "lab/tmp"] {
            fs::create_dir(&root.join(folder))?;
        }
        if fs::read_if_present(&root.join("oci-layout"))?.is_none() {
            fs::write(&root.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}\n", Access::Public)?;
        }
        Ok(store)
    }

    /// Opens a store to read from, which may not be there.
    pub fn at(root: &Utf8Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    pub fn records(&self) -> Utf8PathBuf {
        self.root.join("lab/records")
    }

    pub fn temporary(&self) -> Utf8PathBuf {
        self.root.join("lab/tmp")
    }

    pub fn blob_path(&self, digest: &Digest) -> Utf8PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    fn layer_path(&self, diff_id: &Digest) -> Utf8PathBuf {
        self.root.join("lab/layers").join(diff_id.hex() + ".json")
    }

    /// Waits until nobody removes anything, and keeps it so.
    pub fn share(&self) -> Result<StoreLock, Error> {
        let (path, file) = self.lock_file()?;
        file.lock_shared().map_err(|source| Error::Io { what: "lock", path, source })?;
        Ok(StoreLock { _file: file })
    }

    /// Takes the store for this process alone, to remove things from it, unless somebody uses it now.
    pub fn claim(&self) -> Result<StoreLock, Error> {
        let (path, file) = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(StoreLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Busy { path: self.root.clone() }),
            Err(TryLockError::Error(source)) => Err(Error::Io { what: "lock", path, source }),
        }
    }

    fn lock_file(&self) -> Result<(Utf8PathBuf, File), Error> {
        let path = self.root.join("lab/lock");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        match file {
            Ok(file) => Ok((path, file)),
            Err(source) => Err(Error::Io { what: "open", path, source }),
        }
    }

    /// Returns whether a blob is there, by its length; what is in it is checked when it is read.
    pub fn has(&self, blob: &Descriptor) -> bool {
        std::fs::metadata(self.blob_path(&blob.digest)).is_ok_and(|found| found.len() == blob.size)
    }

    /// Returns the length of a blob that is there.
    pub fn size_of(&self, digest: &Digest) -> Option<u64> {
        std::fs::metadata(self.blob_path(digest)).ok().map(|found| found.len())
    }

    pub fn reader(&self, blob: &Descriptor) -> Result<BlobReader, Error> {
        BlobReader::open(&self.blob_path(&blob.digest), &blob.digest, blob.size)
    }

    /// Returns a manifest or a configuration.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let size = self.size_of(digest).ok_or(Error::Missing { digest: *digest })?;
        if size > LARGEST_TEXT {
            return Err(Error::Broken { digest: *digest });
        }
        let mut bytes = Vec::new();
        let mut reader = BlobReader::open(&self.blob_path(digest), digest, size)?;
        reader.read_to_end(&mut bytes).map_err(Error::stream("read a blob"))?;
        Ok(bytes)
    }

    pub fn writer(&self) -> Result<BlobWriter, Error> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let temporary = self.temporary().join(format!("{}.{number}", std::process::id()));
        // Of an earlier process that had our number.
        fs::remove_file(&temporary)?;
        BlobWriter::create(temporary, self.root.join("blobs/sha256"))
    }

    /// Stores a manifest or a configuration.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        if self.size_of(&digest) == Some(bytes.len() as u64) {
            return Ok(digest);
        }
        let mut writer = self.writer()?;
        writer.write_all(bytes).map_err(Error::stream("write a blob"))?;
        writer.finish().map(|(digest, _)| digest)
    }

    /// Returns the layer with this archive, if its blob is there too.
    pub fn layer(&self, diff_id: &Digest) -> Result<Option<StoredLayer>, Error> {
        let text = fs::read_if_present(&self.layer_path(diff_id))?;
        let found: Option<StoredLayer> = text.and_then(|text| serde_json::from_str(&text).ok());
        Ok(found.filter(|layer| layer.diff_id == *diff_id && self.has(&layer.blob)))
    }

    /// Writes down which blob has a layer.
    pub fn put_layer(&self, layer: &StoredLayer) -> Result<(), Error> {
        let json = serde_json::to_string(layer).expect("a layer is plain data");
        Ok(fs::write(&self.layer_path(&layer.diff_id), json, Access::Public)?)
    }

    /// Throws a blob away that turned out to be broken.
    pub fn discard(&self, digest: &Digest) -> Result<(), Error> {
        Ok(fs::remove_file(&self.blob_path(digest))?)
    }

    /// Puts together what has to be known to send an image; all its blobs are there, by their lengths.
    pub fn image(&self, name: &ImageName, manifest: &Descriptor) -> Result<WantedImage, Error> {
        let parsed = Manifest::parse(&self.read(&manifest.digest)?)?;
        let config = ImageConfig::parse(&self.read(&parsed.config.digest)?)?;
        let missing = parsed.layers.iter().find(|layer| !self.has(layer));
        if let Some(layer) = missing {
            return Err(Error::Missing { digest: layer.digest });
        }
        let lengths: Vec<u64> = config
            .rootfs
            .diff_ids
            .iter()
            .map(|diff_id| {
                self.layer(diff_id)?.map(|layer| layer.tar_bytes).ok_or(Error::Missing { digest: *diff_id })
            })
            .collect::<Result<_, Error>>()?;
        Ok(WantedImage::new(name.clone(), manifest.clone(), &parsed, &config, &lengths)?)
    }
}

/// Returns the digest of a whole file.
pub fn digest_of_file(path: &Utf8Path) -> Result<Digest, Error> {
    let failed = |source| Error::Io { what: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let (mut hasher, mut buffer) = (Hasher::default(), vec![0; 1 << 17]);
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}
