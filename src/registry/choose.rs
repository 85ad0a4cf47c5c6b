//! What a registry sent as a manifest, and which of several is the one for a platform.

use serde::Deserialize;
use serde_json::Value;

use super::{BadSchema1, Schema1};
use crate::model::image::{BadImage, Descriptor, Index, Manifest, Platform, media};

/// All that is asked for, in the order in which we like it.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.5, \
    application/vnd.docker.distribution.manifest.v1+json;q=0.5";

/// What images call their configurations; the last three are what registries made of it by mistake.
const CONFIGS: &[&str] = &[
    media::OCI_CONFIG,
    "application/vnd.docker.container.image.v1+json",
    "application/octet-stream",
    "application/json",
    "text/html",
    "",
];

pub(super) enum Document {
    Index(Index),
    Image { media_type: String, manifest: Manifest },
    Schema1(Schema1),
}

#[derive(Debug)]
pub(super) enum Unusable {
    Image(BadImage),
    Schema1(BadSchema1),
    /// It is something, but not an image.
    Other {
        media_type: String,
    },
}

/// As much as tells what a document is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    manifests: Option<Value>,
    config: Option<Value>,
    layers: Option<Value>,
}

impl Document {
    /// Reads what was sent; `content_type` is what the registry says it is, which the document may say better.
    pub(super) fn parse(bytes: &[u8], content_type: &str) -> Result<Self, Unusable> {
        let outline: Outline = serde_json::from_slice(bytes)
            .map_err(|source| Unusable::Image(BadImage::Json { what: "manifest", source }))?;
        if outline.schema_version == 1 {
            return Schema1::parse(bytes).map(Self::Schema1).map_err(Unusable::Schema1);
        }
        let media_type = outline.media_type.unwrap_or_else(|| content_type.to_owned());
        match (outline.manifests, outline.config, outline.layers) {
            (Some(_), None, None) => Index::parse(bytes).map(Self::Index).map_err(Unusable::Image),
            (None, Some(_), Some(_)) => {
                let manifest = Manifest::parse(bytes).map_err(Unusable::Image)?;
                check_types(&manifest)?;
                Ok(Self::Image { media_type, manifest })
            }
            _ => Err(Unusable::Other { media_type }),
        }
    }
}

/// Anything can be stored in a registry under the type of an image's manifest.
fn check_types(manifest: &Manifest) -> Result<(), Unusable> {
    let is_archive = |kind: &str| {
        kind.contains("tar") && !kind.contains("encrypted") || kind == "application/octet-stream"
    };
    let other = |descriptor: &Descriptor| Unusable::Other { media_type: descriptor.media_type.clone() };
    if !CONFIGS.contains(&manifest.config.media_type.as_str()) {
        return Err(other(&manifest.config));
    }
    let strange = manifest.layers.iter().find(|layer| !is_archive(&layer.media_type));
    strange.map_or(Ok(()), |layer| Err(other(layer)))
}

/// Returns the manifest that suits a platform best, or what there is.
pub(super) fn choose<'a>(index: &'a Index, wanted: &Platform) -> Result<&'a Descriptor, String> {
    let ranked = index
        .manifests
        .iter()
        .filter_map(|entry| Some((rank(wanted, entry.platform.as_ref()?)?, entry)))
        .min_by_key(|(rank, _)| *rank);
    match (ranked, index.manifests.as_slice()) {
        (Some((_, entry)), _) => Ok(entry),
        // It does not say what it is for; its configuration will.
        (None, [only]) if only.platform.is_none() => Ok(only),
        _ => Err(offered(index)),
    }
}

fn offered(index: &Index) -> String {
    let mut names: Vec<String> = index
        .manifests
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        // What builders attach to an image stands in the index too, for no platform.
        .filter(|platform| platform.os != "unknown")
        .map(shown)
        .collect();
    names.dedup();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// Returns what images have to be for if they are to run on this host.
pub fn host_platform() -> Platform {
    let architecture = architecture(std::env::consts::ARCH).to_owned();
    Platform { os: "linux".to_owned(), architecture, variant: None }
}

pub(super) fn shown(platform: &Platform) -> String {
    let variant = platform.variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
    format!("{}/{}{variant}", platform.os, platform.architecture)
}

/// Returns how far a manifest is from what is wanted: 0 is the best; `None` cannot run there.
fn rank(wanted: &Platform, offered: &Platform) -> Option<u32> {
    if !runs_on(wanted, &offered.os, &offered.architecture) {
        return None;
    }
    let usual = match architecture(&wanted.architecture) {
        "amd64" => "v1",
        "arm" => "v7",
        "arm64" => "v8",
        _ if wanted.variant.is_none() => return Some(0),
        _ => "",
    };
    let variant = |platform: &Platform| platform.variant.clone().unwrap_or_else(|| usual.to_owned());
    let (wanted, offered) = (variant(wanted), variant(offered));
    let number = |variant: &str| variant.strip_prefix('v')?.parse::<u32>().ok();
    match (number(&wanted), number(&offered)) {
        _ if wanted == offered => Some(0),
        // A newer processor runs what was made for an older one.
        (Some(wanted), Some(offered)) => wanted.checked_sub(offered),
        _ => None,
    }
}

/// Returns whether something of this kind runs there, whatever the variant.
pub(super) fn runs_on(wanted: &Platform, os: &str, arch: &str) -> bool {
    wanted.os == os && architecture(&wanted.architecture) == architecture(arch)
}

/// Returns the name that Go has for an architecture.
fn architecture(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "armhf" | "armel" => "arm",
        "i386" | "x86" => "386",
        "loongarch64" => "loong64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::image::Digest;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        let (os, architecture) = (parts.next().unwrap(), parts.next().unwrap());
        Platform { os, architecture, variant: parts.next() }
    }

    fn index(platforms: &[&str]) -> Index {
        let entry = |text: &&str| {
            let mut entry = Descriptor::new(media::OCI_MANIFEST, Digest::of(text), 1);
            entry.platform = (!text.is_empty()).then(|| platform(text));
            entry
        };
        Index { schema_version: 2, media_type: None, manifests: platforms.iter().map(entry).collect() }
    }

    #[track_caller]
    fn check(offered: &[&str], wanted: &str, want: Result<&str, &str>) {
        let index = index(offered);
        let chosen = choose(&index, &platform(wanted)).map(|entry| entry.digest);
        assert_eq!(chosen, want.map(Digest::of).map_err(str::to_owned), "{offered:?} {wanted}");
    }

    #[test]
    fn the_best_for_a_platform_is_chosen() {
        let all = [
            "linux/amd64",
            "windows/amd64",
            "linux/arm/v5",
            "linux/arm/v7",
            "linux/arm64/v8",
            "unknown/unknown",
        ];
        check(&all, "linux/amd64", Ok("linux/amd64"));
        check(&all, "linux/x86_64", Ok("linux/amd64"));
        check(&all, "linux/amd64/v3", Ok("linux/amd64"));
        check(&all, "linux/arm", Ok("linux/arm/v7"));
        check(&all, "linux/arm/v6", Ok("linux/arm/v5"));
        check(&all, "linux/arm64", Ok("linux/arm64/v8"));
        check(&["linux/amd64/v3", "linux/amd64/v2"], "linux/amd64/v4", Ok("linux/amd64/v3"));
        check(&["linux/amd64/v3"], "linux/amd64", Err("linux/amd64/v3"));
        check(&["linux/riscv64/x"], "linux/riscv64", Ok("linux/riscv64/x"));
        check(
            &["linux/arm/v7", "linux/arm64", "unknown/unknown"],
            "linux/386",
            Err("linux/arm/v7, linux/arm64"),
        );
    }

    #[test]
    fn one_that_does_not_say_what_it_is_for_is_taken_if_it_is_alone() {
        check(&[""], "linux/amd64", Ok(""));
        check(&["", ""], "linux/amd64", Err("nothing"));
        check(&[], "linux/amd64", Err("nothing"));
    }

    fn parse(json: &str) -> Result<&'static str, String> {
        match Document::parse(json.as_bytes(), "text/plain") {
            Ok(Document::Index(_)) => Ok("index"),
            Ok(Document::Image { .. }) => Ok("image"),
            Ok(Document::Schema1(_)) => Ok("schema 1"),
            Err(Unusable::Other { media_type }) => Err(media_type),
            Err(Unusable::Image(error)) => Err(error.to_string()),
            Err(Unusable::Schema1(error)) => Err(error.to_string()),
        }
    }

    fn image(config: &str, layer: &str) -> String {
        let descriptor = |kind| serde_json::to_string(&Descriptor::new(kind, Digest::of(""), 0)).unwrap();
        let (config, layer) = (descriptor(config), descriptor(layer));
        format!("{{\"schemaVersion\":2,\"config\":{config},\"layers\":[{layer}]}}")
    }

    #[test]
    fn documents_are_known_by_what_is_in_them() {
        assert_eq!(parse(r#"{"schemaVersion":2,"manifests":[]}"#), Ok("index"));
        assert_eq!(parse(&image(media::OCI_CONFIG, media::OCI_LAYER_GZIP)), Ok("image"));
        let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        assert_eq!(parse(&image("application/vnd.docker.container.image.v1+json", docker)), Ok("image"));
    }

    #[test]
    fn what_is_no_image_is_told_by_its_type() {
        let helm = "application/vnd.cncf.helm.config.v1+json";
        assert_eq!(parse(&image(helm, media::OCI_LAYER_GZIP)), Err(helm.to_owned()));
        let attestation = "application/vnd.in-toto+json";
        assert_eq!(parse(&image(media::OCI_CONFIG, attestation)), Err(attestation.to_owned()));
        assert_eq!(parse("{}"), Err("text/plain".to_owned()));
        let both = r#"{"schemaVersion":2,"mediaType":"both","manifests":[],"layers":[],"config":{}}"#;
        assert_eq!(parse(both), Err("both".to_owned()));
        assert!(parse("<html>").unwrap_err().contains("manifest"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            drop(Document::parse(&bytes, ""));
        }

        #[test]
        fn no_change_of_a_document_panics(at in 0_usize..400, byte: u8, cut in 0_usize..400) {
            for whole in [image(media::OCI_CONFIG, media::OCI_LAYER), r#"{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":3,"platform":{"os":"linux","architecture":"arm","variant":"v99999999999"}}]}"#.to_owned()] {
                let mut bytes = whole.into_bytes();
                let length = bytes.len();
                bytes[at % length] = byte;
                if let Ok(Document::Index(index)) = Document::parse(&bytes, "") {
                    drop(choose(&index, &platform("linux/arm/v7")));
                }
                drop(Document::parse(&bytes[..cut.min(length)], ""));
            }
        }
    }
}
