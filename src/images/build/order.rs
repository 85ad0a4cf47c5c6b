//! Images that other images of the lab are built on come first.

use std::collections::BTreeMap;

use crate::model::image::ImageName;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("images are built on each other in a circle: {}", circle(.names))]
pub struct Circle {
    names: Vec<ImageName>,
}

fn circle(names: &[ImageName]) -> String {
    let names: Vec<String> =
        names.iter().chain(names.first()).map(|name| format!("`{}`", name.familiar())).collect();
    names.join(" on ")
}

/// Returns in which order to build images, as places in `images`: each with what it is called and what
/// it builds on. Names that no image of the lab has do not matter; what may come in any order keeps its own.
pub fn order(images: &[(ImageName, Vec<ImageName>)]) -> Result<Vec<usize>, Circle> {
    let places: BTreeMap<&ImageName, usize> =
        images.iter().enumerate().map(|(place, (name, _))| (name, place)).collect();
    let mut walk =
        Walk { images, places, is_done: vec![false; images.len()], path: Vec::new(), order: vec![] };
    (0..images.len()).try_for_each(|place| walk.visit(place))?;
    Ok(walk.order)
}

struct Walk<'a> {
    images: &'a [(ImageName, Vec<ImageName>)],
    places: BTreeMap<&'a ImageName, usize>,
    is_done: Vec<bool>,
    /// From the image that was asked for down to the one at hand.
    path: Vec<usize>,
    order: Vec<usize>,
}

impl Walk<'_> {
    fn visit(&mut self, place: usize) -> Result<(), Circle> {
        if self.is_done[place] {
            return Ok(());
        }
        if let Some(start) = self.path.iter().position(|other| *other == place) {
            let names = self.path[start..].iter().map(|place| self.images[*place].0.clone()).collect();
            return Err(Circle { names });
        }
        self.path.push(place);
        let images = self.images;
        let known = images[place].1.iter().filter_map(|base| self.places.get(base).copied());
        for base in known.collect::<Vec<usize>>() {
            self.visit(base)?;
        }
        self.path.pop();
        self.is_done[place] = true;
        self.order.push(place);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn images(all: &[(&str, &[&str])]) -> Vec<(ImageName, Vec<ImageName>)> {
        let name = |text: &str| ImageName::parse(text).unwrap();
        all.iter().map(|(one, bases)| (name(one), bases.iter().map(|base| name(base)).collect())).collect()
    }

    #[track_caller]
    fn check(all: &[(&str, &[&str])], want: &[&str]) {
        let places = order(&images(all)).unwrap();
        assert_eq!(places.iter().map(|place| all[*place].0).collect::<Vec<_>>(), want);
    }

    #[test]
    fn what_is_built_on_comes_first() {
        check(&[], &[]);
        check(&[("b", &["debian"]), ("a", &[])], &["b", "a"]);
        check(&[("a", &["b"]), ("b", &["c:latest"]), ("c", &["x"])], &["c", "b", "a"]);
        check(&[("a", &["c", "b"]), ("b", &["c"]), ("c", &[])], &["c", "b", "a"]);
        check(&[("a", &["b:1"]), ("b:2", &[])], &["a", "b:2"]);
    }

    #[test]
    fn a_circle_is_told() {
        let told = |all: &[(&str, &[&str])]| order(&images(all)).unwrap_err().to_string();
        let start = "images are built on each other in a circle: ";
        assert_eq!(told(&[("a", &["a"])]), format!("{start}`a:latest` on `a:latest`"));
        assert_eq!(
            told(&[("x", &["a"]), ("a", &["b"]), ("b", &["a"])]),
            format!("{start}`a:latest` on `b:latest` on `a:latest`")
        );
    }

    proptest! {
        #[test]
        fn bases_come_before_what_is_built_on_them(edges in prop::collection::vec((0..8usize, 0..8usize), 0..16)) {
            let name = |index: usize| ImageName::parse(&format!("i{index}")).unwrap();
            let bases = |index| edges.iter().filter(|(on, _)| *on == index).map(|(_, base)| name(*base)).collect();
            let all: Vec<(ImageName, Vec<ImageName>)> = (0..8).map(|index| (name(index), bases(index))).collect();
            if let Ok(places) = order(&all) {
                let at = |index| places.iter().position(|place| *place == index).unwrap();
                prop_assert_eq!(places.len(), 8);
                prop_assert!(edges.iter().all(|(on, base)| at(*base) < at(*on)));
            }
        }
    }
}
