//! Which layers travel, case by case.

use proptest::prelude::*;

use super::*;
use crate::model::image::{Descriptor, ImageName, media};

/// An image with these layers, from the bottom up; the letter of a layer is all that it is.
fn image(name: &str, layers: &str) -> WantedImage {
    let mut parent = None;
    let layers: Vec<Layer> = layers
        .chars()
        .map(|letter| {
            let diff_id = Digest::of(letter.to_string());
            let chain_id = Digest::chained(parent.as_ref(), &diff_id);
            parent = Some(chain_id);
            let blob = Descriptor::new(media::OCI_LAYER_ZSTD, Digest::of(format!("zstd {letter}")), 10);
            Layer { diff_id, chain_id, blob, tar_bytes: 100 }
        })
        .collect();
    let descriptor = |kind: &str| Descriptor::new(kind, Digest::of(format!("{kind} {layers:?}")), 5);
    WantedImage {
        name: ImageName::parse(name).unwrap(),
        manifest: descriptor(media::OCI_MANIFEST),
        config: descriptor(media::OCI_CONFIG),
        layers: layers.clone(),
    }
}

/// An engine that was given these images and nothing else.
fn engine(kind: EngineKind, images: &[WantedImage]) -> EngineImages {
    let id = |image: &WantedImage| match kind {
        EngineKind::Graph => image.config.digest,
        EngineKind::Containerd => image.manifest.digest,
    };
    let layers = || images.iter().flat_map(|image| &image.layers);
    EngineImages {
        kind,
        images: images
            .iter()
            .map(|image| EngineImage { id: id(image), names: vec![image.name.familiar()] })
            .collect(),
        chains: layers().map(|layer| layer.chain_id).collect(),
        blobs: layers().map(|layer| layer.blob.digest).collect(),
    }
}

fn letters(layers: &[Layer]) -> String {
    let letter = |layer: &Layer| ('a'..='z').find(|letter| Digest::of(letter.to_string()) == layer.diff_id);
    layers.iter().filter_map(letter).collect()
}

#[track_caller]
fn check(has: &[(&str, &str)], wanted: &[(&str, &str)], tasks: &[(&str, Reason)], send: &str, skip: &str) {
    let images =
        |list: &[(&str, &str)]| list.iter().map(|(name, layers)| image(name, layers)).collect::<Vec<_>>();
    for kind in [EngineKind::Graph, EngineKind::Containerd] {
        let plan = plan(&images(wanted), &engine(kind, &images(has)), &BTreeSet::new());
        let told: Vec<(String, Reason)> =
            plan.tasks.iter().map(|task| (task.image.name.familiar(), task.why)).collect();
        let want: Vec<(String, Reason)> =
            tasks.iter().map(|(name, why)| ((*name).to_owned(), *why)).collect();
        assert_eq!(told, want, "{kind:?}");
        assert_eq!(
            (letters(&plan.send), letters(&plan.skip)),
            (send.to_owned(), skip.to_owned()),
            "{kind:?}"
        );
        let each = if kind == EngineKind::Graph { 100 } else { 10 };
        assert_eq!(plan.bytes(), each * send.len() as u64);
        assert_eq!(plan.skipped_bytes(), each * skip.len() as u64);
    }
}

#[test]
fn only_what_is_missing_travels() {
    use Reason::{Missing, Moved};
    check(&[], &[], &[], "", "");
    check(&[], &[("a:1", "ab")], &[("a:1", Missing)], "ab", "");
    check(&[("a:1", "ab")], &[("a:1", "ab")], &[], "", "");
    check(&[("a:1", "ab")], &[("a:1", "abc")], &[("a:1", Moved)], "c", "ab");
    check(&[("a:1", "abc")], &[("a:1", "ab")], &[("a:1", Moved)], "", "ab");
    check(&[("a:1", "ab")], &[("b:1", "ab")], &[("b:1", Missing)], "", "ab");
    check(&[], &[("a:1", "abc"), ("b:1", "abd")], &[("a:1", Missing), ("b:1", Missing)], "abcd", "");
    check(&[("x:1", "a")], &[("a:1", "abb")], &[("a:1", Missing)], "b", "a");
}

#[test]
fn a_layer_on_another_one_below_is_another_one_to_a_storage_driver() {
    let seen = engine(EngineKind::Graph, &[image("a:1", "ab")]);
    let moved = plan(&[image("b:1", "cb")], &seen, &BTreeSet::new());
    assert_eq!(letters(&moved.send), "cb");
    let seen = engine(EngineKind::Containerd, &[image("a:1", "ab")]);
    let moved = plan(&[image("b:1", "cb")], &seen, &BTreeSet::new());
    assert_eq!(letters(&moved.send), "c");
}

#[test]
fn what_is_doubted_is_sent_in_full() {
    let wanted = image("a:1", "ab");
    for kind in [EngineKind::Graph, EngineKind::Containerd] {
        let seen = engine(kind, std::slice::from_ref(&wanted));
        let plan = plan(std::slice::from_ref(&wanted), &seen, &[wanted.manifest.digest].into());
        assert_eq!((plan.tasks[0].why, letters(&plan.send).as_str()), (Reason::Doubted, "ab"));
    }
}

#[test]
fn an_engine_may_call_an_image_by_its_configuration_or_its_manifest() {
    let wanted = image("a:1", "ab");
    for id in [wanted.config.digest, wanted.manifest.digest] {
        let mut seen = engine(EngineKind::Containerd, std::slice::from_ref(&wanted));
        seen.images[0].id = id;
        assert!(plan(std::slice::from_ref(&wanted), &seen, &BTreeSet::new()).tasks.is_empty());
    }
}

proptest! {
    #[test]
    fn after_a_load_nothing_is_missing_and_nothing_was_sent_twice(
        has in prop::collection::vec("[a-f]{0,5}", 0..4),
        wants in prop::collection::vec("[a-f]{0,5}", 0..4),
        is_graph in any::<bool>(),
    ) {
        let kind = if is_graph { EngineKind::Graph } else { EngineKind::Containerd };
        let images = |list: &[String], first: char| -> Vec<WantedImage> {
            let name = |index: usize| format!("{first}{index}");
            list.iter().enumerate().map(|(index, layers)| image(&name(index), layers)).collect()
        };
        let (has, wants) = (images(&has, 'h'), images(&wants, 'w'));
        let mut seen = engine(kind, &has);
        let first = plan(&wants, &seen, &BTreeSet::new());

        let sent: BTreeSet<Digest> = first.send.iter().map(|layer| layer.diff_id).collect();
        prop_assert_eq!(sent.len(), first.send.len());
        prop_assert!(first.send.iter().all(|layer| !seen.has(layer)));
        for layer in wants.iter().flat_map(|image| &image.layers) {
            prop_assert!(seen.has(layer) || sent.contains(&layer.diff_id));
        }
        let after = engine(kind, &wants);
        seen.images.extend(after.images);
        seen.chains.extend(after.chains);
        seen.blobs.extend(after.blobs);
        let again = plan(&wants, &seen, &BTreeSet::new());
        prop_assert!(again.tasks.is_empty() && again.bytes() == 0 && again.skip.is_empty());
    }
}
