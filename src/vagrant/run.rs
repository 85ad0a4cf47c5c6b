//! Runs Vagrant for one lab, and hears what it says.

use std::collections::BTreeSet;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::time::sleep;

use super::error::Failure;
use super::{BoxRef, Error, Folder, Kind, News, Version, What, command};
use crate::exec::{self, Cmd, Keeper, until_all_ended};
use crate::fs;
use crate::model::NodeName;

#[cfg(test)]
mod tests;

/// What an earlier run may need to end in order.
const OTHERS_LIMIT: Duration = Duration::from_mins(1);
const LOCKED_TRIES: u32 = 10;
const LOCKED_PAUSE: Duration = Duration::from_millis(500);
/// Enough of Vagrant's standard error to see what it was about.
const LAST_WORDS: usize = 4096;

/// Vagrant in the folder of one lab. Every command runs under the care of a keeper, which ends it in order when
/// this process does not want it any more, or is gone.
#[derive(Debug, Clone)]
pub struct Vagrant {
    folder: Folder,
    /// The program that keeps; it is `lab` itself.
    keeper: Utf8PathBuf,
}

/// How a command ended that did not fail as a whole.
#[derive(Debug, Default)]
struct Heard {
    verb: &'static str,
    ended: BTreeSet<String>,
    failure: Option<(String, String)>,
    complaint: Option<String>,
}

impl Vagrant {
    pub fn new(folder: Folder, keeper: Utf8PathBuf) -> Self {
        Self { folder, keeper }
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Asks for the version, and refuses one that is too old.
    pub async fn version() -> Result<Version, Error> {
        let output = exec::run(&command::version(), b"").await.map_err(Error::program)?;
        let version: Version = output.text().parse().map_err(|_| Error::NoVersion { said: output.text() })?;
        if version.is_too_old() { Err(Error::TooOld { version }) } else { Ok(version) }
    }

    /// Makes and boots machines, or boots those that are halted. One that runs is left alone.
    pub async fn up(&self, nodes: &[NodeName], hear: impl FnMut(&News)) -> Result<(), Error> {
        self.run("up", nodes, command::up(&self.folder, nodes), hear).await
    }

    pub async fn halt(&self, nodes: &[NodeName]) -> Result<(), Error> {
        self.run("halt", nodes, command::halt(&self.folder, nodes), |_| {}).await
    }

    pub async fn resume(&self, nodes: &[NodeName]) -> Result<(), Error> {
        self.run("resume", nodes, command::resume(&self.folder, nodes), |_| {}).await
    }

    pub async fn destroy(&self, nodes: &[NodeName]) -> Result<(), Error> {
        self.run("destroy", nodes, command::destroy(&self.folder, nodes), |_| {}).await
    }

    /// Returns how OpenSSH would enter a machine as its box has it.
    pub async fn ssh_config(&self, node: &NodeName) -> Result<String, Error> {
        let nodes = std::slice::from_ref(node);
        let mut config = String::new();
        self.run("ssh-config", nodes, command::ssh_config(&self.folder, nodes), |news| {
            if let What::SshConfig { text } = &news.what {
                config.clone_from(text);
            }
        })
        .await?;
        Ok(config)
    }

    /// Fetches a box; one that is there is left alone. It is done once and before machines are made: several at a
    /// time would each fetch it.
    pub async fn add_box(&self, base: &BoxRef, kind: Kind, hear: impl FnMut(&News)) -> Result<(), Error> {
        // In a folder without a Vagrantfile, as one that is broken would break this too.
        let empty = self.folder.path().join("empty");
        fs::create_dir(&empty)?;
        match self.run("box-add", &[], command::box_add(&empty, base, kind), hear).await {
            Err(Error::Failed(failure)) if failure.class.ends_with("BoxAlreadyExists") => Ok(()),
            added => added,
        }
    }

    /// Waits until no command is under way that an earlier `lab` began.
    pub async fn until_others_ended(&self) -> Result<(), Error> {
        if until_all_ended(&self.folder.held(), OTHERS_LIMIT).await { Ok(()) } else { Err(self.busy()) }
    }

    fn busy(&self) -> Error {
        Error::Busy { folder: self.folder.path().to_owned(), limit: OTHERS_LIMIT }
    }

    /// Runs a command to its end. Another Vagrant, of us or of the user, has a machine for itself now and then, but
    /// only for moments.
    async fn run(
        &self,
        verb: &'static str,
        nodes: &[NodeName],
        cmd: Cmd,
        mut hear: impl FnMut(&News),
    ) -> Result<(), Error> {
        for _ in 1..LOCKED_TRIES {
            match self.run_once(verb, nodes, &cmd, &mut hear).await {
                Err(error) if error.is_locked() => sleep(LOCKED_PAUSE).await,
                end => return end,
            }
        }
        self.run_once(verb, nodes, &cmd, &mut hear).await
    }

    async fn run_once(
        &self,
        verb: &'static str,
        nodes: &[NodeName],
        cmd: &Cmd,
        hear: &mut impl FnMut(&News),
    ) -> Result<(), Error> {
        let about = if let [node] = nodes { node.as_str() } else { "all" };
        let log = self.folder.log(&format!("{verb}-{about}"));
        begin_log(&log, cmd)?;
        let (mut heard, mut stderr) = (Heard { verb, ..Heard::default() }, Vec::new());
        let code = self.hear_out(cmd, &log, &mut stderr, |news| {
            heard.note(news);
            hear(news);
        });
        let code = code.await?;
        if code == 0 {
            return Ok(());
        }
        Err(Error::Failed(Box::new(heard.failure(nodes, code, &stderr, log))))
    }

    async fn hear_out(
        &self,
        cmd: &Cmd,
        log: &Utf8Path,
        stderr: &mut Vec<u8>,
        mut hear: impl FnMut(&News),
    ) -> Result<i32, Error> {
        let start = |source| Error::program(exec::Error::Start { cmd: Box::new(cmd.clone()), source });
        let keeper = Keeper { program: &self.keeper, log, held: &self.folder.held() };
        let mut child = keeper.start(cmd).map_err(Error::program)?;
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).split(b'\n');
        let mut errors = child.stderr.take().expect("it is piped").take(1 << 20);
        let held = child.stdin.take();
        let listen = async {
            while let Ok(Some(line)) = lines.next_segment().await {
                if let Ok(news) = String::from_utf8_lossy(&line).parse::<News>() {
                    hear(&news);
                }
            }
        };
        let ((), read) = tokio::join!(listen, errors.read_to_end(stderr));
        read.map_err(start)?;
        let status = child.wait().await.map_err(start)?;
        drop(held);
        Ok(status.code().unwrap_or(-1))
    }
}

impl Heard {
    fn note(&mut self, news: &News) {
        match &news.what {
            What::Ended { action } if action == self.verb => self.ended.extend(news.machine.clone()),
            What::Failed { class, text } => self.failure = Some((class.clone(), text.clone())),
            What::Complained { text } => self.complaint = Some(text.clone()),
            _ => {}
        }
    }

    /// Returns what is known of a command that ended badly. Where Vagrant names no class it did not come far, and
    /// what Ruby says tells most.
    fn failure(self, nodes: &[NodeName], code: i32, stderr: &[u8], log: Utf8PathBuf) -> Failure {
        let nodes = nodes.iter().filter(|node| !self.ended.contains(node.as_str())).cloned().collect();
        let (class, text) = self.failure.unwrap_or_else(|| {
            let stderr = without_trace(&String::from_utf8_lossy(stderr));
            (String::new(), self.complaint.filter(|_| stderr.is_empty()).unwrap_or(stderr))
        });
        Failure { verb: self.verb, nodes, code, class, text, log }
    }
}

/// Returns the last words of a program without the places in Ruby where they were said.
fn without_trace(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("\tfrom ")).collect();
    let text = lines.join("\n");
    let from = text.ceil_char_boundary(text.len().saturating_sub(LAST_WORDS));
    text[from..].trim().to_owned()
}

/// Each command has its own log, which begins with what was run.
fn begin_log(log: &Utf8Path, cmd: &Cmd) -> Result<(), Error> {
    Ok(fs::write(log, format!("$ {cmd}\n"), fs::Access::Private)?)
}
