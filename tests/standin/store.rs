//! What is remembered from one command to the next: a file that is replaced as a whole, under a lock.
//!
//! Whoever works on a machine for long holds its session, another lock. It ends with its holder, so that a
//! command that was killed leaves nothing that looks as if it were still at work.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::networks::Interface;
use crate::settings::{Fault, Settings};
use crate::vm::Vm;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    pub vms: Vec<Vm>,
    /// Host-only interfaces, by their number.
    pub interfaces: BTreeMap<u32, Interface>,
    /// How often faults happened that happen only so often.
    pub fired: BTreeMap<String, u32>,
    pub dhcp_servers: BTreeMap<String, BTreeMap<String, String>>,
}

pub struct Store {
    dir: Utf8PathBuf,
    faults: Vec<Fault>,
}

/// Shows for as long as it is held that somebody works on a machine.
pub struct Session {
    _lock: File,
}

impl Store {
    pub fn open(settings: &Settings) -> anyhow::Result<Self> {
        let dir = settings.dir.clone();
        for folder in [dir.join("machines"), dir.join("sessions")] {
            std::fs::create_dir_all(&folder).with_context(|| format!("could not make `{folder}`"))?;
        }
        Ok(Self { dir, faults: settings.faults.clone() })
    }

    pub fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    /// Returns the folder that VirtualBox would keep a machine's files in.
    pub fn machine_folder(&self, name: &str) -> Utf8PathBuf {
        self.dir.join("machines").join(name)
    }

    pub fn read(&self) -> anyhow::Result<State> {
        let _lock = self.lock("state")?;
        self.load()
    }

    /// Changes the state, or leaves it as it is if the change fails.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T, Failure>) -> Result<T, Failure> {
        let _lock = self.lock("state")?;
        let mut state = self.load()?;
        let result = change(&mut state)?;
        self.save(&state)?;
        Ok(result)
    }

    /// Waits until nobody else has the lock of this name.
    pub fn lock(&self, name: &str) -> anyhow::Result<File> {
        let path = self.dir.join(format!("{name}.lock"));
        let file = File::create(&path).with_context(|| format!("could not make `{path}`"))?;
        flock(&file, FlockOperation::LockExclusive).with_context(|| format!("could not lock `{path}`"))?;
        Ok(file)
    }

    /// Returns nothing if somebody else works on the machine.
    pub fn session(&self, uuid: &str) -> anyhow::Result<Option<Session>> {
        let path = self.dir.join("sessions").join(uuid);
        let file = File::create(&path).with_context(|| format!("could not make `{path}`"))?;
        let got = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        Ok(got.then_some(Session { _lock: file }))
    }

    pub fn is_in_session(&self, uuid: &str) -> anyhow::Result<bool> {
        Ok(self.session(uuid)?.is_none())
    }

    /// Returns the fault that is to happen now, and counts it.
    pub fn fault(&self, command: &str, names: &[&str]) -> Result<Option<Fault>, Failure> {
        let Some(fault) = self.faults.iter().find(|fault| fault.hits(command, names)) else {
            return Ok(None);
        };
        self.change(|state| {
            let fired = state.fired.entry(fault.text.clone()).or_default();
            let is_over = fault.times.is_some_and(|times| *fired >= times);
            *fired += u32::from(!is_over);
            Ok((!is_over).then(|| fault.clone()))
        })
    }

    fn load(&self) -> anyhow::Result<State> {
        let path = self.dir.join("state.json");
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("`{path}` is damaged")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(error).with_context(|| format!("could not read `{path}`")),
        }
    }

    fn save(&self, state: &State) -> anyhow::Result<()> {
        let (path, new) = (self.dir.join("state.json"), self.dir.join("state.new"));
        let text = serde_json::to_vec_pretty(state)?;
        let mut file = File::create(&new).with_context(|| format!("could not make `{new}`"))?;
        file.write_all(&text).with_context(|| format!("could not write `{new}`"))?;
        std::fs::rename(&new, &path).with_context(|| format!("could not replace `{path}`"))
    }
}

impl State {
    pub fn vm(&self, key: &str) -> Result<&Vm, Failure> {
        self.vms.iter().find(|vm| vm.is_called(key)).ok_or_else(|| Failure::not_found(key))
    }

    pub fn vm_mut(&mut self, key: &str) -> Result<&mut Vm, Failure> {
        self.vms.iter_mut().find(|vm| vm.is_called(key)).ok_or_else(|| Failure::not_found(key))
    }

    pub fn has_name(&self, name: &str) -> bool {
        self.vms.iter().any(|vm| vm.name == name)
    }
}
