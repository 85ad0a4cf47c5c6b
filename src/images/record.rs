//! Where the images of the store came from: one small file for each, named by what went into it. An image
//! is found again by asking what would go into it now.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::build::Inputs;
use crate::model::image::{Descriptor, Digest, ImageName, Platform};

/// What went into an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    Build {
        inputs: Inputs,
    },
    /// What a reference meant when it was asked.
    Registry {
        reference: ImageName,
        digest: Digest,
        platform: Option<Platform>,
    },
    /// The id that the engine knew it by.
    Engine {
        reference: ImageName,
        id: Digest,
    },
    Archive {
        file: ArchiveFile,
        reference: Option<ImageName>,
    },
    /// It came with a whole cache from elsewhere, or boots nodes.
    Base {
        key: String,
    },
}

/// A file, and what tells without reading it that it is still the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFile {
    pub path: Utf8PathBuf,
    pub size: u64,
    pub modified_ns: i64,
    pub digest: Digest,
}

impl Origin {
    /// Returns the name under which the image is found again: the same for the same origin, anywhere.
    pub fn key(&self) -> Digest {
        let platform = |platform: &Option<Platform>| format!("{platform:?}");
        Digest::of(match self {
            Self::Build { inputs } => format!("build {}", inputs.key()),
            Self::Registry { reference, digest, platform: wanted } => {
                let repository = format!("{}/{}", reference.registry(), reference.repository());
                format!("registry {repository}@{digest} {}", platform(wanted))
            }
            Self::Engine { id, .. } => format!("engine {id}"),
            Self::Archive { file, reference } => {
                let reference = reference.as_ref().map(ImageName::full).unwrap_or_default();
                format!("archive {} {reference}", file.digest)
            }
            Self::Base { key } => format!("base {key}"),
        })
    }
}

/// An image in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub version: u32,
    pub origin: Origin,
    /// What it was called last.
    pub name: ImageName,
    pub manifest: Descriptor,
    /// The digest of its configuration.
    pub id: Digest,
}

impl Record {
    pub const VERSION: u32 = 1;

    pub fn new(origin: Origin, name: ImageName, manifest: Descriptor, id: Digest) -> Self {
        Self { version: Self::VERSION, origin, name, manifest, id }
    }
}

/// The images that one lab uses, by what its lab.toml calls them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uses {
    pub lab: String,
    pub project: Utf8PathBuf,
    pub images: BTreeMap<String, Digest>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::image::media;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let reference = ImageName::parse("a:1").unwrap();
        let file =
            ArchiveFile { path: "/a.tar".into(), size: 1, modified_ns: i64::MAX, digest: Digest::of("a") };
        let origins = [
            Origin::Registry { reference: reference.clone(), digest: Digest::of("d"), platform: None },
            Origin::Engine { reference: reference.clone(), id: Digest::of("i") },
            Origin::Archive { file, reference: Some(reference.clone()) },
            Origin::Base { key: "k".to_owned() },
        ];
        let keys: std::collections::BTreeSet<Digest> = origins.iter().map(Origin::key).collect();
        assert_eq!(keys.len(), origins.len());
        for origin in origins {
            let manifest = Descriptor::new(media::OCI_MANIFEST, Digest::of("m"), 1);
            let record = Record::new(origin, reference.clone(), manifest, Digest::of("id"));
            let json = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
        }
    }
}
