//! Building an image on the engine of this host.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::bytes::Bytes;

use super::{Base, Context, Error, FileInput, Inputs, Options, bases, held};
use crate::docker::{Build, BuildContext, Engine};
use crate::model::image::{BuildSource, Digest, ImageName, Platform};
use crate::progress::Step;

/// How many writes to the engine may wait in memory; each is a buffer of 128 KiB.
const WAITING: usize = 4;

const PATIENCE: Duration = Duration::from_secs(2);

type Sending = JoinHandle<Result<BTreeMap<String, FileInput>, Error>>;

/// An image to build.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub name: &'a ImageName,
    pub source: &'a BuildSource,
    pub platform: Option<&'a Platform>,
    /// The ids of the images of the lab that were built already.
    pub known: &'a BTreeMap<ImageName, Digest>,
    /// What the lock file says of base images: the digests by which registries know them.
    pub pins: &'a BTreeMap<ImageName, Digest>,
    /// Whether no step of an earlier build is taken for one of this.
    pub is_fresh: bool,
}

/// An image that was built, and what from: not what lay in the folder before, but what the engine got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    pub id: Digest,
    pub inputs: Inputs,
}

impl Wanted<'_> {
    fn options(&self) -> Options<'_> {
        let args = self.source.args.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Options { args: args.collect(), target: self.source.target.as_deref(), platform: self.platform }
    }

    fn bases(&self, context: &Context) -> Result<Vec<Base>, Error> {
        bases(&context.dockerfile.text, &self.source.args, self.source.target.as_deref())
            .map_err(|source| Error::Dockerfile { path: context.dockerfile.path.clone(), source })
    }

    /// Opens the folder, and says what its Dockerfile builds on.
    async fn open(&self) -> Result<(Context, Vec<Base>), Error> {
        let source = self.source.clone();
        let context = off_thread(move || Context::open(&source)).await?;
        let bases = self.bases(&context)?;
        Ok((context, bases))
    }

    fn request(&self, context: &Context, stream: BuildContext) -> Build {
        Build {
            dockerfile: context.dockerfile.name.clone(),
            args: self.source.args.clone().into_iter().collect(),
            target: self.source.target.clone(),
            platform: self.platform.map(written),
            is_fresh: self.is_fresh,
            ..Build::new(self.name.familiar(), stream)
        }
    }
}

/// Returns a platform as engines and Dockerfiles write it.
pub fn written(platform: &Platform) -> String {
    let variant = platform.variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
    format!("{}/{}{variant}", platform.os, platform.architecture)
}

/// Returns the names of the images that a folder builds on, to find out what to build first.
pub async fn names_below(wanted: &Wanted<'_>) -> Result<Vec<ImageName>, Error> {
    let (_, bases) = wanted.open().await?;
    Ok(bases.into_iter().map(|base| base.name).collect())
}

/// Returns what a build would depend on now. A base that the engine does not have is `None` in it.
pub async fn inputs(engine: &Engine, wanted: &Wanted<'_>) -> Result<Inputs, Error> {
    let (context, bases) = wanted.open().await?;
    let (context, files) = off_thread(move || context.read().map(|files| (context, files))).await?;
    whole(engine, wanted, &context, (files, &bases)).await
}

/// Builds an image. Lines that the builder prints are output of `step`; when this is dropped, the engine
/// stops building.
pub async fn build(engine: &Engine, wanted: &Wanted<'_>, step: &Step) -> Result<Built, Error> {
    let (context, bases) = wanted.open().await?;
    held::hold(engine, &bases, wanted, step).await?;
    step.change(format!("building {}", wanted.name));
    let (stream, sending) = send(context.clone());
    let built = engine.build_image(wanted.request(&context, stream), |line| step.output(line)).await;
    let id = match built {
        Ok(id) => id,
        Err(error) => return Err(why(error.into(), sending).await),
    };
    let files = sending.await.expect("sending does not panic")?;
    let id = Digest::parse(&id).map_err(|_| Error::Vanished { name: Box::new(wanted.name.clone()) })?;
    // A base that was pulled on the way is known only now.
    let inputs = whole(engine, wanted, &context, (files, &bases)).await?;
    Ok(Built { id, inputs })
}

/// Returns why a build failed: of a stream that ends too soon the engine only complains.
async fn why(error: Error, sending: Sending) -> Error {
    // An engine that fails early may leave the stream open.
    match tokio::time::timeout(PATIENCE, sending).await {
        Ok(Ok(Err(ours))) if !matches!(ours, Error::Unsent { .. }) => ours,
        _ => error,
    }
}

async fn whole(
    engine: &Engine,
    wanted: &Wanted<'_>,
    context: &Context,
    (files, bases): (BTreeMap<String, FileInput>, &[Base]),
) -> Result<Inputs, Error> {
    let mut inputs = Inputs::new(files, context.dockerfile_input(), &wanted.options());
    for base in bases {
        let id = match wanted.known.get(&base.name) {
            Some(id) => Some(*id),
            None => engine.image_id(&base.written).await?.and_then(|id| Digest::parse(&id).ok()),
        };
        inputs.bases.insert(base.name.clone(), id);
    }
    let facts = engine.facts().await?;
    inputs.builder = format!("Docker {} on {}", facts.version, facts.architecture);
    Ok(inputs)
}

/// Starts to write the context, as fast as somebody reads it.
fn send(context: Context) -> (BuildContext, Sending) {
    let (sender, mut receiver) = mpsc::channel(WAITING);
    let sending = spawn_blocking(move || {
        let sent = context.send(Chunks(&sender));
        if sent.is_err() {
            // The engine must not take what it has for all there is. It may be gone, too.
            drop(sender.blocking_send(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        sent
    });
    let stream = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    (BuildContext::Stream(stream.boxed()), sending)
}

/// Passes on what is written.
struct Chunks<'a>(&'a mpsc::Sender<io::Result<Bytes>>);

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(work).await.expect("reading a folder does not panic")
}
