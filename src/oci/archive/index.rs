//! Which manifests of an OCI index are images that are wanted: not those of other platforms, and not what
//! builders write down beside images.

use std::collections::BTreeMap;

use crate::model::image::{Descriptor, Digest, ImageName, Index, Platform, media};

const CONTAINERD_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// A manifest that was chosen, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    pub names: Vec<ImageName>,
    pub manifest: Descriptor,
}

pub fn is_index(descriptor: &Descriptor) -> bool {
    [media::OCI_INDEX, media::DOCKER_LIST].contains(&descriptor.media_type.as_str())
}

/// Returns the name that an entry of the outermost index has. A tag alone is no name.
pub fn name(descriptor: &Descriptor) -> Option<ImageName> {
    let full = descriptor.annotations.get(CONTAINERD_NAME);
    let told = || descriptor.annotations.get(REF_NAME).filter(|name| name.contains(['/', ':']));
    full.or_else(told).and_then(|name| ImageName::parse(name).ok())
}

/// Returns the entry of an image's own index that suits best, the first of equals.
pub fn choose<'a>(index: &'a Index, wanted: &Platform) -> Option<&'a Descriptor> {
    let images = index.manifests.iter().rev().filter(|entry| !is_beside(entry));
    let ranked = images.filter_map(|entry| Some((rank(wanted, entry.platform.as_ref())?, entry)));
    ranked.max_by_key(|(rank, _)| *rank).map(|(_, entry)| entry)
}

/// Returns how well something for `found` runs on `wanted`, or `None` if it does not.
fn rank(wanted: &Platform, found: Option<&Platform>) -> Option<u32> {
    // What does not say what it is for may still be it.
    let Some(found) = found else { return Some(0) };
    if (&found.os, &found.architecture) != (&wanted.os, &wanted.architecture) {
        return None;
    }
    if found.variant == wanted.variant {
        return Some(u32::MAX);
    }
    let (found, wanted) = (generation(found)?, generation(wanted)?);
    (found <= wanted).then_some(found)
}

/// Later processors run what was made for earlier ones.
fn generation(platform: &Platform) -> Option<u32> {
    match (&platform.variant, platform.architecture.as_str()) {
        (Some(variant), _) => variant.strip_prefix('v')?.parse().ok(),
        (None, "arm64") => Some(8),
        (None, "arm") => Some(7),
        (None, _) => Some(1),
    }
}

/// Returns the manifests of a store's index: of entries with one name, or without, those for the platform, or
/// all if there is none.
pub fn wanted(entries: Vec<(Option<ImageName>, Descriptor)>, platform: &Platform) -> Vec<Chosen> {
    let mut suited: BTreeMap<Option<ImageName>, bool> = BTreeMap::new();
    let is_suited = |entry: &Descriptor| rank(platform, entry.platform.as_ref()).is_some();
    for (name, entry) in &entries {
        *suited.entry(name.clone()).or_default() |= is_suited(entry);
    }
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut known: BTreeMap<Digest, usize> = BTreeMap::new();
    for (name, manifest) in entries {
        if suited[&name] && !is_suited(&manifest) {
            continue;
        }
        let at = *known.entry(manifest.digest).or_insert(chosen.len());
        if at == chosen.len() {
            chosen.push(Chosen { names: Vec::new(), manifest });
        }
        let names = &mut chosen[at].names;
        names.extend(name.filter(|name| !names.contains(name)));
    }
    chosen
}

/// Returns whether an entry tells of an image instead of being one.
pub fn is_beside(entry: &Descriptor) -> bool {
    let is_unknown = |platform: &Platform| platform.os == "unknown" || platform.architecture == "unknown";
    entry.platform.as_ref().is_some_and(is_unknown) || entry.annotations.contains_key(REFERENCE_TYPE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let parts: Vec<&str> = text.split('/').collect();
        Platform {
            os: parts[0].to_owned(),
            architecture: parts[1].to_owned(),
            variant: parts.get(2).map(ToString::to_string),
        }
    }

    fn entry(content: &str, on: Option<&str>) -> Descriptor {
        let platform = on.map(platform);
        Descriptor { platform, ..Descriptor::new(media::OCI_MANIFEST, Digest::of(content), 1) }
    }

    #[test]
    fn the_entry_that_suits_best_is_chosen() {
        #[track_caller]
        fn check(entries: &[&str], wanted: &str, want: Option<&str>) {
            let entries = entries.iter().map(|on| entry(on, (*on != "-").then_some(*on))).collect();
            let index = Index { schema_version: 2, media_type: None, manifests: entries };
            let chosen = choose(&index, &platform(wanted)).map(|entry| entry.digest);
            assert_eq!(chosen, want.map(Digest::of), "{wanted}");
        }
        let arms = ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8", "linux/amd64"];
        check(&arms, "linux/amd64", Some("linux/amd64"));
        check(&arms, "linux/arm", Some("linux/arm/v7"));
        check(&arms, "linux/arm/v6", Some("linux/arm/v6"));
        check(&arms[..2], "linux/arm/v7", Some("linux/arm/v6"));
        check(&arms[2..3], "linux/arm/v6", None);
        check(&arms, "linux/arm64", Some("linux/arm64/v8"));
        check(&arms, "linux/s390x", None);
        check(&arms, "windows/amd64", None);
        check(&["linux/amd64/v3", "linux/amd64/v1"], "linux/amd64", Some("linux/amd64/v1"));
        check(&["unknown/unknown", "-"], "linux/amd64", Some("-"));
        check(&["-", "linux/amd64"], "linux/amd64", Some("linux/amd64"));
        check(&["unknown/unknown"], "linux/amd64", None);
        check(&[], "linux/amd64", None);
    }

    #[test]
    fn what_builders_write_beside_an_image_is_none() {
        assert!(is_beside(&entry("a", Some("unknown/unknown"))));
        let mut proof = entry("a", None);
        assert!(!is_beside(&proof));
        proof.annotations.insert(REFERENCE_TYPE.to_owned(), "attestation-manifest".to_owned());
        assert!(is_beside(&proof));
    }

    #[test]
    fn names_are_those_that_somebody_gave() {
        #[track_caller]
        fn check(annotations: &[(&str, &str)], want: Option<&str>) {
            let annotations = annotations.iter().map(|(key, value)| (key.to_string(), value.to_string()));
            let entry = Descriptor { annotations: annotations.collect(), ..entry("a", None) };
            assert_eq!(name(&entry).map(|name| name.familiar()).as_deref(), want);
        }
        check(&[], None);
        check(&[(REF_NAME, "7")], None);
        check(&[(REF_NAME, "redis:7")], Some("redis:7"));
        check(&[(REF_NAME, "localhost/redis")], Some("localhost/redis:latest"));
        check(&[(REF_NAME, "7"), (CONTAINERD_NAME, "docker.io/library/redis:7")], Some("redis:7"));
        check(&[(CONTAINERD_NAME, "no name at all")], None);
    }

    #[test]
    fn of_one_name_the_platform_counts_and_otherwise_everything() {
        let named = |name: &str| Some(ImageName::parse(name).unwrap());
        let (amd, arm) = (entry("amd", Some("linux/amd64")), entry("arm", Some("linux/arm64")));
        let other = entry("other", None);
        let entries = vec![
            (named("a"), arm.clone()),
            (named("a"), amd.clone()),
            (named("b"), arm.clone()),
            (named("c"), amd.clone()),
            (None, other.clone()),
            (None, arm.clone()),
        ];
        let chosen = wanted(entries, &platform("linux/amd64"));
        let want = |names: &[&str], manifest: &Descriptor| Chosen {
            names: names.iter().map(|name| ImageName::parse(name).unwrap()).collect(),
            manifest: manifest.clone(),
        };
        assert_eq!(chosen, [want(&["a", "c"], &amd), want(&["b"], &arm), want(&[], &other)]);
    }
}
