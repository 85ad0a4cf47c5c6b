//! What every verb needs: settings, engine, provider, lock, and a way to stop.

use anyhow::{Context as _, anyhow};
use camino::{Utf8Path, Utf8PathBuf};

use super::args::Global;
use super::ui::Ui;
use crate::checkpoint::Checkpoint;
use crate::config::{self, Dirs, Flags, Lock, LockError, Settings, StateDir};
use crate::docker::Engine;
use crate::images::{Cache, Sources};
use crate::ops::{Images, Lab};
use crate::progress::Progress;
use crate::provider::Provider;
use crate::provider::container::{Containers, Place};
use crate::registry;
use crate::wait::Stop;

pub struct Context {
    pub global: Global,
    pub ui: Ui,
    pub cwd: Utf8PathBuf,
    pub dirs: Dirs,
    pub stop: Stop,
}

/// A verb's view of one lab.
pub struct Bench {
    pub settings: Settings,
    pub provider: Containers,
    pub progress: Progress,
    pub labd: Utf8PathBuf,
    pub images: Images,
}

impl Bench {
    pub fn lab(&self) -> Lab<'_, Containers> {
        let files = StateDir::new(&self.settings.project, &self.settings.lab);
        Lab {
            provider: &self.provider,
            settings: &self.settings,
            files,
            progress: &self.progress,
            images: &self.images,
        }
    }
}

/// The cache, and the images of the lab in this folder, without anything that a node needs.
pub struct Shelf {
    pub settings: Settings,
    pub images: Images,
    pub progress: Progress,
}

impl Shelf {
    pub fn sources(&self) -> Sources<'_> {
        self.images.sources(&self.settings, &self.progress)
    }
}

impl Context {
    pub fn new(global: Global, ui: Ui) -> anyhow::Result<Self> {
        let cwd = std::env::current_dir().context("could not tell the current folder")?;
        let cwd = Utf8PathBuf::from_path_buf(cwd)
            .map_err(|path| anyhow!("the current folder's name is not UTF-8: {}", path.display()))?;
        let dirs = Dirs::from_env().map_err(crate::ops::Error::from)?;
        Ok(Self { global, ui, cwd, dirs, stop: Stop::new() })
    }

    pub fn flags(&self) -> Flags {
        Flags {
            lab: self.global.lab.clone(),
            file: self.global.file.clone(),
            cache_limit: self.global.cache_limit,
            ..Flags::default()
        }
    }

    pub fn settings(&self, flags: Flags) -> Result<Settings, config::Error> {
        Settings::load(flags, &self.cwd, self.dirs.home())
    }

    /// Reaches the engine that the flag or `DOCKER_HOST` names, or the local one.
    #[expect(clippy::disallowed_methods, reason = "a variable of Docker's, not a flag of ours")]
    pub async fn engine(&self) -> Result<Engine, crate::docker::Error> {
        let host = self.global.docker_host.clone().or_else(|| std::env::var("DOCKER_HOST").ok());
        let host = host.filter(|host| !host.is_empty());
        Engine::connect(host.as_deref()).await
    }

    /// Opens the lab that the global flags name.
    pub async fn open(&self) -> anyhow::Result<Bench> {
        self.open_with(self.flags()).await
    }

    /// Opens a lab that exists. One that is named may have been made from any folder.
    pub async fn open_existing(&self) -> anyhow::Result<Bench> {
        let mut bench = self.open().await?;
        if self.global.lab.is_some() {
            let seen = bench.provider.observe(&bench.settings.lab).await.map_err(crate::ops::Error::from)?;
            bench.settings.project = seen.project.map_or(bench.settings.project, Utf8PathBuf::from);
        }
        Ok(bench)
    }

    pub async fn open_with(&self, flags: Flags) -> anyhow::Result<Bench> {
        let settings = self.settings(flags)?;
        let labd = self.labd()?;
        let place = self.place(&settings.project, Some(settings.base_image.clone()))?;
        let engine = self.engine().await?;
        let images = self.images(Some(engine.clone()));
        let provider = Containers::new(engine, place);
        Ok(Bench { settings, provider, progress: self.ui.progress(), labd, images })
    }

    /// Opens the cache for the lab of this folder; an engine is used if one answers.
    pub async fn shelf(&self) -> anyhow::Result<Shelf> {
        let settings = self.settings(self.flags())?;
        let images = self.images(self.engine().await.ok());
        Ok(Shelf { settings, images, progress: self.ui.progress() })
    }

    /// Drops what no lab uses if the cache has grown beyond its limit. Another command that uses the cache
    /// now may do it when it ends.
    pub async fn make_room(&self, bench: &Bench) {
        self.make_room_in(&bench.settings, &bench.images).await;
    }

    pub async fn make_room_in(&self, settings: &Settings, images: &Images) {
        let (cache, limit) = (images.cache.clone(), settings.cache_limit.get());
        let swept = tokio::task::spawn_blocking(move || cache.keep_within(limit)).await;
        match swept {
            Ok(Ok(Some(swept))) if !swept.images.is_empty() => {
                let names: Vec<String> = swept.images.iter().map(ToString::to_string).collect();
                self.ui.say(&format!("the cache was full; dropped {}", names.join(", ")));
            }
            _ => {}
        }
    }

    pub fn place(&self, project: &Utf8Path, base: Option<String>) -> anyhow::Result<Place> {
        Ok(Place {
            project: project.to_owned(),
            base,
            labd: self.labd()?,
            cache: self.dirs.cache().to_owned(),
            store: self.dirs.store(),
        })
    }

    /// Opens the user's cache of images.
    pub fn images(&self, engine: Option<Engine>) -> Images {
        let cache = Cache::at(&self.dirs.store());
        Images { cache, engine, registries: registry::Client::new(self.dirs.docker_config()) }
    }

    /// Returns where labd is: beside this very program, unless told.
    pub fn labd(&self) -> anyhow::Result<Utf8PathBuf> {
        if let Some(labd) = &self.global.labd {
            return Ok(labd.clone());
        }
        let program = std::env::current_exe().context("could not tell where this program is")?;
        let program = Utf8PathBuf::from_path_buf(program)
            .map_err(|path| anyhow!("the folder of this program is not UTF-8: {}", path.display()))?;
        Ok(program.parent().unwrap_or(Utf8Path::new(".")).join("labd"))
    }

    /// Takes the lab for this command alone.
    pub async fn lock(&self, settings: &Settings, command: &str) -> anyhow::Result<Lock> {
        let path = self.dirs.lock(&settings.lab);
        let take = |wait| Lock::take(&path, &settings.lab, command, wait, &self.stop);
        let lock = match take(None).await {
            Err(busy @ LockError::Busy { .. }) if self.global.wait_lock.is_some() => {
                self.ui.say(&format!("{busy}; waiting for it"));
                take(self.global.wait_lock).await?
            }
            taken => taken?,
        };
        Checkpoint::Locked.reached();
        Ok(lock)
    }

    /// Makes the first Ctrl-C a wish to stop and the second an end at once.
    pub fn stop_on_signals(&self) {
        let (stop, ui) = (self.stop.clone(), self.ui.clone());
        tokio::spawn(async move {
            let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            else {
                return;
            };
            let mut asked = false;
            loop {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
                if asked {
                    std::process::exit(i32::from(super::Exit::Interrupted.code()));
                }
                asked = true;
                ui.say("stopping; press Ctrl-C again to end at once");
                stop.cancel();
            }
        });
    }
}
