//! Where the base of a node's image comes from: in the engine, in the cache, from its registry, or
//! made from Debian packages, so that a machine that reaches a package mirror and no registry will do.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::cache::Cache;
use super::load;
use super::node::Error;
use super::record::{Origin, Record};
use super::{export, recipe};
use crate::docker::Engine;
use crate::exec::{self, Cmd};
use crate::fs;
use crate::model::image::{Digest, ImageName};
use crate::progress::{Progress, Step};

/// The base that is also made from packages where it cannot be pulled.
pub(super) const DEFAULT: &str = "debian:bookworm-slim";
pub(super) const SUITE: &str = "bookworm";
const REPOSITORY: &str = "lab/base";
/// A registry that answers begins to within this time; a firewall that swallows packets never does.
const PULL_LIMIT: Duration = Duration::from_mins(3);

/// A base that the engine has.
pub(super) struct Base {
    pub(super) name: String,
    pub(super) id: String,
}

fn made_name() -> String {
    format!("{REPOSITORY}:{}", recipe::base_key())
}

/// Returns the base if the engine has it already.
pub(super) async fn find(engine: &Engine, wanted: &str) -> Result<Option<Base>, Error> {
    let made = (wanted == DEFAULT).then(made_name);
    for name in made.into_iter().chain([wanted.to_owned()]) {
        if let Some(id) = engine.image_id(&name).await? {
            return Ok(Some(Base { name, id }));
        }
    }
    Ok(None)
}

/// Takes the base out of the cache, fetches it from its registry, or makes it. What was fetched or made
/// is kept in the cache, for an engine that loses it, and for a machine that has nothing else.
pub(super) async fn obtain(
    engine: &Engine,
    wanted: &str,
    cache: &Cache,
    workshop: &Utf8Path,
    step: &Step,
) -> Result<Base, Error> {
    let key = if wanted == DEFAULT { made_name() } else { wanted.to_owned() };
    if let Some(record) = cache.find(&Origin::Base { key: key.clone() }.key())? {
        step.change(format!("taking {} out of the cache", record.name));
        load::give(engine, cache, &record).await?;
    }
    if let Some(base) = find(engine, wanted).await? {
        return Ok(base);
    }
    let base = fetch(engine, wanted, workshop, step).await?;
    step.change(format!("keeping {} in the cache", base.name));
    keep(engine, cache, key, &base, step).await?;
    Ok(base)
}

/// Sees to it that the cache has what nodes boot from, if the engine has it.
pub async fn keep_base(
    engine: &Engine,
    cache: &Cache,
    wanted: &str,
    progress: &Progress,
) -> Result<(), Error> {
    let key = if wanted == DEFAULT { made_name() } else { wanted.to_owned() };
    let Some(base) = find(engine, wanted).await? else { return Ok(()) };
    if cache.find(&Origin::Base { key: key.clone() }.key())?.is_some() {
        return Ok(());
    }
    let step = progress.begin("cache", format!("taking {} from the engine", base.name));
    keep(engine, cache, key, &base, &step).await?;
    step.done(format!("{} is in the cache", base.name));
    Ok(())
}

async fn keep(engine: &Engine, cache: &Cache, key: String, base: &Base, step: &Step) -> Result<(), Error> {
    let Ok(id) = Digest::parse(&base.id) else { return Ok(()) };
    let Ok(name) = ImageName::parse(&base.name) else { return Ok(()) };
    let _lock = cache.share()?;
    let mut images = export::from_engine(cache.store(), engine, &[id], step).await?;
    if let Some(image) = images.remove(&id) {
        cache.save(&Record::new(Origin::Base { key }, name, image.manifest, image.config))?;
    }
    Ok(())
}

async fn fetch(engine: &Engine, wanted: &str, workshop: &Utf8Path, step: &Step) -> Result<Base, Error> {
    step.change(format!("pulling {wanted}"));
    let pulled = tokio::time::timeout(PULL_LIMIT, engine.pull_image(wanted)).await;
    match pulled {
        Ok(Ok(())) => {}
        Ok(Err(source)) if source.is_engine_gone() => return Err(source.into()),
        Ok(Err(source)) if wanted != DEFAULT => return Err(Error::Pull { name: wanted.to_owned(), source }),
        Err(_) if wanted != DEFAULT => return Err(Error::PullHangs { name: wanted.to_owned() }),
        Ok(Err(_)) | Err(_) => {
            step.change(format!("{wanted} cannot be pulled here"));
            make(engine, workshop, step).await?;
        }
    }
    find(engine, wanted).await?.ok_or_else(|| Error::Vanished { name: wanted.to_owned() })
}

async fn make(engine: &Engine, workshop: &Utf8Path, step: &Step) -> Result<(), Error> {
    step.change("making the base from Debian packages (about a minute)");
    let work = Workshop::open(workshop).await?;
    // Another `lab` may have made it while we waited for the workshop.
    if engine.image_id(&made_name()).await?.is_none() {
        let archive = work.folder.join("base.tar");
        let cmd = bootstrap(&archive, &work.folder, &sources());
        exec::run(&cmd, b"").await.map_err(|source| Error::Bootstrap { source })?;
        step.change("importing the base");
        engine.import_image(&archive, REPOSITORY, &recipe::base_key()).await?;
    }
    work.close()
}

/// A folder of one process at a time; what a killed one left in it goes when the next opens it.
struct Workshop {
    folder: Utf8PathBuf,
    _lock: std::fs::File,
}

impl Workshop {
    async fn open(cache: &Utf8Path) -> Result<Self, Error> {
        let folder = cache.join("base");
        fs::create_dir(cache)?;
        let path = cache.join("base.lock");
        let waiting = path.clone();
        let locked = tokio::task::spawn_blocking(move || {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(&waiting)?;
            file.lock().map(|()| file)
        });
        let lock = locked.await.expect("taking a lock does not panic");
        let lock = lock.map_err(|source| Error::Workshop { path, source })?;
        fs::remove_dir(&folder)?;
        fs::create_dir(&folder)?;
        Ok(Self { folder, _lock: lock })
    }

    fn close(self) -> Result<(), Error> {
        Ok(fs::remove_dir(&self.folder)?)
    }
}

/// Returns the package sources of this host, if it is the Debian that we make.
pub(super) fn sources() -> Vec<Utf8PathBuf> {
    let release = fs::read_to_string(Utf8Path::new("/etc/os-release")).unwrap_or_default();
    let is_same = release.lines().any(|line| line == format!("VERSION_CODENAME={SUITE}"));
    let known = ["/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources"];
    let used = |path: &Utf8PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains(SUITE));
    known.into_iter().filter(|_| is_same).map(Utf8PathBuf::from).filter(used).collect()
}

fn bootstrap(archive: &Utf8Path, temporary: &Utf8Path, sources: &[Utf8PathBuf]) -> Cmd {
    Cmd::new("mmdebstrap")
        .env("TMPDIR", temporary.as_str())
        .arg("--variant=apt")
        // A merged /usr from the start needs no Perl to make it so: 50 MB less.
        .arg("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr")
        .arg(format!("--include=usr-is-merged,{}", recipe::packages().join(",")))
        .args(recipe::dpkg_options().into_iter().map(|option| format!("--dpkgopt={option}")))
        .arg(SUITE)
        .arg(archive.as_str())
        .args(sources.iter().map(|path| path.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_made_of_the_recipe_with_the_sources_of_this_host() {
        let cmd = bootstrap(Utf8Path::new("/c/base.tar"), Utf8Path::new("/c"), &["/etc/apt/x".into()]);
        let line = cmd.to_string();
        assert!(line.starts_with("TMPDIR=/c mmdebstrap '--variant=apt' '--hook-dir="), "{line}");
        assert!(line.ends_with("bookworm /c/base.tar /etc/apt/x"), "{line}");
        assert!(line.contains("'--dpkgopt=path-exclude=/usr/share/man/*'"), "{line}");
    }
}
