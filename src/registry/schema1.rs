//! Manifests of Docker's schema 1, of 2014 to 2016, made into what engines of today run.
//!
//! They have no configuration: one is made of the history, as Docker 20.10 made it when it pulled such an
//! image, so that the image has the same id. It speaks of unpacked layers, so it can be made only once all
//! blobs are there.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::v1::{Moment, V1Image, compact, marshal};
use crate::model::image::Digest;

/// Since this version of Docker the newest entry of the history is taken as it is.
const KEPT_SINCE: [i64; 3] = [1, 8, 3];
/// What the newest entry says that an image's configuration does not.
const DROPPED: [&str; 6] = ["id", "parent", "Size", "parent_id", "layer_id", "throwaway"];

#[derive(Debug, thiserror::Error)]
pub enum BadSchema1 {
    #[error("its {what} is not what it should be")]
    Json { what: &'static str, source: serde_json::Error },
    #[error("it is of schema {0}")]
    Version(u32),
    #[error("its signature does not say what was signed")]
    Signature,
    #[error("it has {layers} layers and a history of {entries}")]
    LayerCount { layers: usize, entries: usize },
    #[error("`{0}` in its history is not the id of a layer")]
    Id(String),
    #[error("the layer {0} comes twice in its history")]
    Repeated(String),
    #[error("the layer {layer} in its history is not on top of the one below it")]
    Parent { layer: String },
    #[error("{layers} layers were found where it has {wanted}")]
    DiffIds { layers: usize, wanted: usize },
}

/// A manifest that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema1 {
    digest: Digest,
    blobs: Vec<Digest>,
    history: Vec<History>,
    /// The configuration, but for what is known only of unpacked layers.
    config: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    #[serde(default)]
    fs_layers: Vec<Blob>,
    #[serde(default)]
    history: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    blob_sum: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    v1_compatibility: String,
}

#[derive(Deserialize)]
struct Signed {
    #[serde(default)]
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    protected: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Protected {
    format_length: usize,
    format_tail: String,
}

/// A line of the history as Docker writes it, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct History {
    created: Moment,
    #[serde(skip_serializing_if = "String::is_empty")]
    author: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    created_by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    empty_layer: bool,
}

#[derive(Serialize)]
struct Rootfs<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    diff_ids: &'a [Digest],
}

/// One layer with what the history says of it.
struct Step {
    blob: Digest,
    json: String,
    image: V1Image,
}

fn json_error(what: &'static str) -> impl FnOnce(serde_json::Error) -> BadSchema1 {
    move |source| BadSchema1::Json { what, source }
}

impl Schema1 {
    /// Reads a manifest, signed or not. Who signed it is not looked at: its digest is what it is known by.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadSchema1> {
        let payload = payload(bytes)?;
        let document: Document = serde_json::from_slice(&payload).map_err(json_error("JSON"))?;
        if document.schema_version != 1 {
            return Err(BadSchema1::Version(document.schema_version));
        }
        let steps = steps(document)?;
        let top = steps.first().expect("a manifest without layers was refused");
        let config = config_of(top)?;
        let used = || steps.iter().rev();
        Ok(Self {
            digest: Digest::of(&payload),
            blobs: used().filter(|step| !step.image.throwaway).map(|step| step.blob).collect(),
            history: used().map(|step| History::of(&step.image)).collect(),
            config,
        })
    }

    /// Returns the digest by which registries know it: that of what was signed.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the blobs of the layers from the bottom up; one may come more than once.
    pub fn blobs(&self) -> &[Digest] {
        &self.blobs
    }

    /// Makes the configuration once it is known what each of [`Self::blobs`] is unpacked.
    pub fn into_config(self, diff_ids: &[Digest]) -> Result<Vec<u8>, BadSchema1> {
        if diff_ids.len() != self.blobs.len() {
            return Err(BadSchema1::DiffIds { layers: diff_ids.len(), wanted: self.blobs.len() });
        }
        let written = json_error("history");
        let rootfs = marshal(&Rootfs { kind: "layers", diff_ids }).map_err(json_error("layers"))?;
        let history = marshal(&self.history).map_err(written)?;
        let mut config = self.config;
        config.extend([("rootfs".to_owned(), rootfs), ("history".to_owned(), history)]);
        let members = config.iter().map(|(key, value)| {
            marshal(key).map(|key| format!("{key}:{value}")).map_err(json_error("configuration"))
        });
        let members: Vec<String> = members.collect::<Result<_, _>>()?;
        Ok(format!("{{{}}}", members.join(",")).into_bytes())
    }
}

impl History {
    fn of(image: &V1Image) -> Self {
        Self {
            created: image.created.clone(),
            author: image.author.clone(),
            created_by: image.container_config.cmd.as_deref().unwrap_or_default().join(" "),
            comment: image.comment.clone(),
            empty_layer: image.throwaway,
        }
    }
}

/// Returns what was signed: a signature says how much of the text before it that is, and what came after.
fn payload(bytes: &[u8]) -> Result<Vec<u8>, BadSchema1> {
    let signed: Signed = serde_json::from_slice(bytes).map_err(json_error("JSON"))?;
    let Some(signature) = signed.signatures.first() else { return Ok(bytes.to_vec()) };
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let protected = decode(&signature.protected).ok_or(BadSchema1::Signature)?;
    let protected: Protected = serde_json::from_slice(&protected).map_err(json_error("signature"))?;
    let head = bytes.get(..protected.format_length).ok_or(BadSchema1::Signature)?;
    let tail = decode(&protected.format_tail).ok_or(BadSchema1::Signature)?;
    Ok([head, &tail].concat())
}

/// Puts layers and history together, top first. A layer whose id is that of the one below it is left out.
fn steps(document: Document) -> Result<Vec<Step>, BadSchema1> {
    let (layers, entries) = (document.fs_layers.len(), document.history.len());
    if layers != entries || layers == 0 {
        return Err(BadSchema1::LayerCount { layers, entries });
    }
    let both = document.fs_layers.into_iter().zip(document.history);
    let read = both.map(|(blob, entry)| {
        let image = V1Image::parse(&entry.v1_compatibility).map_err(json_error("history"))?;
        Ok(Step { blob: blob.blob_sum, json: entry.v1_compatibility, image })
    });
    let steps: Vec<Step> = read.collect::<Result<_, BadSchema1>>()?;
    check_ids(&steps)?;
    let below: Vec<String> = steps.iter().skip(1).map(|step| step.image.id.clone()).collect();
    let mut kept = Vec::new();
    for (at, step) in steps.into_iter().enumerate() {
        let (id, parent) = (&step.image.id, below.get(at).map_or("", String::as_str));
        if id != parent {
            if step.image.parent != parent {
                return Err(BadSchema1::Parent { layer: id.clone() });
            }
            kept.push(step);
        }
    }
    Ok(kept)
}

fn check_ids(steps: &[Step]) -> Result<(), BadSchema1> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let mut seen = BTreeSet::new();
    let mut last = "";
    for step in steps {
        let id = step.image.id.as_str();
        if id.len() != 64 || !id.bytes().all(is_hex) {
            return Err(BadSchema1::Id(id.chars().take(80).collect()));
        }
        if !seen.insert(id) && id != last {
            return Err(BadSchema1::Repeated(id.to_owned()));
        }
        last = id;
    }
    Ok(())
}

fn config_of(top: &Step) -> Result<BTreeMap<String, String>, BadSchema1> {
    let rewritten = if is_before(&top.image.docker_version, &KEPT_SINCE) {
        Some(marshal(&top.image).map_err(json_error("history"))?)
    } else {
        None
    };
    let json = rewritten.as_deref().unwrap_or(&top.json);
    let members: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(json).map_err(json_error("history"))?;
    let kept = members.into_iter().filter(|(key, _)| !DROPPED.contains(&key.as_str()));
    Ok(kept.map(|(key, value)| (key, compact(value.get()))).collect())
}

/// Compares as Docker does: what is not a number counts as 0.
fn is_before(version: &str, other: &[i64]) -> bool {
    let mut numbers: Vec<i64> = version.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    numbers.resize(numbers.len().max(other.len()), 0);
    numbers.as_slice() < other
}

#[cfg(test)]
mod tests;
