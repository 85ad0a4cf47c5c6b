//! Makes sure that a build finds the base images that it is meant to find.

use super::{Base, Error, Wanted, written};
use crate::docker::Engine;
use crate::model::image::{Digest, ImageName};
use crate::progress::Step;

/// Sees to the bases that the lab built itself, and to those that its lock file pins. The engine
/// fetches the others on its own.
pub(super) async fn hold(
    engine: &Engine,
    bases: &[Base],
    wanted: &Wanted<'_>,
    step: &Step,
) -> Result<(), Error> {
    let lab_platform = wanted.platform.map(written);
    for base in bases {
        let platform = base.platform.as_deref().or(lab_platform.as_deref());
        if let Some(id) = wanted.known.get(&base.name) {
            hold_own(engine, &base.name, id).await?;
        } else if let Some(digest) = wanted.pins.get(&base.name) {
            hold_pinned(engine, base, *digest, (platform, step)).await?;
        }
    }
    Ok(())
}

/// Gives an image of the lab its name again, should another have taken it.
async fn hold_own(engine: &Engine, name: &ImageName, id: &Digest) -> Result<(), Error> {
    let id = id.to_string();
    if engine.image_id(&name.familiar()).await?.as_ref() == Some(&id) {
        return Ok(());
    }
    match engine.image_id(&id).await? {
        Some(_) => rename(engine, &id, name).await,
        None => Err(Error::BaseGone { name: Box::new(name.clone()) }),
    }
}

async fn hold_pinned(
    engine: &Engine,
    base: &Base,
    digest: Digest,
    (platform, step): (Option<&str>, &Step),
) -> Result<(), Error> {
    let pinned = base.name.pinned(digest);
    if base.name.digest().is_some() {
        return Ok(());
    }
    if let Some(found) = engine.find_image(&base.written).await? {
        match standing(&found.digests, &pinned) {
            Standing::Pinned => return Ok(()),
            Standing::Local => {
                step.output(format!("{} was made here; it is not what lab.lock says", base.name));
                return Ok(());
            }
            Standing::Another => {}
        }
    }
    let source = pinned.familiar();
    step.change(format!("pulling {source}"));
    let pulled = engine.pull_image_for(&source, platform.unwrap_or_default()).await;
    pulled.map_err(|source| Error::Pull { name: Box::new(base.name.clone()), source })?;
    rename(engine, &source, &base.name).await
}

/// How an image that the engine has under the right name stands to the one that is pinned.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Pinned,
    /// It came from the registry and is another one.
    Another,
    /// It came from no registry; who made it meant it to be used.
    Local,
}

fn standing(digests: &[String], pinned: &ImageName) -> Standing {
    let same_place =
        |name: &ImageName| name.registry() == pinned.registry() && name.repository() == pinned.repository();
    let mut known =
        digests.iter().filter_map(|name| ImageName::parse(name).ok()).filter(same_place).peekable();
    if known.peek().is_none() {
        return Standing::Local;
    }
    if known.any(|name| name.digest() == pinned.digest()) { Standing::Pinned } else { Standing::Another }
}

async fn rename(engine: &Engine, image: &str, name: &ImageName) -> Result<(), Error> {
    let repository = format!("{}/{}", name.registry(), name.repository());
    Ok(engine.tag_image(image, &repository, name.tag().unwrap_or_default()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_compared_with_what_the_engine_pulled_from_there() {
        let (a, b) = (Digest::of("a"), Digest::of("b"));
        let pinned = ImageName::parse("debian:12").unwrap().pinned(a);
        let check = |digests: &[String], want| assert_eq!(standing(digests, &pinned), want, "{digests:?}");
        check(&[], Standing::Local);
        check(&[format!("debian@{a}")], Standing::Pinned);
        check(&[format!("docker.io/library/debian@{b}"), format!("debian@{a}")], Standing::Pinned);
        check(&[format!("debian@{b}")], Standing::Another);
        check(&[format!("other/debian@{a}"), "<none>@<none>".to_owned()], Standing::Local);
    }
}
