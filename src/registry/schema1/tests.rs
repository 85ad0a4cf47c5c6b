//! Manifests that Docker 20.10 was made to pull, with the id that it gave each image.

use camino::Utf8PathBuf;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::fs;

#[derive(Deserialize)]
struct Pulled {
    id: Digest,
    diff_ids: Vec<Digest>,
}

fn read(name: &str) -> Vec<u8> {
    let folder = Utf8PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/registry/schema1"));
    fs::read(&folder.join(name)).unwrap()
}

/// Old and new Docker; keys in any case, null and absent; times, escapes and numbers that are written
/// otherwise than Go writes them; layers that are empty, thrown away or there twice; and a real image.
const CASES: [&str; 11] =
    ["v162", "v112", "rewritten", "kept", "bare", "nulls", "rc", "later", "throwaway", "twice", "real"];

#[test]
fn a_configuration_is_what_docker_makes_of_it_to_the_byte() {
    for case in CASES {
        let manifest = Schema1::parse(&read(&format!("{case}.json"))).unwrap();
        let docker: Pulled = serde_json::from_slice(&read(&format!("{case}.docker.json"))).unwrap();
        assert_eq!(manifest.blobs().len(), docker.diff_ids.len(), "{case}");
        let config = manifest.into_config(&docker.diff_ids).unwrap();
        assert_eq!(Digest::of(&config), docker.id, "{case}: {}", String::from_utf8_lossy(&config));
    }
}

#[test]
fn a_manifest_that_nobody_signed_is_known_by_its_bytes() {
    let signed = Schema1::parse(&read("v162.json")).unwrap();
    let payload = payload(&read("v162.json")).unwrap();
    assert_eq!(Schema1::parse(&payload).unwrap(), signed);
    assert_eq!(signed.digest(), Digest::of(&payload));
}

#[test]
fn versions_are_compared_as_docker_does() {
    for old in ["", "0.7", "1.6.2", "1.8", "1.8.2", "1.8.3-rc1", "x"] {
        assert!(is_before(old, &KEPT_SINCE), "{old}");
    }
    for new in ["1.8.3", "1.8.3.0", "1.10", "17.03.1-ce", "2"] {
        assert!(!is_before(new, &KEPT_SINCE), "{new}");
    }
}

/// Makes a manifest of entries, top first.
fn manifest(entries: &[(&str, &str)]) -> Vec<u8> {
    let blob = Digest::of("blob");
    let layers: Vec<_> = entries.iter().map(|_| serde_json::json!({"blobSum": blob})).collect();
    let history: Vec<_> = entries
        .iter()
        .map(|(id, parent)| serde_json::json!({"id": long(id), "parent": long(parent)}).to_string())
        .map(|json| serde_json::json!({"v1Compatibility": json}))
        .collect();
    serde_json::json!({"schemaVersion": 1, "fsLayers": layers, "history": history}).to_string().into_bytes()
}

fn long(id: &str) -> String {
    if id.len() == 1 { id.repeat(64) } else { id.to_owned() }
}

#[test]
fn what_cannot_be_an_image_is_refused_with_the_reason() {
    let check = |entries: &[(&str, &str)], reason: &str| {
        let error = Schema1::parse(&manifest(entries)).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    check(&[], "0 layers");
    check(&[("../x", "")], "is not the id");
    check(&[("A", "")], "is not the id");
    check(&[("b", "c"), ("a", "")], "not on top");
    check(&[("a", "b")], "not on top");
    check(&[("a", "b"), ("b", "a"), ("a", "")], "comes twice");
    let fine = Schema1::parse(&manifest(&[("b", "a"), ("a", ""), ("a", "")])).unwrap();
    assert_eq!(fine.blobs().len(), 2);
    assert!(fine.into_config(&[]).unwrap_err().to_string().contains("0 layers were found where it has 2"));
    assert!(matches!(Schema1::parse(br#"{"schemaVersion":2}"#), Err(BadSchema1::Version(2))));
    let unsigned = br#"{"schemaVersion":1,"signatures":[{"protected":"eyJmb3JtYXRMZW5ndGgiOjk5OTksImZvcm1hdFRhaWwiOiIifQ"}]}"#;
    assert!(matches!(Schema1::parse(unsigned), Err(BadSchema1::Signature)));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
        drop(Schema1::parse(&bytes));
    }

    #[test]
    fn no_change_of_a_manifest_panics(case in 0..CASES.len(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let whole = read(&format!("{}.json", CASES[case]));
        for mut bytes in [whole.clone(), payload(&whole).unwrap()] {
            let (at, cut) = (at.index(bytes.len()), cut.index(bytes.len()));
            bytes[at] = byte;
            if let Ok(manifest) = Schema1::parse(&bytes) {
                let layers = vec![Digest::of(""); manifest.blobs().len()];
                drop(manifest.into_config(&layers));
            }
            drop(Schema1::parse(&bytes[..cut]));
        }
    }
}
