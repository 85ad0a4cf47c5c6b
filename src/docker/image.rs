//! Images: looked up, pulled, built from a folder, or made from a root file system.

use bollard::models::CreateImageInfo;
use bollard::query_parameters::{BuildImageOptionsBuilder, CreateImageOptionsBuilder};
use bollard::{body_full, body_try_stream};
use camino::Utf8Path;
use futures_util::{Stream, StreamExt};
use tokio_util::io::ReaderStream;

use super::{Engine, Error, Labels};

/// An image to build: a folder as a tar archive, with a Dockerfile in it.
#[derive(Debug, Clone)]
pub struct Build {
    pub tag: String,
    pub context: Vec<u8>,
    pub args: Vec<(String, String)>,
    pub labels: Labels,
}

impl Engine {
    /// Returns the id of an image, or `None` if the engine has none by that name.
    pub async fn image_id(&self, name: &str) -> Result<Option<String>, Error> {
        match self.api.inspect_image(name).await.map_err(Error::of(format!("look up the image `{name}`"))) {
            Ok(image) => Ok(image.id),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Fetches an image from its registry.
    pub async fn pull_image(&self, name: &str) -> Result<(), Error> {
        let options = CreateImageOptionsBuilder::new().from_image(name).build();
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

    /// Builds an image and hands each line of the builder's output to `on_line`.
    pub async fn build_image(&self, build: Build, mut on_line: impl FnMut(&str)) -> Result<(), Error> {
        let args: std::collections::HashMap<String, String> = build.args.into_iter().collect();
        let labels: std::collections::HashMap<String, String> = build.labels.into_iter().collect();
        let options = BuildImageOptionsBuilder::new()
            .t(&build.tag)
            .buildargs(&args)
            .labels(&labels)
            .rm(true)
            .forcerm(true)
            .build();
        let mut steps = self.api.build_image(options, None, Some(body_full(build.context.into())));
        let mut log = String::new();
        while let Some(step) = steps.next().await {
            let step = step.map_err(|source| build_failed(&build.tag, source, &log))?;
            if let Some(detail) = step.error_detail {
                let message = detail.message.unwrap_or_default();
                return Err(Error::Build { tag: build.tag, message, log: last_lines(&log) });
            }
            if let Some(text) = step.stream {
                text.lines().filter(|line| !line.trim().is_empty()).for_each(&mut on_line);
                log += &text;
            }
        }
        Ok(())
    }
}

fn build_failed(tag: &str, source: bollard::errors::Error, log: &str) -> Error {
    match Error::of(format!("build the image `{tag}`"))(source) {
        Error::Refused { source, .. } => {
            Error::Build { tag: tag.to_owned(), message: source.to_string(), log: last_lines(log) }
        }
        lost => lost,
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
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
