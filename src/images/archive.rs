//! A cache on its way to another machine, and back.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};

use camino::{Utf8Path, Utf8PathBuf};

use super::cache::Cache;
use super::export;
use super::make_error::Error;
use super::record::{ArchiveFile, Origin, Record};
use crate::fs;
use crate::model::image::{Digest, ImageName};
use crate::oci::{self, ArchivedImage, WantedArchive, read_archive, write_archive};
use crate::progress::{Progress, Step};

/// Puts all images of an archive into the cache, with what is known of them, and returns their names.
pub async fn import(cache: &Cache, path: &Utf8Path, progress: &Progress) -> Result<Vec<ImageName>, Error> {
    let (cache, path) = (cache.clone(), path.to_owned());
    let step = progress.begin("cache", format!("reading {path}"));
    let work = tokio::task::spawn_blocking(move || {
        let names = import_file(&cache, &path, &step);
        match &names {
            Ok(names) => step.done(format!("{} images are in the cache", names.len())),
            Err(_) => step.failed("the archive could not be read"),
        }
        names
    });
    work.await.expect("reading does not panic")
}

fn import_file(cache: &Cache, path: &Utf8Path, step: &Step) -> Result<Vec<ImageName>, Error> {
    let open = || File::open(path).map_err(|source| io_error("open", path, source));
    let read =
        read_archive(cache.store(), open()?, export::options(None, step)).map_err(export::Error::from)?;
    let has = |digest: &Digest| read.images.iter().any(|image| image.manifest.digest == *digest);
    let mut records: Vec<Record> =
        read.records.values().filter_map(|json| serde_json::from_slice(json).ok()).collect();
    records.retain(|record| has(&record.manifest.digest));
    let known: Vec<Digest> = records.iter().map(|record| record.manifest.digest).collect();
    // Of what comes without a record, the file itself is the origin.
    if read.images.iter().any(|image| !known.contains(&image.manifest.digest)) {
        let (size, modified_ns) = fs::fingerprint(path)?;
        let digest = oci::digest_of_file(path)?;
        let file = ArchiveFile { path: path.to_owned(), size, modified_ns, digest };
        let unknown = read.images.iter().filter(|image| !known.contains(&image.manifest.digest));
        records.extend(unknown.flat_map(|image| of_file(&file, image)));
    }
    records.iter().try_for_each(|record| cache.save(record))?;
    Ok(records.into_iter().map(|record| record.name).collect())
}

fn of_file<'a>(file: &'a ArchiveFile, image: &'a ArchivedImage) -> impl Iterator<Item = Record> + 'a {
    image.names.iter().map(move |name| {
        let origin = Origin::Archive { file: file.clone(), reference: Some(name.clone()) };
        Record::new(origin, name.clone(), image.manifest.clone(), image.config)
    })
}

/// Writes images with what is known of them. The file appears when it is whole.
pub async fn export(
    cache: &Cache,
    records: Vec<Record>,
    path: &Utf8Path,
    progress: &Progress,
) -> Result<Vec<ImageName>, Error> {
    let (cache, path) = (cache.clone(), path.to_owned());
    let step = progress.begin("cache", format!("writing {path}"));
    let work = tokio::task::spawn_blocking(move || {
        let written = export_file(&cache, &records, &path);
        match written {
            Ok(()) => step.done(format!("wrote {} images", records.len())),
            Err(_) => step.failed("the file could not be written"),
        }
        written.map(|()| records.into_iter().map(|record| record.name).collect())
    });
    work.await.expect("writing does not panic")
}

fn export_file(cache: &Cache, records: &[Record], path: &Utf8Path) -> Result<(), Error> {
    let mut wanted = WantedArchive::default();
    let mut named = BTreeSet::new();
    for record in records {
        // Of several that were called the same, the name means the one that was used last.
        let name = named.insert(&record.name).then(|| record.name.clone());
        let json = serde_json::to_vec_pretty(record).expect("a record is plain data");
        wanted.images.push((name.into_iter().collect(), record.manifest.clone()));
        wanted.records.insert(format!("{}.json", record.origin.key().hex()), json);
    }
    let partial = Utf8PathBuf::from(format!("{path}.partial"));
    let written = write_partial(cache, &wanted, &partial).and_then(|()| {
        Ok(std::fs::rename(&partial, path).map_err(|source| io_error("write", path, source))?)
    });
    if written.is_err() {
        fs::remove_file(&partial)?;
    }
    written
}

fn write_partial(cache: &Cache, wanted: &WantedArchive, path: &Utf8Path) -> Result<(), Error> {
    let file = File::create(path).map_err(|source| io_error("create", path, source))?;
    let mut to = BufWriter::with_capacity(1 << 18, file);
    write_archive(cache.store(), wanted, &mut to).map_err(export::Error::from)?;
    Ok(to.flush().map_err(|source| io_error("write", path, source))?)
}

fn io_error(what: &'static str, path: &Utf8Path, source: std::io::Error) -> oci::Error {
    oci::Error::Io { what, path: path.to_owned(), source }
}
