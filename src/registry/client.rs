//! A client of registries: what a name means there.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

use camino::{Utf8Path, Utf8PathBuf};

use super::auth::Proofs;
use super::choose::{self, Document, Unusable, shown};
use super::credentials::Credentials;
use super::wire::{Ask, Http};
use super::{Error, Patience, Schema1};
use crate::model::image::{Descriptor, Digest, ImageConfig, ImageName, Manifest, Platform, media};

/// As much as engines take for a manifest.
const LARGEST_MANIFEST: u64 = 4 << 20;
const LARGEST_CONFIG: u64 = 8 << 20;
/// An index that leads to an index is met; one more is not.
const DEEPEST: usize = 3;

/// Keeps connections and proofs for as long as it lives; one serves all pulls of a command.
#[derive(Debug)]
pub struct Client {
    /// Made when it is needed first: most commands ask no registry.
    pub(super) http: OnceLock<Http>,
    docker_config: Option<Utf8PathBuf>,
    patience: Patience,
    proofs: Proofs,
    /// How each loopback registry wants to be spoken to.
    pub(super) schemes: Mutex<BTreeMap<String, &'static str>>,
}

/// What a name means in its registry.
#[derive(Debug)]
pub struct Resolved {
    /// What the name stood for; of several images for several platforms, that of their index.
    pub digest: Digest,
    pub found: Found,
}

#[derive(Debug)]
pub enum Found {
    Image { bytes: Vec<u8>, descriptor: Descriptor, manifest: Box<Manifest> },
    Schema1(Schema1),
}

impl Client {
    /// Makes a client that looks into `docker_config`, a file, for passwords if a registry asks for one.
    pub fn new(docker_config: Option<&Utf8Path>) -> Self {
        Self::with_patience(docker_config, Patience::default())
    }

    pub fn with_patience(docker_config: Option<&Utf8Path>, patience: Patience) -> Self {
        let (proofs, schemes) = (Proofs::default(), Mutex::default());
        let docker_config = docker_config.map(Utf8Path::to_owned);
        Self { http: OnceLock::new(), docker_config, patience, proofs, schemes }
    }

    pub(super) fn proofs(&self) -> &Proofs {
        &self.proofs
    }

    pub(super) fn credentials(&self) -> Result<Credentials, Error> {
        self.docker_config.as_deref().map_or_else(|| Ok(Credentials::default()), Credentials::load)
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.patience
    }

    /// Finds the manifest that a name means on a platform.
    pub async fn resolve(&self, name: &ImageName, platform: &Platform) -> Result<Resolved, Error> {
        let mut pinned = None;
        let mut at = name.clone();
        for _ in 0..DEEPEST {
            let (bytes, content_type) = self.manifest(&at).await?;
            let document = Document::parse(&bytes, &content_type).map_err(|error| unusable(name, error))?;
            let digest = match &document {
                Document::Schema1(manifest) => manifest.digest(),
                _ => Digest::of(&bytes),
            };
            self.check(&at, digest)?;
            let pin = *pinned.get_or_insert(digest);
            let found = match document {
                Document::Schema1(manifest) => Found::Schema1(manifest),
                Document::Image { media_type, manifest } => {
                    let descriptor = Descriptor::new(known_type(&media_type), digest, bytes.len() as u64);
                    Found::Image { bytes, descriptor, manifest: manifest.into() }
                }
                Document::Index(index) => {
                    let chosen = choose::choose(&index, platform).map_err(|offered| Error::NoPlatform {
                        name: name.familiar(),
                        wanted: Box::new(platform.clone()),
                        offered,
                    })?;
                    at = name.pinned(chosen.digest);
                    continue;
                }
            };
            return Ok(Resolved { digest: pin, found });
        }
        Err(Error::Nested { name: name.familiar() })
    }

    async fn manifest(&self, name: &ImageName) -> Result<(Vec<u8>, String), Error> {
        let reference = name.digest().map(Digest::to_string);
        let reference = reference.as_deref().or(name.tag()).unwrap_or("latest");
        let what = format!("`{}`", name.familiar());
        let ask = Ask {
            name,
            path: &format!("manifests/{reference}"),
            what: &what,
            accept: Some(choose::ACCEPT),
            from: 0,
        };
        let (headers, bytes) = self.read(ask, LARGEST_MANIFEST).await?;
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if name.digest().is_none() {
            self.check_header(name, header("docker-content-digest"), &bytes)?;
        }
        Ok((bytes, header("content-type").split(';').next().unwrap_or_default().trim().to_owned()))
    }

    /// Sees to it that what came by a tag is what the registry says it sent.
    fn check_header(&self, name: &ImageName, said: &str, bytes: &[u8]) -> Result<(), Error> {
        let Ok(said) = Digest::parse(said) else { return Ok(()) };
        let is_right = Digest::of(bytes) == said
            || Schema1::parse(bytes).is_ok_and(|manifest| manifest.digest() == said);
        if is_right { Ok(()) } else { Err(self.wrong(name, said)) }
    }

    fn check(&self, name: &ImageName, found: Digest) -> Result<(), Error> {
        match name.digest() {
            Some(wanted) if *wanted != found => Err(self.wrong(name, *wanted)),
            _ => Ok(()),
        }
    }

    fn wrong(&self, name: &ImageName, digest: Digest) -> Error {
        Error::WrongDigest { registry: name.registry().to_owned(), digest }
    }

    /// Fetches the configuration of an image, whole.
    pub async fn config(&self, name: &ImageName, blob: &Descriptor) -> Result<Vec<u8>, Error> {
        let registry = || name.registry().to_owned();
        let what = format!("the configuration of `{}`", name.familiar());
        if blob.size > LARGEST_CONFIG {
            return Err(Error::TooLong { registry: registry(), what, limit: LARGEST_CONFIG });
        }
        let ask = Ask { name, path: &format!("blobs/{}", blob.digest), what: &what, accept: None, from: 0 };
        let (_, bytes) = self.read(ask, LARGEST_CONFIG).await?;
        if bytes.len() as u64 != blob.size {
            let (digest, wanted, got) = (blob.digest, blob.size, bytes.len() as u64);
            return Err(Error::WrongLength { registry: registry(), digest, wanted, got });
        }
        if Digest::of(&bytes) != blob.digest {
            return Err(self.wrong(name, blob.digest));
        }
        Ok(bytes)
    }

    /// Sees to it that an image runs on a platform. One that does not say what it is for is believed to.
    pub fn check_platform(
        &self,
        name: &ImageName,
        config: &ImageConfig,
        wanted: &Platform,
    ) -> Result<(), Error> {
        let os = if config.os.is_empty() { &wanted.os } else { &config.os };
        if config.architecture.is_empty() || choose::runs_on(wanted, os, &config.architecture) {
            return Ok(());
        }
        let (os, architecture, variant) = (os.clone(), config.architecture.clone(), config.variant.clone());
        let offered =
            shown(&Platform { os, architecture, variant: variant.filter(|variant| !variant.is_empty()) });
        Err(Error::NoPlatform { name: name.familiar(), wanted: Box::new(wanted.clone()), offered })
    }
}

fn unusable(name: &ImageName, error: Unusable) -> Error {
    let name = name.familiar();
    match error {
        Unusable::Image(source) => Error::Manifest { name, source },
        Unusable::Schema1(source) => Error::Schema1 { name, source },
        Unusable::Other { media_type } => Error::NotAnImage { name, media_type },
    }
}

/// Registries that say nothing, or something of their own, mean the OCI's form.
fn known_type(media_type: &str) -> &str {
    if media_type == media::DOCKER_MANIFEST { media_type } else { media::OCI_MANIFEST }
}
