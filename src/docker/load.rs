//! What an engine has in its image store, and how it is given more: one stream with any number of images.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::models::{BuildInfo, ImageManifestSummary, ImageManifestSummaryKindEnum as Kind, SystemInfo};
use bollard::query_parameters::{ImportImageOptions, ListImagesOptionsBuilder, RemoveImageOptions};
use futures_util::{Stream, StreamExt};
use tokio_util::bytes::Bytes;

use super::{Engine, Error};

const NO_NAME: &str = "<none>:<none>";
/// What newer engines say, as if it were good news, of an image that they cannot run.
const BAD_NEWS: &str = "Error unpacking image";
/// Engines of this API tell whether all blobs of an image are there.
const TELLS_MANIFESTS: (usize, usize) = (1, 48);
/// An engine answers only when it has the whole stream, so that nothing but silence can be limited.
const UNLIMITED: Duration = Duration::MAX;
/// A slow disk takes long for a large layer, and engines may say nothing in the meantime.
const LONGEST_SILENCE: Duration = Duration::from_mins(10);

/// An image as the engine lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedImage {
    pub id: String,
    /// Names with tags; none for an image that lost them all.
    pub names: Vec<String>,
}

/// What an engine keeps its images in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageStore {
    /// As in `overlay2`; containerd's snapshotters have such names too.
    pub driver: String,
    pub is_containerd: bool,
    /// Files of layers belong to other users than the image says.
    pub is_userns_remapped: bool,
}

impl Engine {
    /// Gives the engine a tar archive of images. Fails also where engines only mention that something went
    /// wrong; what was loaded before that stays.
    pub async fn load_images(
        &self,
        tar: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
    ) -> Result<(), Error> {
        let what = "load images";
        let pulse = Arc::new(Pulse::default());
        let api = self.api.clone().with_timeout(UNLIMITED);
        let steps = api.import_image_stream(ImportImageOptions::default(), watched(tar, &pulse), None);
        let loaded = to_the_end(steps, &pulse, LONGEST_SILENCE).await;
        match pulse.take_failure() {
            Some(source) => Err(Error::Fed { what: what.to_owned(), source }),
            None => loaded.map_err(Error::of(what)),
        }
    }

    /// Lists all images but those that others were built on.
    pub async fn images(&self) -> Result<Vec<ListedImage>, Error> {
        let options = ListImagesOptionsBuilder::new().build();
        let images = self.api.list_images(Some(options)).await.map_err(Error::of("list images"))?;
        let listed = |image: bollard::models::ImageSummary| {
            let names = image.repo_tags.into_iter().filter(|name| name != NO_NAME).collect();
            ListedImage { id: image.id, names }
        };
        Ok(images.into_iter().map(listed).collect())
    }

    /// Returns the digests of an image's layers, unpacked, from the bottom up; `None` if it is not there.
    pub async fn image_layers(&self, image: &str) -> Result<Option<Vec<String>>, Error> {
        let what = format!("look up the image `{image}`");
        match self.api.inspect_image(image).await.map_err(Error::of(what)) {
            Ok(found) => Ok(Some(found.root_fs.and_then(|root_fs| root_fs.layers).unwrap_or_default())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub async fn image_store(&self) -> Result<ImageStore, Error> {
        self.api.info().await.map(store_of).map_err(Error::of("describe itself"))
    }

    /// Removes an image, and returns whether it went: one that is used or has several names stays, and one
    /// that is not there cannot go.
    pub async fn remove_image(&self, image: &str) -> Result<bool, Error> {
        let removed = self.api.remove_image(image, None::<RemoveImageOptions>, None).await;
        match removed.map_err(Error::of(format!("remove the image `{image}`"))) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns whether all blobs of the image with this name and tag are there, or `None` if this engine
    /// cannot tell.
    pub async fn is_image_whole(&self, name: &str) -> Result<Option<bool>, Error> {
        let spoken = self.api.client_version();
        if (spoken.major_version, spoken.minor_version) < TELLS_MANIFESTS {
            return Ok(None);
        }
        let filters = [("reference", vec![name])].into();
        let options = ListImagesOptionsBuilder::new().filters(&filters).manifests(true).build();
        let what = format!("look up the image `{name}`");
        let images = self.api.list_images(Some(options)).await.map_err(Error::of(what))?;
        let found = images.into_iter().find(|image| image.repo_tags.iter().any(|tag| tag == name));
        Ok(found.map_or(Some(false), |image| image.manifests.as_deref().map(is_whole)))
    }
}

/// Images of other platforms, which nobody fetched, are listed as well; of those not even the kind is known.
fn is_whole(manifests: &[ImageManifestSummary]) -> bool {
    let mut images = manifests.iter().filter(|manifest| manifest.kind == Some(Kind::IMAGE)).peekable();
    images.peek().is_some() && images.all(|manifest| manifest.available)
}

fn store_of(info: SystemInfo) -> ImageStore {
    let status = info.driver_status.unwrap_or_default();
    ImageStore {
        driver: info.driver.unwrap_or_default(),
        is_containerd: status.iter().any(|pair| *pair == ["driver-type", "io.containerd.snapshotter.v1"]),
        is_userns_remapped: info.security_options.unwrap_or_default().iter().any(|it| it == "name=userns"),
    }
}

/// What is known of a stream that the engine is reading.
#[derive(Default)]
struct Pulse {
    bytes: AtomicU64,
    failure: Mutex<Option<io::Error>>,
}

impl Pulse {
    fn take_failure(&self) -> Option<io::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fail(&self, source: io::Error) -> io::Error {
        let kind = source.kind();
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
        kind.into()
    }
}

/// Keeps the stream's own failure: what comes of it at the engine, or in the client, says nothing.
fn watched(
    tar: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
    pulse: &Arc<Pulse>,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static {
    let pulse = Arc::clone(pulse);
    tar.map(move |piece| match piece {
        Ok(bytes) => {
            pulse.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            Ok(bytes)
        }
        Err(source) => Err(pulse.fail(source)),
    })
}

/// Reads all that the engine says, as long as it says or takes anything.
async fn to_the_end(
    steps: impl Stream<Item = Result<BuildInfo, bollard::errors::Error>>,
    pulse: &Pulse,
    longest_silence: Duration,
) -> Result<(), bollard::errors::Error> {
    let mut steps = pin!(steps);
    let mut taken = 0;
    loop {
        match tokio::time::timeout(longest_silence, steps.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(step)) => check(step?)?,
            Err(_) => {
                let before = std::mem::replace(&mut taken, pulse.bytes.load(Ordering::Relaxed));
                if before == taken {
                    return Err(bollard::errors::Error::RequestTimeoutError);
                }
            }
        }
    }
}

fn check(step: BuildInfo) -> Result<(), bollard::errors::Error> {
    let failed = |error| Err(bollard::errors::Error::DockerStreamError { error });
    if let Some(detail) = step.error_detail {
        return failed(detail.message.unwrap_or_else(|| "it does not say why".to_owned()));
    }
    match step.stream.or(step.status) {
        Some(text) if text.trim_start().starts_with(BAD_NEWS) => failed(text.trim().to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
