//! The images of a lab: made in the cache, and brought to all nodes at once.

mod list;
mod load;
mod plan;
mod reload;
mod shelf;

use std::collections::BTreeMap;

use futures_util::future::join_all;

use crate::checkpoint::Checkpoint;
use crate::config::Settings;
use crate::docker::Engine;
use crate::images::{Cache, Look, Record, Sources};
use crate::model::NodeName;
use crate::model::image::{Digest, ImageSpec, LoadImage, SharedImage};
use crate::oci::StoreLock;
use crate::progress::Progress;
use crate::provider::Provider;
use crate::registry;

use super::link::Link;
use super::stack::Destinations;
use super::{Error, Lab};

pub use list::{CacheRow, ImageRow, Size, list, list_cache};
pub use load::{Loaded, Trouble};
pub use plan::{Have, plan};
pub use reload::{Reload, Reloaded, reload};
pub use shelf::{Pruned, build, export, import, prune, pull, why};

/// A blob that is broken is made again, and another one may turn out to be so after it.
const TRIES: usize = 4;

/// What images are made with, the same for all labs of a user.
pub struct Images {
    pub cache: Cache,
    pub engine: Option<Engine>,
    pub registries: registry::Client,
}

impl Images {
    /// Returns what the images of one lab are made with.
    pub fn sources<'a>(&'a self, settings: &'a Settings, progress: &'a Progress) -> Sources<'a> {
        Sources {
            cache: &self.cache,
            engine: self.engine.as_ref(),
            registries: &self.registries,
            project: &settings.project,
            lab: &settings.lab,
            progress,
        }
    }
}

/// Which image each key stands for.
pub type ImageIds = BTreeMap<String, Digest>;

/// Images that are in the cache, and stay there as long as this is held.
pub struct Made {
    pub images: Vec<(ImageSpec, Record)>,
    _lock: Option<StoreLock>,
}

impl Made {
    pub fn shared(&self) -> Vec<SharedImage> {
        let shared = |(spec, record): &(ImageSpec, Record)| SharedImage {
            name: spec.name.clone(),
            manifest: record.manifest.clone(),
            id: record.id,
        };
        self.images.iter().map(shared).collect()
    }

    pub fn ids(&self) -> ImageIds {
        self.images.iter().map(|(spec, record)| (spec.key.clone(), record.id)).collect()
    }

    fn to_load(&self, cache: &Cache) -> Result<Vec<(String, LoadImage)>, crate::oci::Error> {
        let load = |(spec, record): &(ImageSpec, Record)| {
            Ok((spec.key.clone(), cache.load_image(record, &spec.name)?))
        };
        self.images.iter().map(load).collect()
    }
}

/// Waits until nobody removes anything from the cache, and keeps it so.
async fn share(cache: &Cache) -> Result<StoreLock, Error> {
    let cache = cache.clone();
    let locking = tokio::task::spawn_blocking(move || cache.share());
    Ok(locking.await.expect("taking a lock does not panic")?)
}

impl<P: Provider> Lab<'_, P> {
    pub fn sources(&self) -> Sources<'_> {
        self.images.sources(self.settings, self.progress)
    }

    /// Looks at the lab's images; a lab without any costs nothing.
    pub async fn look_at_images(&self) -> Result<Vec<Look>, Error> {
        if self.settings.images.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.sources().look(&self.settings.images).await?)
    }

    /// Makes the images that changed and remembers that the lab uses them.
    pub async fn make_images(&self, looks: Vec<Look>, is_forced: bool) -> Result<Made, Error> {
        if looks.is_empty() {
            return Ok(Made { images: Vec::new(), _lock: None });
        }
        let lock = share(&self.images.cache).await?;
        let sources = self.sources();
        let images = sources.make(looks, is_forced).await?;
        sources.remember(&self.settings.images, &images)?;
        Ok(Made { images, _lock: Some(lock) })
    }

    /// Loads images on all these nodes at once. A broken blob is made again on the way.
    pub async fn load_images(
        &self,
        made: &mut Made,
        links: &BTreeMap<NodeName, &Link>,
        destinations: &Destinations,
    ) -> Result<BTreeMap<NodeName, Loaded>, Error> {
        if made.images.is_empty() {
            return Ok(BTreeMap::new());
        }
        for _ in 1..TRIES {
            match self.try_load(made, links, destinations).await {
                Err(Trouble::Broken(digest)) => {
                    self.progress.note("cache", format!("{digest} is broken; it is made again"));
                    self.images.cache.store().discard(&digest)?;
                    let looks = self.look_at_images().await?;
                    let wanted = |look: &Look| made.images.iter().any(|(spec, _)| spec.key == look.spec.key);
                    let looks = looks.into_iter().filter(wanted).collect();
                    *made = self.make_images(looks, false).await?;
                }
                Err(Trouble::Other(error)) => return Err(error),
                Ok(loaded) => return Ok(loaded),
            }
        }
        self.try_load(made, links, destinations).await.map_err(|trouble| match trouble {
            Trouble::Broken(digest) => crate::oci::Error::Broken { digest }.into(),
            Trouble::Other(error) => error,
        })
    }

    async fn try_load(
        &self,
        made: &Made,
        links: &BTreeMap<NodeName, &Link>,
        destinations: &Destinations,
    ) -> Result<BTreeMap<NodeName, Loaded>, Trouble> {
        let cache = &self.images.cache;
        let images = match made.to_load(cache) {
            Err(error) if error.bad_blob().is_some() => {
                return Err(Trouble::Broken(error.bad_blob().expect("it was looked at")));
            }
            images => images?,
        };
        let work = links.iter().map(async |(node, link)| {
            let step = self.progress.begin(node.as_str(), "looking which images it has");
            let own = images.iter().filter(|(key, _)| destinations.include(key, node));
            let own: Vec<LoadImage> = own.map(|(_, image)| image.clone()).collect();
            let loaded = load::load(node, link, cache, &own, &step).await;
            match &loaded {
                Ok(loaded) => step.done(loaded.to_string()),
                Err(_) => step.failed("images could not be loaded"),
            }
            Checkpoint::ImagesLoaded.reached();
            ((*node).clone(), loaded)
        });
        let (mut ends, mut all) = (Vec::new(), BTreeMap::new());
        for (node, loaded) in join_all(work).await {
            match loaded {
                Ok(loaded) => drop(all.insert(node, loaded)),
                Err(Trouble::Other(error)) => ends.push(Err(Error::at(&node, "load images on")(error))),
                Err(broken) => return Err(broken),
            }
        }
        Error::gather(ends)?;
        Ok(all)
    }
}
