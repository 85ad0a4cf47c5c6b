//! The programs that a machine is sent which can install none: they come out of an image of the cache.

use camino::Utf8Path;

use super::super::Error;
use crate::docker::Engine;
use crate::images::{Cache, Sources};
use crate::model::LabName;
use crate::model::image::{ImageName, ImageSource, ImageSpec};
use crate::oci;
use crate::progress::Progress;
use crate::registry;

/// The image with etcd, unless the lab has one of its own by the key `etcd`. Its version is pinned here.
const ETCD_IMAGE: &str = "rancher/mirrored-coreos-etcd:v3.5.12";
const KEY: &str = "etcd";
const PROGRAMS: [(&str, [&str; 3]); 2] = [
    ("etcd", ["usr/local/bin/etcd", "usr/bin/etcd", "bin/etcd"]),
    ("etcdctl", ["usr/local/bin/etcdctl", "usr/bin/etcdctl", "bin/etcdctl"]),
];

/// What images are made with, and which the lab has.
pub struct Images {
    pub cache: Cache,
    pub engine: Option<Engine>,
    pub registries: registry::Client,
    pub specs: Vec<ImageSpec>,
}

/// Returns etcd and etcdctl.
pub(super) async fn find(
    images: &Images,
    project: &Utf8Path,
    lab: &LabName,
) -> Result<Vec<(&'static str, Vec<u8>)>, Error> {
    let own = images.specs.iter().find(|spec| spec.key == KEY);
    let spec = own.cloned().unwrap_or_else(default);
    let (Images { cache, engine, registries, .. }, progress) = (images, Progress::silent());
    let sources = Sources { cache, engine: engine.as_ref(), registries, project, lab, progress: &progress };
    let looks = sources.look(std::slice::from_ref(&spec)).await.map_err(Error::Make)?;
    let made = sources.make(looks, false).await.map_err(Error::Make)?;
    let Some((spec, record)) = made.first() else { return Ok(Vec::new()) };
    let image = cache.store().image(&spec.name, &record.manifest)?;
    let cache = cache.clone();
    let reading = tokio::task::spawn_blocking(move || {
        PROGRAMS
            .iter()
            .map(|(name, paths)| {
                let found = oci::read_file(cache.store(), &image, paths)?;
                let content =
                    found.ok_or(Error::NoProgram { program: name, image: image.name.familiar() })?;
                Ok((*name, content))
            })
            .collect()
    });
    reading.await.expect("reading an image does not panic")
}

fn default() -> ImageSpec {
    let reference = ImageName::parse(ETCD_IMAGE).expect("it is a name");
    ImageSpec {
        key: KEY.to_owned(),
        name: reference.clone(),
        source: ImageSource::Registry { reference },
        platform: None,
    }
}
