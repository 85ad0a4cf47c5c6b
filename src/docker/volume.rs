//! Volumes: what a node keeps when its container is made again.

use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptionsBuilder};

use std::time::Duration;

use super::engine::labels;
use super::{Engine, Error, Labels, by_label};
use crate::wait::wait_until;

/// Gigabytes of small files take long to remove on a busy disk.
const REMOVAL_LIMIT: Duration = Duration::from_mins(3);

#[derive(Debug, Clone)]
pub struct Volume {
    pub name: String,
    pub labels: Labels,
    /// When it was made, as the engine writes it.
    pub made: String,
}

impl Engine {
    /// Lists all volumes that carry `label`.
    pub async fn volumes(&self, label: &str) -> Result<Vec<Volume>, Error> {
        let options = ListVolumesOptionsBuilder::new().filters(&by_label(label)).build();
        let found = self.api.list_volumes(Some(options)).await.map_err(Error::of("list volumes"))?;
        let read = |volume: bollard::models::Volume| Volume {
            name: volume.name,
            labels: labels(Some(volume.labels)),
            made: volume.created_at.unwrap_or_default(),
        };
        Ok(found.volumes.unwrap_or_default().into_iter().map(read).collect())
    }

    /// Removes a volume; one that is not there counts as removed. A container that uses it is waited for,
    /// unless it is `owner`, which is removed: its making may have ended only now.
    pub async fn remove_volume(&self, name: &str, owner: Option<&str>) -> Result<(), Error> {
        let options = RemoveVolumeOptionsBuilder::new().force(true).build();
        // A container that used it may still be on its way out.
        let what = format!("the volume `{name}` is free");
        let removed = wait_until(what, REMOVAL_LIMIT, Duration::from_millis(100), async || {
            let removed = self.api.remove_volume(name, Some(options.clone())).await;
            match removed.map_err(Error::of(format!("remove the volume `{name}`"))) {
                Err(error) if error.is_not_found() => Some(Ok(())),
                Err(error) if error.is_conflict() => match owner {
                    Some(owner) => self.remove_container(owner).await.err().map(Err),
                    None => None,
                },
                other => Some(other),
            }
        });
        removed.await.unwrap_or_else(|waited| Err(Error::Slow { source: waited }))
    }
}
