//! The stream that an engine is given to load: put together on the fly, never held in memory.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use serde_json::json;

use super::append;
use super::codec::{Begun, Decoder, begin};
use super::{BlobReader, EngineKind, Error, LoadPlan, Store};
use crate::model::image::{Layer, WantedImage, media};

/// One entry of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Text { path: String, bytes: Vec<u8> },
    Layer { path: String, layer: Box<Layer>, is_unpacked: bool },
}

/// Where layers are read from as they are stored.
pub trait Source {
    /// Returns the blob of a layer. Layers are asked for one after the other, in the order of the plan.
    fn blob(&mut self, layer: &Layer) -> Result<Box<dyn Read + '_>, Error>;
}

/// Reads layers from a store.
pub struct StoreSource<'a>(pub &'a Store);

impl Source for StoreSource<'_> {
    fn blob(&mut self, layer: &Layer) -> Result<Box<dyn Read + '_>, Error> {
        Ok(Box::new(self.0.reader(&layer.blob)?))
    }
}

/// Reads layers from a stream in which they stand one behind the other.
pub struct StreamSource<R>(pub R);

impl<R: Read> Source for StreamSource<R> {
    fn blob(&mut self, layer: &Layer) -> Result<Box<dyn Read + '_>, Error> {
        Ok(Box::new(BlobReader::over(&mut self.0, &layer.blob.digest, layer.blob.size)))
    }
}

/// An image's texts, as they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
}

/// Returns the entries of the stream for a plan; `texts` are those of its tasks, in order.
pub fn pieces(plan: &LoadPlan, texts: &[Texts]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut known = BTreeSet::new();
    let mut text = |pieces: &mut Vec<Piece>, path: String, bytes: Vec<u8>| {
        if known.insert(path.clone()) {
            pieces.push(Piece::Text { path, bytes });
        }
    };
    let is_oci = plan.kind == EngineKind::Containerd;
    if is_oci {
        text(&mut pieces, "oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    }
    for (task, texts) in plan.tasks.iter().zip(texts) {
        text(&mut pieces, blob_path(&task.image.config.digest.hex()), texts.config.clone());
        if is_oci {
            text(&mut pieces, blob_path(&task.image.manifest.digest.hex()), texts.manifest.clone());
        }
    }
    for layer in &plan.send {
        let path = layer_path(plan, layer);
        pieces.push(Piece::Layer { path, layer: Box::new(layer.clone()), is_unpacked: plan.unpacks() });
    }
    let images: Vec<&WantedImage> = plan.tasks.iter().map(|task| &task.image).collect();
    if is_oci {
        text(&mut pieces, "index.json".to_owned(), oci_index(&images));
    }
    text(&mut pieces, "manifest.json".to_owned(), docker_manifest(plan, &images));
    pieces
}

fn blob_path(hex: &str) -> String {
    format!("blobs/sha256/{hex}")
}

fn layer_path(plan: &LoadPlan, layer: &Layer) -> String {
    blob_path(&if plan.unpacks() { layer.diff_id.hex() } else { layer.blob.digest.hex() })
}

/// Names all layers, also those that do not travel: an engine opens only those that it lacks.
fn docker_manifest(plan: &LoadPlan, images: &[&WantedImage]) -> Vec<u8> {
    let entry = |image: &&WantedImage| {
        let layers: Vec<String> = image.layers.iter().map(|layer| layer_path(plan, layer)).collect();
        json!({
            "Config": blob_path(&image.config.digest.hex()),
            "RepoTags": [image.name.unpinned().familiar()],
            "Layers": layers,
        })
    };
    serde_json::to_vec(&images.iter().map(entry).collect::<Vec<_>>()).expect("it is plain data")
}

fn oci_index(images: &[&WantedImage]) -> Vec<u8> {
    let entry = |image: &&WantedImage| {
        let name = image.name.unpinned();
        let mut descriptor = image.manifest.clone();
        descriptor.annotations = [
            ("io.containerd.image.name".to_owned(), name.full()),
            ("org.opencontainers.image.ref.name".to_owned(), name.tag().unwrap_or_default().to_owned()),
        ]
        .into();
        descriptor
    };
    let manifests: Vec<_> = images.iter().map(entry).collect();
    let index = json!({ "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": manifests });
    serde_json::to_vec(&index).expect("it is plain data")
}

/// Writes the stream.
pub fn write_pieces(pieces: &[Piece], source: &mut dyn Source, to: impl Write) -> Result<(), Error> {
    let mut archive = tar::Builder::new(to);
    for piece in pieces {
        match piece {
            Piece::Text { path, bytes } => append(&mut archive, path, bytes.len() as u64, bytes.as_slice())
                .map_err(Error::stream("send images"))?,
            Piece::Layer { path, layer, is_unpacked } => {
                let blob = source.blob(layer)?;
                if *is_unpacked {
                    let tar = Unpacked::new(blob, layer)?;
                    append(&mut archive, path, layer.tar_bytes, tar).map_err(Error::stream("send images"))?;
                } else {
                    append(&mut archive, path, layer.blob.size, blob)
                        .map_err(Error::stream("send images"))?;
                }
            }
        }
    }
    let mut to = archive.into_inner().map_err(Error::stream("send images"))?;
    to.flush().map_err(Error::stream("send images"))
}

fn is_ours(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<Error>())
}

/// Reads the archive in a blob, and makes sure that it is as long as it should be and that the blob is whole.
struct Unpacked<R: Read> {
    decoder: Option<Decoder<Begun<R>>>,
    left: u64,
    layer: Layer,
}

impl<R: Read> Unpacked<R> {
    fn new(blob: R, layer: &Layer) -> Result<Self, Error> {
        let begun = begin(blob).and_then(|(compression, blob)| Decoder::with(compression, blob));
        let decoder = begun.map_err(Error::stream("unpack a layer"))?;
        Ok(Self { decoder: Some(decoder), left: layer.tar_bytes, layer: layer.clone() })
    }

    fn broken(&self) -> io::Error {
        Error::Broken { digest: self.layer.blob.digest }.into_io()
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else { return Ok(0) };
        let read = match decoder.read(buffer) {
            Ok(read) => read,
            // Whatever a decoder says of a stream that is not what its digest says.
            Err(error) if is_ours(&error) => return Err(error),
            Err(_) => return Err(self.broken()),
        };
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| self.broken())?;
        if read == 0 && !buffer.is_empty() {
            if self.left > 0 {
                return Err(self.broken());
            }
            // Reading the blob to its end is what checks it.
            if let Some(decoder) = self.decoder.take() {
                io::copy(&mut decoder.into_inner(), &mut io::sink())?;
            }
        }
        Ok(read)
    }
}
