//! What is done with the cache alone, without any node: build, pull, import, export, prune, why.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8Path;

use crate::config::Settings;
use crate::images::{Look, Sources, State, Swept, archive, keep_base};
use crate::model::image::{ImageName, ImageSource, ImageSpec};
use crate::oci;
use crate::progress::Progress;
use crate::provider::container::prune_layers;
use crate::wait::{Stop, wait_until};

use super::super::Error;
use super::super::link::until_stopped;
use super::Images;

/// How long what removes waits for those that add.
const SWEEP_PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What `prune` took away.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Pruned {
    pub cache: Swept,
    /// Volumes with unpacked layers that no node uses.
    pub volumes: Vec<String>,
}

fn is_called(spec: &ImageSpec, name: &str) -> bool {
    spec.key == name || spec.name.familiar() == name
}

/// Returns the lab's images that were named, or all.
pub(super) fn chosen(settings: &Settings, names: &[String]) -> Result<Vec<ImageSpec>, Error> {
    for name in names {
        if !settings.images.iter().any(|spec| is_called(spec, name)) {
            let images: Vec<&str> = settings.images.iter().map(|spec| spec.key.as_str()).collect();
            let images = if images.is_empty() { "none".to_owned() } else { images.join(", ") };
            return Err(Error::NoImage { image: name.clone(), lab: settings.lab.clone(), images });
        }
    }
    let is_chosen = |spec: &&ImageSpec| names.is_empty() || names.iter().any(|name| is_called(spec, name));
    Ok(settings.images.iter().filter(is_chosen).cloned().collect())
}

/// Makes the images that changed, or all of them by force. Returns those that were made, and why.
pub async fn build(
    sources: &Sources<'_>,
    settings: &Settings,
    names: &[String],
    is_forced: bool,
    stop: &Stop,
) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let chosen = chosen(settings, names)?;
    let work = async {
        let looks = sources.look(&settings.images).await?;
        let looks: Vec<Look> =
            looks.into_iter().filter(|look| chosen.iter().any(|spec| spec.key == look.spec.key)).collect();
        let why = |look: &Look| match &look.state {
            State::Ready(_) if is_forced => {
                Some((look.spec.key.clone(), vec!["it was asked for".to_owned()]))
            }
            State::Ready(_) => None,
            State::Stale { why } => Some((look.spec.key.clone(), why.clone())),
        };
        let made = looks.iter().filter_map(why).collect();
        make(sources, settings, looks, is_forced).await?;
        Ok(made)
    };
    until_stopped(stop, work).await
}

async fn make(
    sources: &Sources<'_>,
    settings: &Settings,
    looks: Vec<Look>,
    is_forced: bool,
) -> Result<(), Error> {
    let _lock = super::share(sources.cache).await?;
    let made = sources.make(looks, is_forced).await?;
    Ok(sources.remember(&settings.images, &made)?)
}

/// Asks the registries again. What is named and is no image of the lab is fetched as a reference.
pub async fn pull(
    sources: &Sources<'_>,
    settings: &Settings,
    names: &[String],
    stop: &Stop,
) -> Result<usize, Error> {
    let pulls = |spec: &&ImageSpec| matches!(spec.source, ImageSource::Registry { .. });
    let others = settings.images.iter().filter(|spec| !pulls(spec));
    if let Some(image) = names.iter().find(|name| others.clone().any(|spec| is_called(spec, name))) {
        return Err(Error::NotPulled { image: image.clone() });
    }
    let mut looks = Vec::new();
    for name in names.iter().filter(|name| !settings.images.iter().any(|spec| is_called(spec, name))) {
        let reference = ImageName::parse(name)?;
        let spec = ImageSpec {
            key: name.clone(),
            name: reference.clone(),
            source: ImageSource::Registry { reference },
            platform: None,
        };
        looks.push(Look { spec, state: State::Stale { why: Vec::new() } });
    }
    let wanted = settings.images.iter().filter(pulls);
    let wanted = wanted.filter(|spec| names.is_empty() || names.iter().any(|name| is_called(spec, name)));
    looks.extend(wanted.map(|spec| Look { spec: spec.clone(), state: State::Stale { why: Vec::new() } }));
    let count = looks.len();
    until_stopped(stop, make(sources, settings, looks, true)).await.map(|()| count)
}

/// Puts the images of an archive into the cache; of a whole cache, also where they came from.
pub async fn import(
    images: &Images,
    file: &Utf8Path,
    progress: &Progress,
    stop: &Stop,
) -> Result<Vec<ImageName>, Error> {
    let work = async {
        let _lock = super::share(&images.cache).await?;
        Ok(archive::import(&images.cache, file, progress).await?)
    };
    until_stopped(stop, work).await
}

/// Writes the whole cache, or some images of the lab, to a file.
pub async fn export(
    sources: &Sources<'_>,
    settings: &Settings,
    names: &[String],
    file: &Utf8Path,
    stop: &Stop,
) -> Result<Vec<ImageName>, Error> {
    let work = async {
        let _lock = super::share(sources.cache).await?;
        let records = if names.is_empty() {
            if let Some(engine) = sources.engine {
                keep_base(engine, sources.cache, &settings.base_image, sources.progress).await?;
            }
            sources.cache.entries()?.into_iter().map(|entry| entry.record).collect()
        } else {
            let looks = sources.look(&chosen(settings, names)?).await?;
            let made = sources.make(looks, false).await?;
            made.into_iter().map(|(_, record)| record).collect()
        };
        Ok(archive::export(sources.cache, records, file, sources.progress).await?)
    };
    until_stopped(stop, work).await
}

/// Removes what no lab uses, as far as the cache is larger than `keep`.
pub async fn prune(images: &Images, keep: u64, is_rehearsal: bool) -> Result<Pruned, Error> {
    let swept = wait_until("no other lab uses the images", SWEEP_PATIENCE, LOOK_AGAIN, async || {
        let cache = images.cache.clone();
        let swept = tokio::task::spawn_blocking(move || cache.sweep(keep, is_rehearsal)).await;
        match swept.expect("sweeping does not panic") {
            Err(oci::Error::Busy { .. }) => None,
            swept => Some(swept),
        }
    });
    let busy = |_| oci::Error::Busy { path: images.cache.store().root().to_owned() };
    let swept = swept.await.map_err(busy)??;
    let volumes = match &images.engine {
        Some(engine) => prune_layers(engine, images.cache.store().root(), is_rehearsal).await?,
        None => Vec::new(),
    };
    Ok(Pruned { cache: swept, volumes })
}

/// Looks at one image.
pub async fn why(sources: &Sources<'_>, settings: &Settings, name: &str) -> Result<Look, Error> {
    let spec = chosen(settings, &[name.to_owned()])?.remove(0);
    let looks = sources.look(&settings.images).await?;
    Ok(looks.into_iter().find(|look| look.spec.key == spec.key).expect("every image is looked at"))
}
