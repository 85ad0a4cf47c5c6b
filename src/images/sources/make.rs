//! Makes the images that have to be made: each by its source, and those that come out of the engine all at
//! once.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;

use super::{Look, Sources, State, archive_file, wanted};
use crate::checkpoint::Checkpoint;
use crate::docker::Engine;
use crate::images::build::{self, Wanted};
use crate::images::lock_file::LockFile;
use crate::images::make_error::Error;
use crate::images::record::{Origin, Record};
use crate::images::{debian, export, load, pull};
use crate::model::image::{BuildSource, Digest, ImageName, ImageSource, ImageSpec};
use crate::progress::Step;

impl Sources<'_> {
    /// Makes all images that have to be made, whatever their state if `is_forced`, and returns all.
    pub async fn make(&self, looks: Vec<Look>, is_forced: bool) -> Result<Vec<(ImageSpec, Record)>, Error> {
        let mut made: Vec<(ImageSpec, Record)> = Vec::new();
        let mut exports = Vec::new();
        // What others are built on, whether it is in the cache already or only in the engine.
        let mut known = BTreeMap::new();
        for look in looks {
            let name = look.spec.name.clone();
            let end = match look.state {
                State::Ready(record) if !is_forced => Made::Stored(record),
                _ => self.make_one(&look.spec, &known, is_forced).await?,
            };
            match end {
                Made::Stored(record) => {
                    known.insert(name, record.id);
                    made.push((look.spec, *record));
                }
                Made::InEngine(origin, id) => {
                    known.insert(name, id);
                    exports.push(Export { spec: look.spec, origin: *origin, id });
                }
            }
        }
        made.extend(self.export(exports).await?);
        made.sort_by(|a, b| a.0.key.cmp(&b.0.key));
        Ok(made)
    }

    async fn make_one(
        &self,
        spec: &ImageSpec,
        known: &BTreeMap<ImageName, Digest>,
        is_forced: bool,
    ) -> Result<Made, Error> {
        let step = self.progress.begin(spec.key.clone(), "making");
        let result = match &spec.source {
            ImageSource::Build(source) => self.build((spec, source), known, is_forced, &step).await,
            ImageSource::Registry { reference } => self.pull(spec, reference, is_forced, &step).await,
            ImageSource::Engine { reference } => self.take(reference).await,
            ImageSource::Archive { path, reference } => {
                self.read(spec, path, reference.as_ref(), &step).await
            }
        };
        match &result {
            Ok(Made::Stored(record)) => step.done(format!("{} is in the cache", record.name)),
            Ok(Made::InEngine(_, id)) => step.done(format!("the engine has it as {}", id.short())),
            Err(_) => step.failed("could not be made"),
        }
        Checkpoint::ImageMade.reached();
        result
    }

    async fn build(
        &self,
        (spec, source): (&ImageSpec, &BuildSource),
        known: &BTreeMap<ImageName, Digest>,
        is_forced: bool,
        step: &Step,
    ) -> Result<Made, Error> {
        let engine = self.engine(&spec.key)?;
        let pins = LockFile::load(self.project)?.pins(spec.platform.as_ref());
        let wanted = Wanted { is_fresh: is_forced, ..wanted(spec, source, known, &pins) };
        self.bring_bases(engine, &wanted, step).await?;
        let built = build::build(engine, &wanted, step).await?;
        self.pin_bases(engine, &wanted).await?;
        Ok(Made::InEngine(Box::new(Origin::Build { inputs: built.inputs }), built.id))
    }

    /// Gives the engine what it is to build on and does not have: what the cache has, and what `lab` provides.
    async fn bring_bases(&self, engine: &Engine, wanted: &Wanted<'_>, step: &Step) -> Result<(), Error> {
        for name in build::names_below(wanted).await? {
            if let Some(id) = wanted.known.get(&name) {
                if engine.image_id(&id.to_string()).await?.is_none()
                    && let Some(record) = self.cache.with_id(id)?
                {
                    load::give(engine, self.cache, &record).await?;
                }
            } else if let Some(suite) = debian::suite(&name) {
                debian::bring(engine, self.cache, suite, step).await?;
            }
        }
        Ok(())
    }

    /// Writes down what the names of bases meant that came from a registry.
    async fn pin_bases(&self, engine: &Engine, wanted: &Wanted<'_>) -> Result<(), Error> {
        for name in build::names_below(wanted).await? {
            let is_settled = wanted.known.contains_key(&name) || wanted.pins.contains_key(&name);
            if is_settled || name.digest().is_some() || debian::suite(&name).is_some() {
                continue;
            }
            let digests = engine.find_image(&name.familiar()).await?.map(|found| found.digests);
            let mut digests = digests.iter().flatten().filter_map(|text| ImageName::parse(text).ok());
            let is_same = |other: &ImageName| {
                (other.registry(), other.repository()) == (name.registry(), name.repository())
            };
            if let Some(digest) = digests.find(is_same).and_then(|found| found.digest().copied()) {
                LockFile::update(self.project, |lock| lock.set(&name, wanted.platform, digest))?;
            }
        }
        Ok(())
    }

    async fn pull(
        &self,
        spec: &ImageSpec,
        reference: &ImageName,
        is_forced: bool,
        step: &Step,
    ) -> Result<Made, Error> {
        let lock = LockFile::load(self.project)?;
        let platform = spec.platform.as_ref();
        let pin = lock.pin(reference, platform).filter(|_| !is_forced);
        let asked = pin.map_or_else(|| reference.clone(), |digest| reference.pinned(digest));
        step.change(format!("pulling {asked}"));
        let pulled = pull::pull(self.cache.store(), self.registries, &asked, platform, step).await?;
        if reference.digest().is_none() {
            LockFile::update(self.project, |lock| lock.set(reference, platform, pulled.digest))?;
        }
        let origin = Origin::Registry {
            reference: reference.clone(),
            digest: pulled.digest,
            platform: spec.platform.clone(),
        };
        let record = Record::new(origin, spec.name.clone(), pulled.manifest, pulled.id);
        self.cache.save(&record)?;
        Ok(Made::Stored(Box::new(record)))
    }

    async fn take(&self, reference: &ImageName) -> Result<Made, Error> {
        let name = reference.familiar();
        let id = self.engine(&name)?.image_id(&name).await?.and_then(|id| Digest::parse(&id).ok());
        let id = id.ok_or(Error::NotInEngine { name })?;
        Ok(Made::InEngine(Box::new(Origin::Engine { reference: reference.clone(), id }), id))
    }

    async fn read(
        &self,
        spec: &ImageSpec,
        path: &Utf8Path,
        reference: Option<&ImageName>,
        step: &Step,
    ) -> Result<Made, Error> {
        let file = archive_file(path.to_owned(), None).await?;
        let images = export::from_file(self.cache.store(), path, spec.platform.as_ref(), step).await?;
        let chosen = export::choose(&images, reference, path)?;
        let origin = Origin::Archive { file, reference: reference.cloned() };
        let record = Record::new(origin, spec.name.clone(), chosen.manifest.clone(), chosen.config);
        self.cache.save(&record)?;
        Ok(Made::Stored(Box::new(record)))
    }

    /// Takes images from the engine, all in one stream, so that what they share is read once.
    async fn export(&self, exports: Vec<Export>) -> Result<Vec<(ImageSpec, Record)>, Error> {
        let mut stored = BTreeMap::new();
        for export in &exports {
            if let Some(record) = self.cache.with_id(&export.id)? {
                stored.insert(export.id, (record.manifest, record.id));
            }
        }
        let missing: BTreeSet<Digest> = exports.iter().map(|export| export.id).collect();
        let missing: Vec<Digest> = missing.into_iter().filter(|id| !stored.contains_key(id)).collect();
        if !missing.is_empty() {
            let engine = self.engine(&exports[0].spec.key)?;
            let step = self.progress.begin("cache", "taking images from the engine");
            let images = export::from_engine(self.cache.store(), engine, &missing, &step).await?;
            stored.extend(images.into_iter().map(|(id, image)| (id, (image.manifest, image.config))));
            step.done("images are in the cache");
        }
        let record = |export: Export| {
            let (manifest, id) = stored.get(&export.id).cloned().expect("all were there or were taken");
            let record = Record::new(export.origin, export.spec.name.clone(), manifest, id);
            self.cache.save(&record)?;
            Ok((export.spec, record))
        };
        exports.into_iter().map(record).collect()
    }
}

enum Made {
    Stored(Box<Record>),
    InEngine(Box<Origin>, Digest),
}

struct Export {
    spec: ImageSpec,
    origin: Origin,
    id: Digest,
}
