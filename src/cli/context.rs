//! What every verb needs: settings, engine, provider, lock, and a way to stop.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use camino::{Utf8Path, Utf8PathBuf};

use super::args::Global;
use super::ui::Ui;
use crate::checkpoint::Checkpoint;
use crate::config::{
    self, DEFAULT_STACK, Dirs, Flags, Lock, LockError, Provider, Settings, StateDir, VagrantProvider,
};
use crate::docker::Engine;
use crate::images::{Cache, Sources};
use crate::ops::{Images, Lab, StackError, Stacks};
use crate::progress::Progress;
use crate::provider::container::{Containers, Place};
use crate::provider::vagrant::{Index, Setting, Vagrants};
use crate::provider::{self, AnyProvider, Provider as _};
use crate::registry;
use crate::vagrant::Folder;
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
    pub provider: AnyProvider,
    pub progress: Progress,
    pub labd: Utf8PathBuf,
    pub images: Images,
    pub stacks: Result<Stacks, Arc<StackError>>,
}

impl Bench {
    pub fn lab(&self) -> Lab<'_, AnyProvider> {
        let files = StateDir::new(&self.settings.project, &self.settings.lab);
        Lab {
            provider: &self.provider,
            settings: &self.settings,
            files,
            progress: &self.progress,
            images: &self.images,
            stacks: &self.stacks,
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

    /// Reads the stacks of a lab: those that somebody names, else those that it had last. What they run is among its
    /// images from here on.
    pub fn stacks(&self, settings: &mut Settings) -> Result<Stacks, StackError> {
        let names = self.stack_names(settings);
        let stacks = Stacks::load(&settings.project, &self.shelf_of_stacks(), &names)?;
        settings.images = stacks.with_images(&settings.images)?;
        Ok(stacks)
    }

    /// Returns whose units a lab is to run.
    pub fn stack_names(&self, settings: &Settings) -> Vec<String> {
        let remembered = || StateDir::new(&settings.project, &settings.lab).load().ok()??.stacks;
        let names = settings.stacks.clone().or_else(remembered);
        names.unwrap_or_else(|| vec![DEFAULT_STACK.to_owned()])
    }

    /// Returns where the files of stacks lie that come with lab, so that images can be built from them.
    pub fn shelf_of_stacks(&self) -> Utf8PathBuf {
        self.dirs.cache().join("stacks")
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
        let mut settings = self.settings(flags)?;
        let stacks = self.stacks(&mut settings).map_err(Arc::new);
        let labd = self.labd()?;
        let place = self.place(&settings.project, Some(settings.base_image.clone()))?;
        let engine = self.engine().await;
        self.check_maker(&settings, engine.as_ref().ok(), &place).await?;
        let images = self.images(engine.as_ref().ok().cloned());
        let provider = match self.provider_of(&settings) {
            Provider::Container => AnyProvider::Containers(Box::new(Containers::new(engine?, place))),
            Provider::Vagrant => {
                let kind = self.vagrant_provider_of(&settings);
                let engine = if kind == VagrantProvider::Docker { Some(engine?) } else { None };
                let vagrants = Vagrants::new(engine, place, self.setting(&settings, kind)?);
                AnyProvider::Vagrants(Box::new(vagrants.map_err(crate::ops::Error::from)?))
            }
        };
        Ok(Bench { settings, provider, progress: self.ui.progress(), labd, images, stacks })
    }

    /// Refuses to have one provider make nodes for the lab of another.
    async fn check_maker(
        &self,
        settings: &Settings,
        engine: Option<&Engine>,
        place: &Place,
    ) -> Result<(), crate::ops::Error> {
        let is_written = self.index().find(&settings.lab).is_some();
        let other = |has: Provider, wanted: Provider| {
            let (lab, has, wanted) = (settings.lab.clone(), has.to_string(), wanted.to_string());
            Err(provider::Error::OtherProvider { lab, has, wanted }.into())
        };
        match (settings.provider, engine) {
            (Some(Provider::Container), _) if is_written => other(Provider::Vagrant, Provider::Container),
            (Some(Provider::Vagrant), Some(engine)) if !is_written => {
                let containers = Containers::new(engine.clone(), place.clone());
                let seen = containers.observe(&settings.lab).await?;
                if seen.is_nothing() { Ok(()) } else { other(Provider::Container, Provider::Vagrant) }
            }
            _ => Ok(()),
        }
    }

    /// Returns who makes the nodes: whoever was asked for, else whoever made the lab that is there.
    fn provider_of(&self, settings: &Settings) -> Provider {
        let written = || self.index().find(&settings.lab).map(|_| Provider::Vagrant);
        // The user's own folder may be another one than when the lab was made.
        let remembered = || Self::known(settings).map(|_| Provider::Vagrant);
        settings.provider.or_else(written).or_else(remembered).unwrap_or_default()
    }

    fn vagrant_provider_of(&self, settings: &Settings) -> VagrantProvider {
        let written = || self.index().provider(&settings.lab);
        let remembered = || Self::known(settings);
        settings.vagrant.provider.or_else(written).or_else(remembered).unwrap_or(VagrantProvider::VirtualBox)
    }

    /// Returns who runs the lab's machines, by the lab's own files.
    fn known(settings: &Settings) -> Option<VagrantProvider> {
        Folder::of(&settings.project, &settings.lab).load().ok()?.map(|known| known.provider)
    }

    pub fn index(&self) -> Index {
        Index::at(&self.dirs.machines())
    }

    #[expect(clippy::disallowed_methods, reason = "a variable of libvirt's, not a flag of ours")]
    pub fn libvirt_uri(&self) -> Option<String> {
        std::env::var("LIBVIRT_DEFAULT_URI").ok().filter(|uri| !uri.is_empty())
    }

    fn setting(&self, settings: &Settings, kind: VagrantProvider) -> anyhow::Result<Setting> {
        let images = self.images(None);
        Ok(Setting {
            settings: settings.vagrant.clone(),
            kind,
            index: self.index(),
            keeper: this_program()?,
            vagrant_home: self.dirs.vagrant_home().to_owned(),
            network_turn: self.dirs.machines().join("network.lock"),
            libvirt_uri: self.libvirt_uri(),
            images: provider::vagrant::Images {
                cache: images.cache,
                engine: images.engine,
                registries: images.registries,
                specs: settings.images.clone(),
            },
        })
    }

    /// Opens the cache for the lab of this folder; an engine is used if one answers.
    pub async fn shelf(&self) -> anyhow::Result<Shelf> {
        let mut settings = self.settings(self.flags())?;
        self.stacks(&mut settings).map_err(crate::ops::Error::from)?;
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
        let program = this_program()?;
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

pub fn this_program() -> anyhow::Result<Utf8PathBuf> {
    let program = std::env::current_exe().context("could not tell where this program is")?;
    Utf8PathBuf::from_path_buf(program)
        .map_err(|path| anyhow!("the folder of this program is not UTF-8: {}", path.display()))
}
