//! What has to be done about images: a function from what the cache and the nodes have to tasks.

use std::collections::BTreeMap;

use crate::images::Look;
use crate::model::NodeName;
use crate::model::image::NodeImage;

use super::super::stack::Destinations;
use super::super::up::{Action, Task};

/// What running nodes have; of the others nothing is known before they run.
pub type Have = BTreeMap<NodeName, Vec<NodeImage>>;

/// Returns an image's task for each that has to be made, and a node's for each that lacks one.
pub fn plan(looks: &[Look], have: &Have, destinations: &Destinations) -> Vec<Task> {
    let made = looks.iter().filter_map(|look| match &look.state {
        crate::images::State::Ready(_) => None,
        crate::images::State::Stale { why } => {
            let action = Action::MakeImage { image: look.spec.key.clone() };
            Some(Task { action, why: why.join(", ") })
        }
    });
    let loads = have.iter().filter_map(|(node, images)| {
        let wanted = looks.iter().filter(|look| destinations.include(&look.spec.key, node));
        let lacks: Vec<String> = wanted.filter_map(|look| lack(look, images)).collect();
        let task = || Task { action: Action::LoadImages { node: node.clone() }, why: lacks.join(", ") };
        (!lacks.is_empty()).then(task)
    });
    made.chain(loads).collect()
}

/// Returns what a node lacks of an image, in words.
fn lack(look: &Look, images: &[NodeImage]) -> Option<String> {
    let name = look.spec.name.unpinned().familiar();
    let Some(record) = look.record() else { return Some(format!("{name} changes")) };
    let is_it = |image: &NodeImage| image.id == record.id || image.id == record.manifest.digest;
    match images.iter().find(|image| image.names.contains(&name)) {
        Some(image) if is_it(image) => None,
        Some(_) => Some(format!("{name} is another image there")),
        None => Some(format!("it has no {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::{Origin, Record, State};
    use crate::model::image::{Descriptor, Digest, ImageName, ImageSource, ImageSpec, media};

    fn look(key: &str, id: Option<&str>) -> Look {
        let name = ImageName::parse(key).unwrap();
        let spec = ImageSpec {
            key: key.to_owned(),
            name: name.clone(),
            source: ImageSource::Engine { reference: name.clone() },
            platform: None,
        };
        let state = match id {
            None => State::Stale { why: vec!["a.c changed".to_owned(), "b.c is new".to_owned()] },
            Some(id) => {
                let id = Digest::of(id);
                let manifest = Descriptor::new(media::OCI_MANIFEST, Digest::of("manifest"), 1);
                let origin = Origin::Engine { reference: name.clone(), id };
                State::Ready(Box::new(Record::new(origin, name, manifest, id)))
            }
        };
        Look { spec, state }
    }

    fn has(node: &str, images: &[(&str, &str)]) -> (NodeName, Vec<NodeImage>) {
        let image =
            |(name, id): &(&str, &str)| NodeImage { id: Digest::of(id), names: vec![(*name).to_owned()] };
        (NodeName::parse(node).unwrap(), images.iter().map(image).collect())
    }

    #[track_caller]
    fn check(looks: &[Look], have: &[(NodeName, Vec<NodeImage>)], want: &[&str]) {
        let tasks = plan(looks, &have.iter().cloned().collect(), &Destinations::default());
        let told: Vec<String> = tasks.iter().map(|task| task.to_string().replace("  ", "")).collect();
        assert_eq!(told, want);
    }

    #[test]
    fn nodes_get_what_they_lack_and_images_are_made_when_they_changed() {
        let (web, old) = (look("web", Some("1")), look("web", None));
        check(&[], &[has("n1", &[])], &[]);
        check(std::slice::from_ref(&web), &[has("n1", &[("web:latest", "1")])], &[]);
        check(std::slice::from_ref(&web), &[has("n1", &[("web:latest", "manifest")])], &[]);
        let lacks = [
            "load images on n1(web:latest is another image there)",
            "load images on n2(it has no web:latest)",
        ];
        check(&[web], &[has("n1", &[("web:latest", "0")]), has("n2", &[("db:1", "1")])], &lacks);
        let changes =
            ["make the image web(a.c changed, b.c is new)", "load images on n1(web:latest changes)"];
        check(&[old], &[has("n1", &[("web:latest", "1")])], &changes);
    }
}
