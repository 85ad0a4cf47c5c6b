//! Single files out of an image that is in the store, without an engine.

use std::io::{BufReader, Read};

use super::codec::Decoder;
use super::{Error, Store};
use crate::model::image::WantedImage;

/// Returns the first file of an image, from the top layer down, that one of `paths` names; they have no `/` in front.
pub fn read_file(store: &Store, image: &WantedImage, paths: &[&str]) -> Result<Option<Vec<u8>>, Error> {
    for layer in image.layers.iter().rev() {
        let packed = BufReader::with_capacity(1 << 17, store.reader(&layer.blob)?);
        let unpacked = Decoder::new(packed).map_err(Error::stream("unpack a layer"))?;
        if let Some(found) = find(unpacked, paths).map_err(Error::stream("read a layer"))? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn find(layer: impl Read, paths: &[&str]) -> std::io::Result<Option<Vec<u8>>> {
    for entry in tar::Archive::new(layer).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let path = path.trim_start_matches("./").trim_start_matches('/');
        if paths.contains(&path) && entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            return Ok(Some(content));
        }
    }
    Ok(None)
}
