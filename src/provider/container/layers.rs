//! The volume with unpacked layers that container nodes share: made by a helper that has no network,
//! read by every node, changed only by being added to.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::{Error, security};
use crate::docker::{Bind, Engine, Helper, Labels, VolumeMount};
use crate::fs::{self, Access};
use crate::model::image::{Digest, LAYERS_ON_NODE, LoadEvent, STORE_ON_NODE, SharedImage};
use crate::model::{Bytes, CAPABILITIES, build_id};
use crate::progress::Progress;

/// On volumes of this kind: the folder of the store that they are filled from.
pub const STORE: &str = "lab.store";
/// On a node's data: the volume that its links lead to.
pub const LAYERS: &str = "lab.layers";

/// What nodes can be given.
#[derive(Debug, Clone)]
pub(super) struct Layers {
    pub(super) volume: String,
    pub(super) images: Vec<SharedImage>,
}

/// What is known to be in a volume, kept beside the store so that nobody has to look.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Filled {
    /// When the volume was made: another one of its name is empty.
    made: String,
    images: BTreeSet<Digest>,
}

/// The volume for nodes that boot from `image`, filled from the store at `store`. Engines of different
/// builds keep to themselves what they unpacked.
pub(super) fn volume_name(store: &Utf8Path, image: &str) -> String {
    format!("lab-layers-{}", build_id(format!("{store}\0{image}").as_bytes()))
}

/// Returns where is written down what is in a volume.
pub fn note(store: &Utf8Path, volume: &str) -> Utf8PathBuf {
    store.join("lab/shared").join(format!("{volume}.json"))
}

/// Returns the volume with these images in it, filled first if need be. `None` if this host cannot have
/// one; then nodes load their images.
pub(super) async fn ensure(
    engine: &Engine,
    store: &Utf8Path,
    node_image: &str,
    images: &[SharedImage],
    progress: &Progress,
) -> Result<Option<Layers>, Error> {
    let volume = volume_name(store, node_image);
    let _turn = turn(store, &volume).await?;
    let wanted: BTreeSet<Digest> = images.iter().map(|image| image.id).collect();
    let mut filled = read(store, &volume)?;
    let made = made(engine, store, &volume).await?;
    if made.is_none() || made.as_ref() != Some(&filled.made) {
        filled = Filled::default();
    }
    if !wanted.is_subset(&filled.images) {
        let step = progress.begin("layers", "unpacking images once for all nodes");
        let helper = helper(engine, store, &volume, node_image, images).await?;
        let ended = engine
            .run_helper(&helper, |line| {
                if let Ok(LoadEvent::Planned { send, skip, .. }) = serde_json::from_str(line) {
                    let (send, skip) = (Bytes::new(send), Bytes::new(skip));
                    step.change(format!("unpacking {send} once for all nodes, {skip} are there"));
                }
            })
            .await?;
        if ended.0 != 0 {
            step.failed("cannot be shared here; every node loads its images itself");
            progress.note("layers", ended.1.trim().to_owned());
            return Ok(None);
        }
        step.done("unpacked once for all nodes");
        filled.made = self::made(engine, store, &volume).await?.unwrap_or_default();
        filled.images.extend(wanted);
        let json = serde_json::to_string(&filled).expect("it is plain data");
        fs::write(&note(store, &volume), json, Access::Public)?;
    }
    Ok(Some(Layers { volume, images: images.to_vec() }))
}

/// Waits until nobody else fills the volume.
async fn turn(store: &Utf8Path, volume: &str) -> Result<std::fs::File, Error> {
    let path = note(store, volume).with_extension("lock");
    fs::create_dir(path.parent().unwrap_or(store))?;
    let locked = path.clone();
    let locking = tokio::task::spawn_blocking(move || {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&locked)?;
        file.lock().map(|()| file)
    });
    let locked = locking.await.expect("taking a lock does not panic");
    locked.map_err(|source| Error::Turn { path, source })
}

fn read(store: &Utf8Path, volume: &str) -> Result<Filled, Error> {
    let text = fs::read_if_present(&note(store, volume))?;
    // What cannot be read is looked up by the helper.
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// Returns when the volume was made, if it is there.
async fn made(engine: &Engine, store: &Utf8Path, volume: &str) -> Result<Option<String>, Error> {
    let volumes = engine.volumes(&format!("{STORE}={store}")).await?;
    Ok(volumes.into_iter().find(|found| found.name == volume).map(|found| found.made))
}

/// Removes volumes that were filled from this store and that no node uses, and returns their names.
pub async fn prune_layers(
    engine: &Engine,
    store: &Utf8Path,
    is_rehearsal: bool,
) -> Result<Vec<String>, Error> {
    let used: BTreeSet<String> = engine
        .volumes(LAYERS)
        .await?
        .into_iter()
        .filter_map(|data| data.labels.get(LAYERS).cloned())
        .collect();
    let mut unused = Vec::new();
    for volume in engine.volumes(&format!("{STORE}={store}")).await? {
        // The data of nodes has no such label; that of a volume has, and is not in the list of what is used.
        if used.contains(&volume.name) {
            continue;
        }
        if !is_rehearsal {
            let _turn = turn(store, &volume.name).await?;
            engine.remove_volume(&volume.name, None).await?;
            fs::remove_file(&note(store, &volume.name))?;
        }
        unused.push(volume.name);
    }
    Ok(unused)
}

async fn helper(
    engine: &Engine,
    store: &Utf8Path,
    volume: &str,
    node_image: &str,
    images: &[SharedImage],
) -> Result<Helper, Error> {
    let json = serde_json::to_string(images).expect("images are plain data");
    Ok(Helper {
        name: volume.to_owned(),
        image: node_image.to_owned(),
        command: ["/usr/local/bin/labd", "fill"].map(str::to_owned).into(),
        env: vec![format!("LAB_LAYERS={json}")],
        labels: Labels::from([(STORE.to_owned(), store.to_string())]),
        volumes: vec![VolumeMount {
            volume: volume.to_owned(),
            target: LAYERS_ON_NODE.to_owned(),
            is_read_only: false,
        }],
        binds: vec![Bind { source: store.to_string(), target: STORE_ON_NODE.to_owned() }],
        memory: vec!["/var/lib/lab/probe".to_owned(), "/run".to_owned()],
        capabilities: CAPABILITIES.map(|(name, _)| name.to_owned()).into(),
        security: security(engine).await?,
    })
}
