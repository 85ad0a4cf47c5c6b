//! Images: looked up, named, pulled, or made from a root file system.

use bollard::body_try_stream;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::{CreateImageOptionsBuilder, TagImageOptionsBuilder};
use camino::Utf8Path;
use futures_util::{Stream, StreamExt};
use tokio_util::io::ReaderStream;

use super::{Engine, Error};

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundImage {
    pub id: String,
    /// By which digests registries know it, each with its repository; none for an image made here.
    pub digests: Vec<String>,
}

impl Engine {
    /// Returns the id of an image, or `None` if the engine has none by that name.
    pub async fn image_id(&self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.find_image(name).await?.map(|image| image.id))
    }

    pub async fn find_image(&self, name: &str) -> Result<Option<FoundImage>, Error> {
        match self.api.inspect_image(name).await.map_err(Error::of(format!("look up the image `{name}`"))) {
            Ok(image) => {
                let digests = image.repo_digests.unwrap_or_default();
                Ok(image.id.map(|id| FoundImage { id, digests }))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives an image another name, which moves to it from whatever had it.
    pub async fn tag_image(&self, image: &str, repository: &str, tag: &str) -> Result<(), Error> {
        let options = TagImageOptionsBuilder::new().repo(repository).tag(tag).build();
        let tagged = self.api.tag_image(image, Some(options)).await;
        tagged.map_err(Error::of(format!("call the image `{image}` `{repository}:{tag}`")))
    }

    /// Fetches an image from its registry.
    pub async fn pull_image(&self, name: &str) -> Result<(), Error> {
        self.pull_image_for(name, "").await
    }

    /// Fetches an image for a platform, such as `linux/arm64`; an empty one is the engine's own.
    pub async fn pull_image_for(&self, name: &str, platform: &str) -> Result<(), Error> {
        let options = CreateImageOptionsBuilder::new().from_image(name).platform(platform).build();
        let steps = self.api.create_image(Some(options), None, None);
        to_the_end(steps, &format!("pull the image `{name}`")).await
    }

    /// Makes an image from an archive of a root file system. The archive is streamed, not read into memory.
    pub async fn import_image(&self, archive: &Utf8Path, repository: &str, tag: &str) -> Result<(), Error> {
        let what = format!("make the image `{repository}:{tag}` from `{archive}`");
        let opened = tokio::fs::File::open(archive).await;
        let file = opened.map_err(|source| Error::of(what.clone())(source.into()))?;
        let body = body_try_stream(ReaderStream::with_capacity(file, 1 << 18));
        let options = CreateImageOptionsBuilder::new().from_src("-").repo(repository).tag(tag).build();
        to_the_end(self.api.create_image(Some(options), Some(body), None), &what).await
    }
}

async fn to_the_end(
    steps: impl Stream<Item = Result<CreateImageInfo, bollard::errors::Error>>,
    what: &str,
) -> Result<(), Error> {
    let mut steps = std::pin::pin!(steps);
    while let Some(step) = steps.next().await {
        let step = step.map_err(Error::of(what))?;
        if let Some(message) = step.error_detail.and_then(|detail| detail.message) {
            return Err(Error::of(what)(bollard::errors::Error::DockerStreamError { error: message }));
        }
    }
    Ok(())
}
