//! Units run by systemd, over D-Bus. Their files stand where fleet has always had them; beside them stands which
//! ones were launched, so that a daemon that restarts neither stops nor starts anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::Mutex;
use tokio::time::{Duration, sleep};

use crate::fleet::unit::{UnitFile, UnitName};
use crate::fs::{self, Access};
use crate::systemd::{Manager, UnitChanges};

use super::units::{Error, Found, Status, Units};

const FOLDER: &str = "/run/fleet";
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct SystemdUnits {
    systemd: Arc<Manager>,
    changes: Arc<Mutex<Option<UnitChanges>>>,
    folder: Utf8PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("the job ended as `{0}`")]
struct JobEnded(String);

impl SystemdUnits {
    /// Finds systemd and the folder of units, which it makes.
    pub async fn connect() -> Result<Self, Error> {
        let folder = Utf8PathBuf::from(FOLDER);
        fs::create_dir(&folder.join("units"))?;
        fs::create_dir(&folder.join("launched"))?;
        Ok(Self { systemd: Arc::new(Manager::connect().await?), changes: Arc::default(), folder })
    }

    fn file(&self, unit: &UnitName) -> Utf8PathBuf {
        self.folder.join("units").join(unit.as_str())
    }

    fn mark(&self, unit: &UnitName) -> Utf8PathBuf {
        self.folder.join("launched").join(unit.as_str())
    }

    async fn load_one(&self, unit: &UnitName, file: &UnitFile) -> Result<(), Error> {
        self.systemd.link(&[self.file(unit).into_string()]).await?;
        if file.has_section("Install") {
            self.systemd.enable(&[unit.to_string()]).await?;
        }
        Ok(())
    }

    /// Makes all files known by one call; `Err` if one of them is refused.
    async fn load_all(&self, files: &[(UnitName, UnitFile)]) -> Result<(), Error> {
        let paths: Vec<String> = files.iter().map(|(unit, _)| self.file(unit).into_string()).collect();
        self.systemd.link(&paths).await?;
        let installed = files.iter().filter(|(_, file)| file.has_section("Install"));
        let installed: Vec<String> = installed.map(|(unit, _)| unit.to_string()).collect();
        if !installed.is_empty() {
            self.systemd.enable(&installed).await?;
        }
        Ok(())
    }

    async fn remove_files(&self, units: &[UnitName]) -> Result<(), Error> {
        let names: Vec<String> = units.iter().map(ToString::to_string).collect();
        self.systemd.disable(&names).await?;
        for unit in units {
            self.systemd.reset_failed(unit.as_str()).await?;
            fs::remove_file(&self.file(unit))?;
            fs::remove_file(&self.mark(unit))?;
        }
        Ok(())
    }
}

fn names_in(folder: &Utf8Path) -> Result<Vec<UnitName>, Error> {
    Ok(fs::list(folder)?.iter().filter_map(|name| UnitName::parse(name).ok()).collect())
}

impl Units for SystemdUnits {
    async fn found(&self) -> Result<BTreeMap<UnitName, Found>, Error> {
        let mut found = BTreeMap::new();
        for unit in names_in(&self.folder.join("units"))? {
            let text = fs::read_to_string(&self.file(&unit))?;
            // A file that was cut off by a crash is written anew.
            let file = UnitFile::parse(&text).unwrap_or(UnitFile::parse("")?);
            let launched =
                fs::read_if_present(&self.mark(&unit))?.map(|text| text.trim().parse().unwrap_or(0));
            found.insert(unit, Found { file, launched });
        }
        Ok(found)
    }

    async fn load(&self, files: Vec<(UnitName, UnitFile)>) -> Vec<(UnitName, Error)> {
        let mut failed: Vec<(UnitName, Error)> = Vec::new();
        for (unit, file) in &files {
            if let Err(error) = fs::write(&self.file(unit), file.text(), Access::Public) {
                failed.push((unit.clone(), error.into()));
            }
        }
        let is_written = |unit: &UnitName| failed.iter().all(|(other, _)| other != unit);
        let written: Vec<_> = files.into_iter().filter(|(unit, _)| is_written(unit)).collect();
        if self.load_all(&written).await.is_err() {
            for (unit, file) in &written {
                if let Err(error) = self.load_one(unit, file).await {
                    drop(self.remove_files(std::slice::from_ref(unit)).await);
                    failed.push((unit.clone(), error));
                }
            }
        }
        if let Err(error) = self.systemd.reload().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "systemd did not read the unit files again"
            );
        }
        failed
    }

    async fn start(&self, unit: &UnitName, stops: u64) -> Result<(), Error> {
        fs::write(&self.mark(unit), stops.to_string(), Access::Public)?;
        self.systemd.queue_start(unit.as_str()).await?;
        Ok(())
    }

    async fn stop(&self, unit: &UnitName) -> Result<(), Error> {
        fs::remove_file(&self.mark(unit))?;
        let result = self.systemd.queue_stop(unit.as_str()).await?.end().await?;
        if result == "done" { Ok(()) } else { Err(JobEnded(result).into()) }
    }

    async fn kill(&self, unit: &UnitName) -> Result<(), Error> {
        Ok(self.systemd.kill(unit.as_str()).await?)
    }

    async fn unload(&self, units: Vec<UnitName>) -> Result<(), Error> {
        self.remove_files(&units).await?;
        Ok(self.systemd.reload().await?)
    }

    async fn statuses(&self, units: Vec<UnitName>) -> Result<BTreeMap<UnitName, Status>, Error> {
        let names: Vec<String> = units.iter().map(ToString::to_string).collect();
        let found = self.systemd.unit_statuses(&names).await?;
        let status = |status: crate::systemd::UnitStatus| {
            let unit = units.iter().find(|unit| unit.as_str() == status.name)?;
            Some((unit.clone(), Status { load: status.load, active: status.active, sub: status.sub }))
        };
        Ok(found.into_iter().filter_map(status).collect())
    }

    async fn changed(&self) -> Option<UnitName> {
        let mut changes = self.changes.lock().await;
        loop {
            let Some(watching) = changes.as_mut() else {
                if let Ok(watching) = self.systemd.watch_units().await {
                    *changes = Some(watching);
                    // Whatever changed before is not told any more.
                    return None;
                }
                sleep(PAUSE).await;
                continue;
            };
            match watching.next().await {
                Ok(name) => {
                    if let Ok(unit) = UnitName::parse(&name) {
                        return Some(unit);
                    }
                }
                Err(_) => *changes = None,
            }
        }
    }
}
