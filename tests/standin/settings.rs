//! What a test tells the stand-in, by environment variables:
//!
//! - `STANDIN_DIR`: where its state and `calls.log` are; it has to be set.
//! - `STANDIN_PREFIX`: what names of containers and networks begin with, and the value of their label `lab.standin`.
//! - `STANDIN_IMAGE`: what machines boot from.
//! - `STANDIN_VERSION`: what `--version` says.
//! - `STANDIN_DELAYS=import=10,clonevm=1`: seconds that commands take at least.
//! - `STANDIN_FAIL=startvm:core-02:vtx:3`: what goes wrong, for which part of a name, and how often. Vagrant tries most
//!   commands three times, so that what fails once is seen by nobody.

use std::time::Duration;

use anyhow::{Context, bail};
use camino::Utf8PathBuf;

/// The version that everything here is modelled on.
const VERSION: &str = "7.0.20r163906";

pub struct Settings {
    /// Where the state is.
    pub dir: Utf8PathBuf,
    /// What a machine boots from.
    pub image: String,
    /// What the names of all containers and networks begin with.
    pub prefix: String,
    pub version: String,
    /// Where the Docker engine listens.
    pub docker_host: Option<String>,
    delays: Vec<(String, Duration)>,
    pub faults: Vec<Fault>,
}

impl Settings {
    pub fn from_env() -> anyhow::Result<Self> {
        let dir: Utf8PathBuf = variable("STANDIN_DIR").context("STANDIN_DIR is not set")?.into();
        Ok(Self {
            dir,
            image: variable("STANDIN_IMAGE").unwrap_or_else(|| "lab-test/vm".to_owned()),
            prefix: variable("STANDIN_PREFIX").unwrap_or_else(|| "standin-".to_owned()),
            version: variable("STANDIN_VERSION").unwrap_or_else(|| VERSION.to_owned()),
            docker_host: variable("DOCKER_HOST"),
            delays: delays(&variable("STANDIN_DELAYS").unwrap_or_default())?,
            faults: faults(&variable("STANDIN_FAIL").unwrap_or_default())?,
        })
    }

    /// Returns how much longer than necessary a command is to take.
    pub fn delay(&self, command: &str) -> Duration {
        let found = self.delays.iter().find(|(name, _)| name == command);
        found.map(|(_, delay)| *delay).unwrap_or_default()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "Vagrant decides about the arguments, so there is no other way in"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Reads `import=10,startvm=0.5`.
fn delays(text: &str) -> anyhow::Result<Vec<(String, Duration)>> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (command, seconds) = part.split_once('=').with_context(|| format!("no `=` in `{part}`"))?;
            let seconds: f64 = seconds.parse().with_context(|| format!("no seconds in `{part}`"))?;
            Ok((command.to_owned(), Duration::try_from_secs_f64(seconds)?))
        })
        .collect()
}

/// Something that goes wrong on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// As it was written, which also tells faults apart.
    pub text: String,
    command: String,
    /// A part of the machine's name; every name has the empty one.
    part: String,
    pub kind: Kind,
    /// How often it happens; always, if not said.
    pub times: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The processor has no virtualization, or the firmware hides it.
    Vtx,
    /// Another hypervisor has the processor's virtualization.
    VtxHeld,
    /// The address is outside of what networks.conf allows.
    HostonlyRange,
    DiskFull,
    /// The machine dies right after its start.
    Aborted,
}

impl Fault {
    pub fn hits(&self, command: &str, names: &[&str]) -> bool {
        self.command == command
            && (self.part.is_empty() || names.iter().any(|name| name.contains(&self.part)))
    }
}

/// Reads `startvm:core-02:vtx:once,import::disk-full:3`.
fn faults(text: &str) -> anyhow::Result<Vec<Fault>> {
    text.split(',').filter(|part| !part.is_empty()).map(fault).collect()
}

fn fault(text: &str) -> anyhow::Result<Fault> {
    let words: Vec<&str> = text.split(':').collect();
    let (command, part, kind, times) = match words[..] {
        [command, part, kind] => (command, part, kind, None),
        [command, part, kind, "once"] => (command, part, kind, Some(1)),
        [command, part, kind, times] => (command, part, kind, Some(times.parse()?)),
        _ => bail!("`{text}` is not COMMAND:PART-OF-NAME:KIND[:once|:TIMES]"),
    };
    let kind = match kind {
        "vtx" => Kind::Vtx,
        "vtx-held" => Kind::VtxHeld,
        "hostonly-range" => Kind::HostonlyRange,
        "disk-full" => Kind::DiskFull,
        "aborted" => Kind::Aborted,
        _ => bail!("there is no fault `{kind}`"),
    };
    Ok(Fault { text: text.to_owned(), command: command.to_owned(), part: part.to_owned(), kind, times })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_have_a_command_and_seconds() {
        #[track_caller]
        fn check(text: &str, want: Option<&[(&str, u64)]>) {
            let found = delays(text).ok().map(|found| {
                found.into_iter().map(|(name, delay)| (name, delay.as_millis())).collect::<Vec<_>>()
            });
            let want = want.map(|want| {
                want.iter()
                    .map(|(name, millis)| ((*name).to_owned(), u128::from(*millis)))
                    .collect::<Vec<_>>()
            });
            assert_eq!(found, want, "{text}");
        }
        check("", Some(&[]));
        check("import=10,startvm=0.5", Some(&[("import", 10_000), ("startvm", 500)]));
        check("import", None);
        check("import=x", None);
        check("import=-1", None);
    }

    #[test]
    fn a_fault_hits_a_command_of_a_machine() {
        #[track_caller]
        fn check(text: &str, command: &str, name: &str, want: Option<(Kind, Option<u32>)>) {
            let fault = fault(text).unwrap();
            let found = fault.hits(command, &[name]).then_some((fault.kind, fault.times));
            assert_eq!(found, want, "{text} {command} {name}");
        }
        check("startvm:core-02:vtx", "startvm", "lab-x-core-02", Some((Kind::Vtx, None)));
        check("startvm:core-02:vtx-held:once", "startvm", "core-02", Some((Kind::VtxHeld, Some(1))));
        check("startvm:core-02:aborted:3", "startvm", "core-01", None);
        check("import::disk-full:3", "import", "bookworm_17", Some((Kind::DiskFull, Some(3))));
        check("import::disk-full", "clonevm", "bookworm_17", None);
        assert!(fault("startvm:vtx").is_err());
        assert!(fault("startvm::smoke").is_err());
        assert!(fault("startvm::vtx:often").is_err());
    }
}
