//! `lab/debian`: a minimal Debian to build on, which is also there where no registry can be reached.

use super::base::{Base, keep, pull};
use super::bootstrap::{self, Recipe};
use super::cache::Cache;
use super::load;
use super::node::Error;
use super::record::Origin;
use crate::docker::Engine;
use crate::model::image::ImageName;
use crate::progress::Step;

const REPOSITORY: &str = "lab/debian";
const SUITES: &[&str] = &["bookworm", "trixie"];
const LEFT_OUT: &[&str] = &["man", "doc", "info", "locale", "lintian"];
/// What Debian's own images do too: installing a service does not start it, and packages are not kept.
const BUILD_RULES: &str = r#"printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d" && chmod 755 "$1/usr/sbin/policy-rc.d" && echo 'APT::Keep-Downloaded-Packages "false";' >"$1/etc/apt/apt.conf.d/lab""#;

/// Returns the suite that a name means, if it is one of ours.
pub(super) fn suite(name: &ImageName) -> Option<&'static str> {
    let is_it =
        |suite: &str| ImageName::parse(&format!("{REPOSITORY}:{suite}")).is_ok_and(|ours| ours == *name);
    SUITES.iter().copied().find(|suite| is_it(suite))
}

/// Sees to it that the engine has a suite: out of the cache, pulled, or made. The cache keeps it, for an engine that
/// loses it, and for a machine that has nothing else.
pub(super) async fn bring(
    engine: &Engine,
    cache: &Cache,
    suite: &'static str,
    step: &Step,
) -> Result<(), Error> {
    let recipe = recipe(suite);
    let name = recipe.name();
    let kept = cache.find(&Origin::Base { key: name.clone() }.key())?;
    if engine.image_id(&name).await?.is_none()
        && let Some(record) = &kept
    {
        step.change(format!("taking {name} out of the cache"));
        load::give(engine, cache, record).await?;
    }
    match engine.image_id(&name).await? {
        Some(_) if kept.is_some() => return Ok(()),
        Some(_) => {}
        None => fetch(engine, cache, &recipe, step).await?,
    }
    let id = engine.image_id(&name).await?.ok_or_else(|| Error::Vanished { name: name.clone() })?;
    step.change(format!("keeping {name} in the cache"));
    keep(engine, cache, name.clone(), &Base { name, id }, step).await
}

async fn fetch(engine: &Engine, cache: &Cache, recipe: &Recipe, step: &Step) -> Result<(), Error> {
    let pulled = format!("debian:{}-slim", recipe.suite);
    let there = match engine.image_id(&pulled).await? {
        Some(_) => Ok(()),
        None => pull(engine, &pulled, step).await,
    };
    match there {
        Ok(()) => Ok(engine.tag_image(&pulled, recipe.repository, &recipe.tag).await?),
        Err(Error::Pull { .. } | Error::PullHangs { .. }) => {
            step.change(format!("{pulled} cannot be pulled here"));
            bootstrap::make(engine, recipe, &cache.workshop(), step).await
        }
        Err(error) => Err(error),
    }
}

fn recipe(suite: &'static str) -> Recipe {
    let left_out = LEFT_OUT.iter().map(|folder| format!("--dpkgopt=path-exclude=/usr/share/{folder}/*"));
    let fixed = [
        "--variant=minbase".to_owned(),
        "--aptopt=Acquire::Languages \"none\"".to_owned(),
        // It would take our rule for its own and remove it in the end.
        "--skip=chroot/policy-rc.d".to_owned(),
        format!("--customize-hook={BUILD_RULES}"),
    ];
    Recipe {
        repository: REPOSITORY,
        tag: suite.to_owned(),
        suite,
        options: fixed.into_iter().chain(left_out).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_are_known() {
        #[track_caller]
        fn check(name: &str, want: Option<&str>) {
            assert_eq!(suite(&ImageName::parse(name).unwrap()), want, "{name}");
        }
        check("lab/debian:bookworm", Some("bookworm"));
        check("lab/debian:trixie", Some("trixie"));
        check("lab/debian", None);
        check("lab/debian:buster", None);
        check("debian:bookworm", None);
        check("localhost:5000/lab/debian:bookworm", None);
        check(&format!("lab/debian:bookworm@sha256:{}", "0".repeat(64)), None);
    }

    #[test]
    fn it_is_as_small_as_it_can_be() {
        let recipe = recipe("trixie");
        assert_eq!((recipe.name().as_str(), recipe.suite), ("lab/debian:trixie", "trixie"));
        assert!(!recipe.options.iter().any(|option| option.starts_with("--include")));
        assert!(recipe.options.contains(&"--dpkgopt=path-exclude=/usr/share/doc/*".to_owned()));
    }
}
