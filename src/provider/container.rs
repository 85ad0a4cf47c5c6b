//! Nodes as systemd containers on a Docker engine: the embedded default.
//!
//! What exists of a lab is found by labels; names serve people. Nothing is ever privileged.

use std::net::SocketAddr;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::OnceCell;

use super::{Error, LabSummary, Limits, Provider, Seen, host};
use crate::checkpoint::Checkpoint;
use found::Listing;

use crate::docker::{Bind, ContainerSpec, Engine, Labels, VolumeMount};
use crate::fs;
use crate::images::{self, Cache, NodeImage};
use crate::model::image::{LAYERS_ON_NODE, STORE_ON_NODE, SharedImage};
use crate::model::{CAPABILITIES, EtcdRole, LabName, NodeName, Seed, Topology};
use crate::progress::{Progress, Step};

mod found;
mod layers;

use layers::LAYERS;
pub use layers::prune_layers;

pub const LAB: &str = "lab.name";
const ID: &str = "lab.id";
const NODE: &str = "lab.node";
const ADDRESS: &str = "lab.address";
const ETCD: &str = "lab.etcd";
const PROJECT: &str = "lab.project";
/// Who made a machine, if it was not us.
const MAKER: &str = "lab.maker";
const MEMBER: &str = "member";
const SSH_PORT: u16 = 22;
/// Long enough for units with an ExecStop of their own; systemd's limit in a node is 10 s.
const STOP_SECONDS: i32 = 20;
/// What a node keeps when its container is made again, by the suffix of the volume's name.
const VOLUMES: [(&str, &str); 2] = [("docker", "/var/lib/docker"), ("etcd", "/var/lib/etcd")];

pub struct Containers {
    engine: Engine,
    place: Place,
    /// Another provider, which makes containers from what it learns here.
    maker: Option<&'static str>,
    image: OnceCell<String>,
    security: OnceCell<Vec<String>>,
    /// What new nodes find already unpacked.
    layers: OnceCell<Option<layers::Layers>>,
}

/// What the provider needs to know of its user.
#[derive(Clone)]
pub struct Place {
    /// The project folder, written onto what is made, so that `ls` can tell.
    pub project: Utf8PathBuf,
    /// The image that the node's image is built on, if not the usual one.
    pub base: Option<String>,
    /// The program that nodes boot with.
    pub labd: Utf8PathBuf,
    pub cache: Utf8PathBuf,
    /// The store that nodes load their images from.
    pub store: Utf8PathBuf,
}

impl Containers {
    pub fn new(engine: Engine, place: Place) -> Self {
        let (image, security, layers) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { engine, place, maker: None, image, security, layers }
    }

    /// Serves another provider: finds what that one made, and nothing else.
    pub(super) fn for_maker(engine: Engine, place: Place, maker: &'static str) -> Self {
        Self { maker: Some(maker), ..Self::new(engine, place) }
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Finds all labs of this engine, whoever made them.
    pub async fn labs(&self) -> Result<Vec<LabSummary>, Error> {
        Ok(found::summaries(&self.list(LAB).await?))
    }

    async fn image(&self, progress: &Progress) -> Result<&String, Error> {
        let make = async || {
            let labd = fs::read(&self.place.labd).map_err(images::Error::from)?;
            let cache = Cache::at(&self.place.store);
            // Nodes see it from their birth on, also if images come later.
            cache.ensure().map_err(images::Error::from)?;
            let workshop = &self.place.cache;
            let wanted = NodeImage { base: self.place.base.as_deref(), labd: &labd, cache: &cache, workshop };
            images::ensure(&self.engine, &wanted, progress).await
        };
        Ok(self.image.get_or_try_init(make).await?)
    }

    async fn security(&self) -> Result<Vec<String>, Error> {
        self.security.get_or_try_init(|| security(&self.engine)).await.cloned()
    }

    /// Returns the store, if the engine sees the files of this host.
    fn store(&self) -> Option<&Utf8Path> {
        (self.engine.is_local() && self.place.store.exists()).then_some(&self.place.store)
    }

    /// Unpacks images once for all nodes, where that can be done.
    async fn share_layers(&self, images: &[SharedImage], progress: &Progress) -> Result<(), Error> {
        let Some(store) = self.store().filter(|_| !images.is_empty()) else { return Ok(()) };
        let image = self.image(progress).await?;
        let ensure = || layers::ensure(&self.engine, store, image, images, progress);
        self.layers.get_or_try_init(ensure).await.map(drop)
    }

    /// Returns what a node is given of the shared layers. One that has data of its own keeps the volume
    /// that its links lead to, and gets no images.
    async fn layers_for(&self, lab: &LabName, data: &str) -> Result<Option<layers::Layers>, Error> {
        let volumes = self.engine.volumes(&format!("{LAB}={lab}")).await?;
        let Some(old) = volumes.into_iter().find(|volume| volume.name == data) else {
            return Ok(self.layers.get().cloned().flatten());
        };
        let volume = old.labels.get(LAYERS).cloned();
        Ok(volume.map(|volume| layers::Layers { volume, images: Vec::new() }))
    }

    async fn list(&self, label: &str) -> Result<Listing, Error> {
        let (containers, volumes, networks) =
            tokio::join!(self.engine.containers(label), self.engine.volumes(label), self.engine.networks());
        Ok(Listing { containers: containers?, volumes: volumes?, networks: networks? })
    }

    fn labels(&self, seed: &Seed) -> Labels {
        let config = &seed.config;
        let labels = [
            (LAB, config.lab.to_string()),
            (ID, config.lab_id.clone()),
            (NODE, config.node.to_string()),
            (ADDRESS, config.address.to_string()),
            (
                ETCD,
                if matches!(config.etcd, EtcdRole::Member { .. }) { MEMBER } else { "gateway" }.to_owned(),
            ),
            (PROJECT, self.place.project.to_string()),
        ];
        let maker = self.maker.map(|maker| (MAKER, maker.to_owned()));
        labels.into_iter().chain(maker).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Returns the container that a node is to be, with the data of its former life if there is any.
    pub(super) async fn spec(&self, seed: &Seed, limits: Limits) -> Result<ContainerSpec, Error> {
        let config = &seed.config;
        let name = machine_name(&config.lab, &config.node);
        let volume = |(suffix, target): (&str, &str)| VolumeMount {
            volume: format!("{name}-{suffix}"),
            target: target.to_owned(),
            is_read_only: false,
        };
        let seed_json = serde_json::to_string(seed).expect("a seed is plain data");
        let mut spec = ContainerSpec {
            hostname: config.node.to_string(),
            image: self.image(&Progress::silent()).await?.clone(),
            labels: self.labels(seed),
            env: vec!["container=docker".to_owned(), format!("LAB_SEED={seed_json}")],
            network: network_name(&config.lab),
            address: config.address,
            published_port: SSH_PORT,
            volumes: VOLUMES.map(volume).into(),
            binds: self.store().map(bind_store).into_iter().collect(),
            limits,
            capabilities: CAPABILITIES.map(|(name, _)| name.to_owned()).into(),
            security: self.security().await?,
            name,
        };
        if let Some(layers) = self.layers_for(&config.lab, &spec.volumes[0].volume).await? {
            let json = serde_json::to_string(&layers.images).expect("images are plain data");
            spec.env.push(format!("LAB_LAYERS={json}"));
            spec.labels.insert(LAYERS.to_owned(), layers.volume.clone());
            let target = LAYERS_ON_NODE.to_owned();
            spec.volumes.push(VolumeMount { volume: layers.volume, target, is_read_only: true });
        }
        Ok(spec)
    }
}

impl Provider for Containers {
    fn name(&self) -> &'static str {
        "container"
    }

    async fn observe(&self, lab: &LabName) -> Result<Seen, Error> {
        let found = self.list(&format!("{LAB}={lab}")).await?;
        let routes = if self.engine.is_local() { host::routes() } else { Vec::new() };
        let mut seen = found::seen(lab, &found, routes, self.maker);
        let looks = seen.machines.iter_mut().map(async |(node, machine)| {
            let found = self.engine.inspect_container(&machine_name(lab, node)).await?;
            machine.limits = found.map(|found| found.limits).unwrap_or_default();
            Ok::<_, Error>(())
        });
        futures_util::future::try_join_all(looks).await?;
        Ok(seen)
    }

    async fn prepare(
        &self,
        topology: &Topology,
        images: &[SharedImage],
        progress: &Progress,
    ) -> Result<(), Error> {
        if self.engine.is_local() {
            host::check_capabilities()?;
        }
        self.image(progress).await?;
        Checkpoint::ImageReady.reached();
        self.security().await?;
        let networks = self.engine.networks().await?;
        if !networks.iter().any(|network| is_of(&network.labels, &topology.lab)) {
            let mut labels = Labels::from([
                (LAB.to_owned(), topology.lab.to_string()),
                (ID.to_owned(), topology.id.clone()),
                (PROJECT.to_owned(), self.place.project.to_string()),
            ]);
            labels.extend(self.maker.map(|maker| (MAKER.to_owned(), maker.to_owned())));
            self.engine.create_network(&network_name(&topology.lab), topology.subnet, &labels).await?;
        }
        Checkpoint::NetworkMade.reached();
        self.share_layers(images, progress).await?;
        Checkpoint::LayersShared.reached();
        Ok(())
    }

    async fn create(&self, seed: &Seed, limits: Limits) -> Result<(), Error> {
        let spec = self.spec(seed, limits).await?;
        match self.engine.create_container(&spec).await {
            // Made by an earlier `lab` that ended before it could start it.
            Err(error) if error.is_conflict() => {
                self.engine.remove_container(&spec.name).await?;
                Ok(self.engine.create_container(&spec).await?)
            }
            made => Ok(made?),
        }
    }

    async fn start(&self, seed: &Seed, _step: &Step) -> Result<(), Error> {
        Ok(self.engine.start_container(&machine_name(&seed.config.lab, &seed.config.node)).await?)
    }

    async fn thaw(&self, lab: &LabName, node: &NodeName) -> Result<(), Error> {
        Ok(self.engine.unpause_container(&machine_name(lab, node)).await?)
    }

    async fn ssh_address(&self, lab: &LabName, node: &NodeName) -> Result<Option<SocketAddr>, Error> {
        let found = self.engine.inspect_container(&machine_name(lab, node)).await?;
        let ports = found.filter(|found| found.is_running).map(|found| found.ports).unwrap_or_default();
        Ok(ports.into_iter().find(|(port, _)| *port == SSH_PORT).map(|(_, address)| address))
    }

    async fn stop(&self, lab: &LabName, node: &NodeName) -> Result<(), Error> {
        let name = machine_name(lab, node);
        // A frozen init cannot shut its machine down.
        self.engine.unpause_container(&name).await?;
        Ok(self.engine.stop_container(&name, STOP_SECONDS).await?)
    }

    async fn limit(&self, lab: &LabName, node: &NodeName, limits: Limits) -> Result<bool, Error> {
        self.engine.limit_container(&machine_name(lab, node), limits).await?;
        Ok(false)
    }

    async fn remove_machine(&self, lab: &LabName, node: &NodeName) -> Result<(), Error> {
        Ok(self.engine.remove_container(&machine_name(lab, node)).await?)
    }

    async fn remove_data(&self, lab: &LabName, node: &NodeName) -> Result<(), Error> {
        let name = machine_name(lab, node);
        // A create that was under way when its `lab` ended may have been finished since.
        self.engine.remove_container(&name).await?;
        for (suffix, _) in VOLUMES {
            self.engine.remove_volume(&format!("{name}-{suffix}"), Some(&name)).await?;
        }
        Ok(())
    }

    async fn remove_network(&self, lab: &LabName) -> Result<(), Error> {
        Ok(self.engine.remove_network(&network_name(lab)).await?)
    }

    async fn console(&self, lab: &LabName, node: &NodeName, lines: u32) -> Result<String, Error> {
        Ok(self.engine.container_log(&machine_name(lab, node), lines).await?)
    }
}

fn bind_store(store: &Utf8Path) -> Bind {
    Bind { source: store.to_string(), target: STORE_ON_NODE.to_owned() }
}

async fn security(engine: &Engine) -> Result<Vec<String>, Error> {
    let has_apparmor = engine.facts().await?.has_apparmor;
    // A nested engine joins keyrings, which Docker's own filter forbids.
    let mut options = vec!["seccomp=unconfined".to_owned()];
    options.extend(has_apparmor.then(|| "apparmor=unconfined".to_owned()));
    Ok(options)
}

pub(super) fn machine_name(lab: &LabName, node: &NodeName) -> String {
    format!("lab-{lab}-{node}")
}

fn network_name(lab: &LabName) -> String {
    format!("lab-{lab}")
}

fn is_of(labels: &Labels, lab: &LabName) -> bool {
    labels.get(LAB).is_some_and(|name| name == lab.as_str())
}
