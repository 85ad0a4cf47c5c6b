//! Where the base of a node's image comes from: in the engine, in the cache, from its registry, or
//! made from Debian packages.

use std::time::Duration;

use camino::Utf8Path;

use super::bootstrap::{self, Recipe};
use super::cache::Cache;
use super::load;
use super::node::Error;
use super::record::{Origin, Record};
use super::{export, recipe};
use crate::docker::Engine;
use crate::model::image::{Digest, ImageName};
use crate::progress::{Progress, Step};

/// The base that is also made from packages where it cannot be pulled.
pub(super) const DEFAULT: &str = "debian:bookworm-slim";
pub(super) const SUITE: &str = "bookworm";
const REPOSITORY: &str = "lab/base";
/// A registry that answers begins to within this time; a firewall that swallows packets never does.
const PULL_LIMIT: Duration = Duration::from_mins(3);

/// A base that the engine has.
pub(super) struct Base {
    pub(super) name: String,
    pub(super) id: String,
}

fn made_name() -> String {
    recipe().name()
}

/// Returns the base if the engine has it already.
pub(super) async fn find(engine: &Engine, wanted: &str) -> Result<Option<Base>, Error> {
    let made = (wanted == DEFAULT).then(made_name);
    for name in made.into_iter().chain([wanted.to_owned()]) {
        if let Some(id) = engine.image_id(&name).await? {
            return Ok(Some(Base { name, id }));
        }
    }
    Ok(None)
}

/// Takes the base out of the cache, fetches it from its registry, or makes it. What was fetched or made
/// is kept in the cache, for an engine that loses it, and for a machine that has nothing else.
pub(super) async fn obtain(
    engine: &Engine,
    wanted: &str,
    cache: &Cache,
    workshop: &Utf8Path,
    step: &Step,
) -> Result<Base, Error> {
    let key = if wanted == DEFAULT { made_name() } else { wanted.to_owned() };
    if let Some(record) = cache.find(&Origin::Base { key: key.clone() }.key())? {
        step.change(format!("taking {} out of the cache", record.name));
        load::give(engine, cache, &record).await?;
    }
    if let Some(base) = find(engine, wanted).await? {
        return Ok(base);
    }
    let base = fetch(engine, wanted, workshop, step).await?;
    step.change(format!("keeping {} in the cache", base.name));
    keep(engine, cache, key, &base, step).await?;
    Ok(base)
}

/// Sees to it that the cache has what nodes boot from, if the engine has it.
pub async fn keep_base(
    engine: &Engine,
    cache: &Cache,
    wanted: &str,
    progress: &Progress,
) -> Result<(), Error> {
    let key = if wanted == DEFAULT { made_name() } else { wanted.to_owned() };
    let Some(base) = find(engine, wanted).await? else { return Ok(()) };
    if cache.find(&Origin::Base { key: key.clone() }.key())?.is_some() {
        return Ok(());
    }
    let step = progress.begin("cache", format!("taking {} from the engine", base.name));
    keep(engine, cache, key, &base, &step).await?;
    step.done(format!("{} is in the cache", base.name));
    Ok(())
}

/// Takes a base of the engine into the cache.
pub(super) async fn keep(
    engine: &Engine,
    cache: &Cache,
    key: String,
    base: &Base,
    step: &Step,
) -> Result<(), Error> {
    let Ok(id) = Digest::parse(&base.id) else { return Ok(()) };
    let Ok(name) = ImageName::parse(&base.name) else { return Ok(()) };
    let _lock = cache.share()?;
    let mut images = export::from_engine(cache.store(), engine, &[id], step).await?;
    if let Some(image) = images.remove(&id) {
        cache.save(&Record::new(Origin::Base { key }, name, image.manifest, image.config))?;
    }
    Ok(())
}

async fn fetch(engine: &Engine, wanted: &str, workshop: &Utf8Path, step: &Step) -> Result<Base, Error> {
    match pull(engine, wanted, step).await {
        Err(Error::Pull { .. } | Error::PullHangs { .. }) if wanted == DEFAULT => {
            step.change(format!("{wanted} cannot be pulled here"));
            bootstrap::make(engine, &recipe(), workshop, step).await?;
        }
        pulled => pulled?,
    }
    find(engine, wanted).await?.ok_or_else(|| Error::Vanished { name: wanted.to_owned() })
}

/// Pulls a base. That it cannot be had is told apart from an engine that is gone.
pub(super) async fn pull(engine: &Engine, name: &str, step: &Step) -> Result<(), Error> {
    step.change(format!("pulling {name}"));
    match tokio::time::timeout(PULL_LIMIT, engine.pull_image(name)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) if source.is_engine_gone() => Err(source.into()),
        Ok(Err(source)) => Err(Error::Pull { name: name.to_owned(), source }),
        Err(_) => Err(Error::PullHangs { name: name.to_owned() }),
    }
}

fn recipe() -> Recipe {
    let fixed =
        ["--variant=apt".to_owned(), format!("--include=usr-is-merged,{}", recipe::packages().join(","))];
    let dpkg = recipe::dpkg_options().into_iter().map(|option| format!("--dpkgopt={option}"));
    Recipe {
        repository: REPOSITORY,
        tag: recipe::base_key(),
        suite: SUITE,
        options: fixed.into_iter().chain(dpkg).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_made_of_what_nodes_need() {
        let options = recipe().options;
        assert_eq!(options[0], "--variant=apt");
        assert!(options[1].starts_with("--include=usr-is-merged,"), "{}", options[1]);
        assert!(options.contains(&"--dpkgopt=path-exclude=/usr/share/man/*".to_owned()), "{options:?}");
    }
}
