//! Which images a lab has: those that `lab.toml` names, and the folders that are found without it.

use std::collections::BTreeMap;

use camino::Utf8Path;

use super::file::OneImage;
use super::limits::is_image_key;
use crate::fs;
use crate::model::image::{BuildSource, ImageName, ImageSource, ImageSpec};

/// The folder of a project whose folders are images, if they have a Dockerfile.
const FOLDER: &str = "images";
const DOCKERFILE: &str = "Dockerfile";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageProblem {
    #[error("nothing says where the image `{key}` comes from, and there is no `{FOLDER}/{key}/{DOCKERFILE}`")]
    NoSource { key: String },
    #[error("the images `{first}` and `{second}` are both called `{name}`")]
    SameName { first: String, second: String, name: Box<ImageName> },
}

impl ImageProblem {
    pub fn hint(&self) -> String {
        match self {
            Self::NoSource { key } => {
                format!("set one of `build`, `pull`, `engine` and `archive` in `[images.{key}]` of lab.toml")
            }
            Self::SameName { second, .. } => {
                format!(
                    "set another `name` in `[images.{second}]` of lab.toml, or `skip = true` to do without it"
                )
            }
        }
    }
}

/// Returns the folders of a project that are images also without a table. A folder whose name cannot
/// name an image is none: what several images share may lie in `_shared`.
pub(super) fn folders(project: &Utf8Path) -> Result<Vec<String>, fs::Error> {
    let folder = project.join(FOLDER);
    let is_image =
        |name: &String| is_image_key(name) && folder.join(name).join(DOCKERFILE).symlink_metadata().is_ok();
    // A file of that name is no mistake: it has no folders.
    let names = if folder.is_dir() { fs::list(&folder)? } else { Vec::new() };
    Ok(names.into_iter().filter(is_image).collect())
}

/// Returns all images of a lab, sorted by what people call them.
pub(super) fn specs(
    tables: &BTreeMap<String, OneImage>,
    found: &[String],
    project: &Utf8Path,
) -> Result<Vec<ImageSpec>, ImageProblem> {
    let plain = OneImage::default();
    let mut all: BTreeMap<&String, &OneImage> = found.iter().map(|key| (key, &plain)).collect();
    all.extend(tables);
    let mut specs: Vec<ImageSpec> = Vec::new();
    for (key, image) in all.into_iter().filter(|(_, image)| image.skip != Some(true)) {
        let spec = spec(key, image, found.contains(key), project)?;
        if let Some(other) = specs.iter().find(|other| other.name == spec.name) {
            let (first, second) = (other.key.clone(), spec.key);
            return Err(ImageProblem::SameName { first, second, name: Box::new(spec.name) });
        }
        specs.push(spec);
    }
    Ok(specs)
}

/// Returns the images that a stack describes; `folder` is the stack's.
pub fn stack_images(
    tables: &BTreeMap<String, OneImage>,
    folder: &Utf8Path,
) -> Result<Vec<ImageSpec>, ImageProblem> {
    let has_folder =
        |key: &&String| folder.join(FOLDER).join(key).join(DOCKERFILE).symlink_metadata().is_ok();
    let found: Vec<String> = tables.keys().filter(has_folder).cloned().collect();
    specs(tables, &found, folder)
}

fn spec(key: &str, image: &OneImage, is_found: bool, project: &Utf8Path) -> Result<ImageSpec, ImageProblem> {
    let source = source(key, image, is_found, project)?;
    let called = match &source {
        ImageSource::Registry { reference }
        | ImageSource::Engine { reference }
        | ImageSource::Archive { reference: Some(reference), .. } => reference.unpinned(),
        ImageSource::Build(_) | ImageSource::Archive { reference: None, .. } => {
            ImageName::parse(key).expect("what can be a key is a name")
        }
    };
    let name = image.name.clone().unwrap_or(called);
    Ok(ImageSpec { key: key.to_owned(), name, source, platform: image.platform.clone() })
}

fn source(
    key: &str,
    image: &OneImage,
    is_found: bool,
    project: &Utf8Path,
) -> Result<ImageSource, ImageProblem> {
    if let Some(reference) = image.pull.clone() {
        return Ok(ImageSource::Registry { reference });
    }
    if let Some(reference) = image.engine.clone() {
        return Ok(ImageSource::Engine { reference });
    }
    if let Some(path) = &image.archive {
        return Ok(ImageSource::Archive { path: project.join(path), reference: image.image.clone() });
    }
    let folder = match &image.build {
        Some(folder) => project.join(folder),
        // The Dockerfile may have another name, which is said then.
        None if is_found || image.dockerfile.is_some() => project.join(FOLDER).join(key),
        None => return Err(ImageProblem::NoSource { key: key.to_owned() }),
    };
    Ok(ImageSource::Build(BuildSource {
        folder,
        dockerfile: image.dockerfile.clone().unwrap_or_else(|| DOCKERFILE.into()),
        args: image.args.clone().unwrap_or_default(),
        target: image.target.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::config::parse;

    fn resolved(text: &str, found: &[&str]) -> Result<Vec<ImageSpec>, ImageProblem> {
        let tables = parse(text, Utf8Path::new("lab.toml")).unwrap().images;
        let found: Vec<String> = found.iter().map(|key| (*key).to_owned()).collect();
        specs(&tables, &found, Utf8Path::new("/p"))
    }

    /// Compares the names, and what else matters of each image.
    #[track_caller]
    fn check(text: &str, found: &[&str], want: &[&str]) {
        let told = |spec: &ImageSpec| {
            let from = match &spec.source {
                ImageSource::Build(source) => format!("build {}/{}", source.folder, source.dockerfile),
                ImageSource::Registry { reference } => format!("pull {reference}"),
                ImageSource::Engine { reference } => format!("engine {reference}"),
                ImageSource::Archive { path, reference } => format!("archive {path} {reference:?}"),
            };
            format!("{} = {} {from}", spec.key, spec.name)
        };
        let specs = resolved(text, found).unwrap();
        assert_eq!(specs.iter().map(told).collect::<Vec<_>>(), want);
    }

    #[test]
    fn folders_and_tables_make_one_list() {
        check("", &[], &[]);
        check(
            "",
            &["b", "a"],
            &["a = a:latest build /p/images/a/Dockerfile", "b = b:latest build /p/images/b/Dockerfile"],
        );
        check("[images.a]\nname = \"x/a:1\"", &["a"], &["a = x/a:1 build /p/images/a/Dockerfile"]);
        check("[images.a]\nbuild = \"src\"", &[], &["a = a:latest build /p/src/Dockerfile"]);
        check("[images.a]\nbuild = \"/src\"\ndockerfile = \"D\"", &["a"], &["a = a:latest build /src/D"]);
        check("[images.a]\ndockerfile = \"D\"", &[], &["a = a:latest build /p/images/a/D"]);
        check("[images.a]\npull = \"redis:7\"", &["a"], &["a = redis:7 pull redis:7"]);
        check("[images.a]\nengine = \"jre\"", &[], &["a = jre:latest engine jre:latest"]);
        check("[images.a]\narchive = \"o.tar\"", &[], &["a = a:latest archive /p/o.tar None"]);
        check("[images.a]\nskip = true", &["a", "b"], &["b = b:latest build /p/images/b/Dockerfile"]);
        check("[images.gone]\nskip = true", &[], &[]);
    }

    #[test]
    fn what_is_pinned_is_called_by_its_tag() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let text = format!(
            "[images.a]\npull = \"redis:7@{digest}\"\n[images.b]\narchive = \"b\"\nimage = \"x/b:2\""
        );
        let names: Vec<String> =
            resolved(&text, &[]).unwrap().iter().map(|spec| spec.name.to_string()).collect();
        assert_eq!(names, ["redis:7", "x/b:2"]);
    }

    #[test]
    fn what_cannot_be_is_told_with_a_cure() {
        let told = |text, found| {
            let problem = resolved(text, found).unwrap_err();
            format!("{problem}\nhint: {}\n", problem.hint())
        };
        insta::assert_snapshot!(
            told("[images.a]\nname = \"x\"", &[])
                + &told("[images.b]\nname = \"docker.io/library/a\"", &["a", "b"])
        );
    }

    #[test]
    fn a_folder_is_an_image_if_it_has_a_dockerfile_and_a_name_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let project = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        assert!(folders(&project).unwrap().is_empty());
        for file in
            ["web/Dockerfile", "b.2/Dockerfile", "none/README", "Upper/Dockerfile", "_shared/Dockerfile"]
        {
            fs::write(&project.join("images").join(file), "", fs::Access::Public).unwrap();
        }
        fs::write(&project.join("images/file"), "", fs::Access::Public).unwrap();
        assert_eq!(folders(&project).unwrap(), ["b.2", "web"]);
        let other = project.join("other");
        fs::write(&other.join("images"), "a file", fs::Access::Public).unwrap();
        assert!(folders(&other).unwrap().is_empty());
    }
}
