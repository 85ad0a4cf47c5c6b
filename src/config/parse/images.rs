//! Reads `[images.NAME]`: tables whose names the user chooses, and of whose keys some exclude others.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::Reader;
use crate::config::file::{ONE_IMAGE, OneImage};
use crate::config::limits;

/// What an image comes from; a table has one of them at most.
const SOURCES: [&str; 4] = ["build", "pull", "engine", "archive"];

/// Keys that mean something with some sources only.
const BELONGS: [(&str, &[&str]); 5] = [
    ("dockerfile", &["build"]),
    ("args", &["build"]),
    ("target", &["build"]),
    ("image", &["archive"]),
    ("platform", &["build", "pull", "archive"]),
];

impl Reader<'_> {
    pub(super) fn images(&mut self, root: &DeTable<'_>) -> BTreeMap<String, OneImage> {
        let Some(tables) = self.typed(root, "images", "a table", DeValue::as_table) else {
            return BTreeMap::new();
        };
        let mut images = BTreeMap::new();
        for (key, _) in tables {
            let key = key.get_ref().as_ref();
            let Some(table) = self.typed(tables, key, "a table", DeValue::as_table) else { continue };
            self.check_keys(table, ONE_IMAGE);
            if let Err(refused) = limits::image_key(key) {
                let span = tables.get_key_value(key).map(|(key, _)| key.span()).unwrap_or_default();
                self.add(span, &refused.to_string(), None);
            }
            self.check_sources(table);
            images.insert(key.to_owned(), self.image(table));
        }
        images
    }

    fn image(&mut self, table: &DeTable<'_>) -> OneImage {
        OneImage {
            build: self.string(table, "build", limits::path),
            dockerfile: self.string(table, "dockerfile", limits::path),
            args: self.arguments(table),
            target: self.string(table, "target", limits::word),
            pull: self.string(table, "pull", limits::image_reference),
            engine: self.string(table, "engine", limits::image_reference),
            archive: self.string(table, "archive", limits::path),
            image: self.string(table, "image", limits::image_reference),
            platform: self.string(table, "platform", limits::platform),
            name: self.string(table, "name", limits::image_name),
            skip: self.typed(table, "skip", "true or false", DeValue::as_bool),
        }
    }

    /// Tells what cannot stand together; without any source the image is built from its folder.
    fn check_sources(&mut self, table: &DeTable<'_>) {
        let given: Vec<&str> = SOURCES.into_iter().filter(|key| table.contains_key(*key)).collect();
        let source = given.first().copied().unwrap_or("build");
        for other in given.iter().skip(1) {
            let message = format!("`{other}` cannot stand beside `{source}`: an image has one origin");
            self.add_at(table, other, &message);
        }
        for (key, with) in BELONGS {
            if given.len() <= 1 && table.contains_key(key) && !with.contains(&source) {
                let message = format!("`{key}` means nothing with `{source}`; it goes with {}", list(with));
                self.add_at(table, key, &message);
            }
        }
    }

    fn arguments(&mut self, table: &DeTable<'_>) -> Option<BTreeMap<String, String>> {
        let args = self.typed(table, "args", "a table", DeValue::as_table)?;
        let mut read = BTreeMap::new();
        for (name, _) in args {
            let name = name.get_ref().as_ref();
            if !limits::is_argument(name) {
                let message = format!(
                    "`{}` cannot name an argument: only letters, digits and `_` may stand in it",
                    name.escape_debug()
                );
                self.add_at(args, name, &message);
            }
            if let Some(value) = self.typed(args, name, "text in quotes", DeValue::as_str) {
                read.insert(name.to_owned(), value.to_owned());
            }
        }
        Some(read)
    }

    pub(super) fn add_at(&mut self, table: &DeTable<'_>, key: &str, message: &str) {
        let span = table.get_key_value(key).map(|(key, _)| key.span()).unwrap_or_default();
        self.add(span, message, None);
    }
}

fn list(keys: &[&str]) -> String {
    let quoted: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;
    use crate::config::parse;
    use crate::model::image::{ImageName, Platform};

    fn read(text: &str) -> BTreeMap<String, OneImage> {
        parse(text, Utf8Path::new("lab.toml")).unwrap_or_else(|problems| panic!("{problems}")).images
    }

    fn name(text: &str) -> ImageName {
        ImageName::parse(text).unwrap()
    }

    #[track_caller]
    fn check(text: &str, first_line: &str) {
        let told = parse(text, Utf8Path::new("lab.toml")).unwrap_err().to_string();
        assert_eq!(told.lines().next(), Some(format!("lab.toml:{first_line}").as_str()), "{told}");
    }

    #[test]
    fn every_kind_of_image_is_read() {
        let images = read(
            "[images.web]\nbuild = \"x/web\"\ndockerfile = \"D\"\nargs = { VERSION = \"1.2\" }\n\
             target = \"final\"\nname = \"example/web:1\"\n\
             [images.redis]\npull = \"redis:7\"\nplatform = \"linux/arm64\"\n\
             [images.jre]\nengine = \"jre17\"\n\
             [images.old]\narchive = \"old.tar.gz\"\nimage = \"a/app:1\"\n\
             [images.\"a.b\"]\nskip = true\n[images.plain]\n",
        );
        let web = OneImage {
            build: Some("x/web".into()),
            dockerfile: Some("D".into()),
            args: Some([("VERSION".to_owned(), "1.2".to_owned())].into()),
            target: Some("final".to_owned()),
            name: Some(name("example/web:1")),
            ..OneImage::default()
        };
        assert_eq!(images["web"], web);
        let platform = Platform { os: "linux".to_owned(), architecture: "arm64".to_owned(), variant: None };
        let redis = OneImage { pull: Some(name("redis:7")), platform: Some(platform), ..OneImage::default() };
        assert_eq!(images["redis"], redis);
        assert_eq!(images["jre"], OneImage { engine: Some(name("jre17")), ..OneImage::default() });
        let old = OneImage {
            archive: Some("old.tar.gz".into()),
            image: Some(name("a/app:1")),
            ..OneImage::default()
        };
        assert_eq!(images["old"], old);
        assert_eq!(images["a.b"], OneImage { skip: Some(true), ..OneImage::default() });
        assert_eq!(images["plain"], OneImage::default());
        assert_eq!(images.len(), 6);
    }

    #[test]
    fn each_mistake_is_told_with_its_place() {
        check("images = 3", "1:10: `images` must be a table, not a number");
        check("[images]\nweb = \"redis\"", "2:7: `web` must be a table, not text");
        check(
            "[images]\nbase = \"debian:12\"",
            "2:8: `base` must be a table, not text; `base` stands under `[image]`",
        );
        check("[image.web]\nbuild = \"x\"", "1:8: unknown key `web`; did you mean `[images.web]`?");
        check("[images.web]\nbuidl = \"x\"", "2:1: unknown key `buidl`; did you mean `build`?");
        check("pull = \"redis\"", "1:1: unknown key `pull`; `pull` stands under `[images.NAME]`");
        check(
            "[images.Web]",
            "1:9: `Web` cannot name an image: only lower-case letters, digits, `.`, `_` and `-` may \
              stand in it, the last three inside",
        );
        check(
            "[images.a]\npull = \"redis\"\nbuild = \"a\"",
            "2:1: `pull` cannot stand beside `build`: an image has one origin",
        );
        check(
            "[images.a]\npull = \"redis\"\ntarget = \"a\"",
            "3:1: `target` means nothing with `pull`; it goes with `build`",
        );
        check(
            "[images.a]\nengine = \"redis\"\nplatform = \"linux/arm64\"",
            "3:1: `platform` means nothing with `engine`; it goes with `build`, `pull` and `archive`",
        );
        check(
            "[images.a]\nimage = \"redis\"",
            "2:1: `image` means nothing with `build`; it goes with `archive`",
        );
        check(
            "[images.a]\npull = \"Redis\"",
            "2:8: `pull`: `Redis` is not the name of an image: a path of lower-case letters, digits, `.`, \
              `_` and `-` is expected",
        );
        check(
            "[images.a]\nplatform = \"arm\"",
            "2:12: `platform`: `arm` is not a platform: it is written like linux/amd64 or linux/arm/v7",
        );
        check("[images.a]\nbuild = \"\"", "2:9: `build`: a path is missing");
        check("[images.a]\ntarget = \"a b\"", "2:10: `target`: `a b` is not one word");
        check("[images.a.args]\nV = 1.2", "2:5: `V` must be text in quotes, not a number with a point");
        check(
            "[images.a.args]\n\"a b\" = \"\"",
            "2:1: `a b` cannot name an argument: only letters, digits and `_` may stand in it",
        );
        check("[images.a]\nskip = \"yes\"", "2:8: `skip` must be true or false, not text");
        check("[cache]\nlimit = \"12MiB\"", "2:9: `limit`: 12MiB is less than 1GiB");
        check(
            "[cache]\nlimit = 20",
            "2:9: `limit` must be text in quotes, not a number; write it with its unit, such as \"2GiB\"",
        );
    }

    #[test]
    fn a_name_on_a_node_has_no_digest() {
        let text = format!("[images.a]\nname = \"redis@sha256:{}\"", "0".repeat(64));
        let told = parse(&text, Utf8Path::new("lab.toml")).unwrap_err().to_string();
        assert!(told.contains("with a digest, which no node can give"), "{told}");
    }
}
