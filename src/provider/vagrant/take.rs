//! Makes a machine that booted its box a node: sends what it lacks, and the seed.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::Error;
use super::login::BoxLogin;
use crate::exec::{self, Cmd, Output};
use crate::images::vm::{self, Probe};
use crate::model::{NodeName, Seed, build_id};
use crate::progress::Step;
use crate::wait::wait_until;

const ENTER_EVERY: Duration = Duration::from_millis(250);
/// What OpenSSH ends with when it is not the command that failed.
const SSH_FAILED: i32 = 255;

/// A machine that runs, and how it is entered.
pub(super) struct Newcomer<'a> {
    pub(super) login: &'a BoxLogin,
    pub(super) address: SocketAddr,
    pub(super) seed: &'a Seed,
    pub(super) labd: &'a [u8],
    pub(super) step: &'a Step,
    /// How long it may keep us out.
    pub(super) limit: Duration,
}

impl Newcomer<'_> {
    fn node(&self) -> &NodeName {
        &self.seed.config.node
    }

    /// Asks the machine what it has, as soon as it lets us in.
    pub(super) async fn probe(&self) -> Result<Probe, Error> {
        self.step.change("asking the machine what it has");
        let said = self.enter(&vm::probe(), b"").await?.text();
        Probe::parse(&said).map_err(|_| Error::Unreadable { node: self.node().clone(), said })
    }

    /// Sends what the machine lacks; whoever enters it now still can. `programs` are such that the kit does not
    /// bring.
    pub(super) async fn equip(&self, probe: &Probe, programs: &[(&str, Vec<u8>)]) -> Result<(), Error> {
        let has_kit = probe.kit.as_deref() == Some(vm::kit_key().as_str());
        let has_labd = probe.labd.as_deref() == Some(build_id(self.labd).as_str());
        if !has_kit || !has_labd {
            self.step.change("installing what a node needs");
            self.enter(&vm::install(), &vm::kit(self.labd, programs)).await?;
        }
        Ok(())
    }

    /// Makes the machine the node. From then on only the lab enters it.
    pub(super) async fn seed(&self) -> Result<(), Error> {
        self.step.change("making the machine a node");
        let seed = serde_json::to_vec(self.seed).expect("a seed is plain data");
        self.enter(&vm::seed(), &seed).await.map(drop)
    }

    /// Runs a command on the machine. A connection that is refused or cut is tried again, as all of them may be
    /// repeated.
    async fn enter(&self, cmd: &Cmd, input: &[u8]) -> Result<Output, Error> {
        let ssh = self.login.enter(self.address, cmd);
        let mut last = None;
        let entered =
            wait_until("the machine lets us in", self.limit, ENTER_EVERY, async || {
                match exec::run(&ssh, input).await {
                    Err(error @ exec::Error::Failed { code: SSH_FAILED, .. }) => {
                        last = Some(error);
                        None
                    }
                    end => Some(end),
                }
            });
        let ended = match entered.await {
            Ok(end) => end,
            Err(_) => Err(last.expect("what is tried in vain has failed")),
        };
        ended.map_err(|source| Error::NotTaken { node: self.node().clone(), source: shortened(source, cmd) })
    }
}

/// The command as it was meant: how ssh was called to run it is long, and of no interest.
fn shortened(error: exec::Error, cmd: &Cmd) -> exec::Error {
    match error {
        exec::Error::Failed { code, stderr, .. } if code != SSH_FAILED => {
            let said = cmd.arguments().last().cloned().unwrap_or_default();
            let script = said.lines().next().unwrap_or_default().chars().take(60).collect::<String>();
            exec::Error::Failed { cmd: Box::new(Cmd::new(cmd.program()).arg(script)), code, stderr }
        }
        error => error,
    }
}
