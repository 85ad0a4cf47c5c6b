//! Where the images of a lab come from, one after the other: looks whether what goes into each is still
//! what it was.

mod make;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::build::{self, Inputs, Wanted};
use super::cache::Cache;
use super::lock_file::LockFile;
use super::make_error::Error;
use super::record::{ArchiveFile, Origin, Record, Uses};
use crate::docker::Engine;
use crate::fs;
use crate::model::LabName;
use crate::model::image::{BuildSource, Digest, ImageName, ImageSource, ImageSpec, Platform};
use crate::oci;
use crate::progress::Progress;
use crate::registry;

/// What images are made with.
pub struct Sources<'a> {
    pub cache: &'a Cache,
    /// Only builds, and images that an engine has, need one.
    pub engine: Option<&'a Engine>,
    pub registries: &'a registry::Client,
    pub project: &'a Utf8Path,
    pub lab: &'a LabName,
    pub progress: &'a Progress,
}

/// An image of the lab, and whether the cache has it as it is to be.
#[derive(Debug, Clone)]
pub struct Look {
    pub spec: ImageSpec,
    pub state: State,
}

#[derive(Debug, Clone)]
pub enum State {
    Ready(Box<Record>),
    /// It has to be made, for these reasons.
    Stale {
        why: Vec<String>,
    },
}

impl Look {
    pub fn record(&self) -> Option<&Record> {
        match &self.state {
            State::Ready(record) => Some(record),
            State::Stale { .. } => None,
        }
    }
}

impl Sources<'_> {
    /// Looks at every image; what is built on another one of the lab comes after it. Nothing is changed.
    pub async fn look(&self, specs: &[ImageSpec]) -> Result<Vec<Look>, Error> {
        let uses = self.cache.uses(self.project, self.lab)?;
        let lock = LockFile::load(self.project)?;
        let mut looks: Vec<Look> = Vec::new();
        for spec in self.in_order(specs).await? {
            let last = uses.images.get(&spec.key).map(|key| self.cache.find(key)).transpose()?.flatten();
            let state = match &spec.source {
                ImageSource::Build(source) => {
                    self.look_at_build(&spec, source, (&uses, &lock), &looks).await?
                }
                ImageSource::Registry { reference } => {
                    let digest = reference.digest().copied();
                    let digest = digest.or_else(|| lock.pin(reference, spec.platform.as_ref()));
                    self.look_at_registry(reference, digest, spec.platform.clone())?
                }
                ImageSource::Engine { reference } => self.look_at_engine(reference, last).await?,
                ImageSource::Archive { path, reference } => {
                    self.look_at_archive(path, reference.as_ref(), last).await?
                }
            };
            looks.push(Look { spec, state });
        }
        Ok(looks)
    }

    fn state(&self, origin: &Origin, why: impl FnOnce() -> Vec<String>) -> Result<State, Error> {
        let found = self.cache.find(&origin.key())?;
        Ok(found.map_or_else(|| State::Stale { why: why() }, |record| State::Ready(Box::new(record))))
    }

    async fn look_at_build(
        &self,
        spec: &ImageSpec,
        source: &BuildSource,
        (uses, lock): (&Uses, &LockFile),
        looks: &[Look],
    ) -> Result<State, Error> {
        let engine = self.engine(&spec.key)?;
        let known = looks.iter().filter_map(|look| Some((look.spec.name.clone(), look.record()?.id)));
        let (known, pins) = (known.collect(), lock.pins(spec.platform.as_ref()));
        let mut inputs = build::inputs(engine, &wanted(spec, source, &known, &pins)).await?;
        let is_changing =
            |look: &&Look| look.record().is_none() && inputs.bases.contains_key(&look.spec.name.unpinned());
        if let Some(base) = looks.iter().find(is_changing) {
            return Ok(State::Stale { why: vec![format!("its base {} is made again", base.spec.key)] });
        }
        let last = uses.images.get(&spec.key).and_then(|key| self.cache.record(key).ok().flatten());
        let last = match last.map(|record| record.origin) {
            Some(Origin::Build { inputs: old }) => {
                inputs = inputs.with_bases_of(&old);
                Some(old)
            }
            _ => None,
        };
        let origin = Origin::Build { inputs: inputs.clone() };
        if last.is_none()
            && let Some(record) = self.made_elsewhere(&inputs)?
        {
            return Ok(State::Ready(Box::new(record)));
        }
        self.state(&origin, || match last {
            Some(old) => changes(&old, &inputs),
            None => vec!["it was not built before".to_owned()],
        })
    }

    /// Finds an image that came with a cache from elsewhere, made of the same as here.
    fn made_elsewhere(&self, inputs: &Inputs) -> Result<Option<Record>, Error> {
        for entry in self.cache.entries()? {
            if let Origin::Build { inputs: there } = &entry.record.origin
                && inputs.is_like(there)
                && let Some(record) = self.cache.find(&entry.key)?
            {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Returns the images so that each comes after those of the lab that it is built on.
    async fn in_order(&self, specs: &[ImageSpec]) -> Result<Vec<ImageSpec>, Error> {
        let (nothing, no_pins) = (BTreeMap::new(), BTreeMap::new());
        let mut built_on = Vec::new();
        for spec in specs {
            let below = match &spec.source {
                ImageSource::Build(source) => {
                    build::names_below(&wanted(spec, source, &nothing, &no_pins)).await?
                }
                _ => Vec::new(),
            };
            built_on.push((spec.name.clone(), below));
        }
        let places = build::order(&built_on)?;
        Ok(places.into_iter().map(|place| specs[place].clone()).collect())
    }

    fn look_at_registry(
        &self,
        reference: &ImageName,
        digest: Option<Digest>,
        platform: Option<Platform>,
    ) -> Result<State, Error> {
        let Some(digest) = digest else {
            return Ok(State::Stale { why: vec!["it was not pulled before".to_owned()] });
        };
        let origin = Origin::Registry { reference: reference.clone(), digest, platform };
        self.state(&origin, || vec![format!("the cache does not have {}", digest.short())])
    }

    async fn look_at_engine(&self, reference: &ImageName, last: Option<Record>) -> Result<State, Error> {
        let name = reference.familiar();
        let id = match self.engine {
            Some(engine) => engine.image_id(&name).await?.and_then(|id| Digest::parse(&id).ok()),
            None => None,
        };
        match (id, last) {
            (Some(id), last) => self.state(&Origin::Engine { reference: reference.clone(), id }, || {
                vec![match last {
                    Some(_) => "the engine has another image of that name now".to_owned(),
                    None => "it was not taken from the engine before".to_owned(),
                }]
            }),
            // What was taken once does not depend on the engine any more.
            (None, _) => self.state_elsewhere(reference),
        }
    }

    /// Of an image that the engine lost, or that came with a cache from elsewhere, the cache is all there is.
    fn state_elsewhere(&self, reference: &ImageName) -> Result<State, Error> {
        let is_it =
            |origin: &Origin| matches!(origin, Origin::Engine { reference: there, .. } if there == reference);
        let entries = self.cache.entries()?;
        let found = entries.iter().find(|entry| is_it(&entry.record.origin));
        let record = found.map(|entry| self.cache.find(&entry.key)).transpose()?.flatten();
        let why = || vec!["neither the engine nor the cache has it".to_owned()];
        Ok(record.map_or_else(|| State::Stale { why: why() }, |record| State::Ready(Box::new(record))))
    }

    async fn look_at_archive(
        &self,
        path: &Utf8Path,
        reference: Option<&ImageName>,
        last: Option<Record>,
    ) -> Result<State, Error> {
        let known = match last.map(|record| record.origin) {
            Some(Origin::Archive { file, .. }) => Some(file),
            _ => None,
        };
        let file = archive_file(path.to_owned(), known).await?;
        let origin = Origin::Archive { file, reference: reference.cloned() };
        self.state(&origin, || vec!["this archive was not read before".to_owned()])
    }

    fn engine(&self, image: &str) -> Result<&Engine, Error> {
        self.engine.ok_or_else(|| Error::NeedsEngine { image: image.to_owned() })
    }

    /// Writes down what the lab uses from now on.
    pub fn remember(&self, specs: &[ImageSpec], made: &[(ImageSpec, Record)]) -> Result<(), Error> {
        let mut uses = self.cache.uses(self.project, self.lab)?;
        let before = uses.images.clone();
        uses.images.retain(|key, _| specs.iter().any(|spec| spec.key == *key));
        uses.images.extend(made.iter().map(|(spec, record)| (spec.key.clone(), record.origin.key())));
        if uses.images != before {
            self.cache.save_uses(self.lab, &uses)?;
        }
        Ok(())
    }
}

fn wanted<'a>(
    spec: &'a ImageSpec,
    source: &'a BuildSource,
    known: &'a BTreeMap<ImageName, Digest>,
    pins: &'a BTreeMap<ImageName, Digest>,
) -> Wanted<'a> {
    Wanted { name: &spec.name, source, platform: spec.platform.as_ref(), known, pins, is_fresh: false }
}

fn changes(old: &Inputs, new: &Inputs) -> Vec<String> {
    let changes: Vec<String> = build::diff(old, new).iter().map(ToString::to_string).collect();
    if changes.is_empty() { vec!["the cache lost a part of it".to_owned()] } else { changes }
}

/// Returns what a file is; one that is still as `known` says is not read.
async fn archive_file(path: Utf8PathBuf, known: Option<ArchiveFile>) -> Result<ArchiveFile, Error> {
    let looking = tokio::task::spawn_blocking(move || {
        let (size, modified_ns) = fs::fingerprint(&path)?;
        if let Some(known) = known
            && (&known.path, known.size, known.modified_ns) == (&path, size, modified_ns)
        {
            return Ok(known);
        }
        let digest = oci::digest_of_file(&path)?;
        Ok(ArchiveFile { path, size, modified_ns, digest })
    });
    looking.await.expect("reading does not panic")
}
