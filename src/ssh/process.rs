//! Commands on a node.

use std::io;
use std::pin::Pin;

use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::runtime::Handle;

use crate::exec::{Cmd, Output, quote};

use super::{Error, Session};

/// What a command does, one step at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It printed something, at most one packet of 32 KiB.
    Stdout(Vec<u8>),
    /// It complained.
    Stderr(Vec<u8>),
    /// It ended, with its exit code, or with 128 and the number of the signal that ended it.
    Exit(i32),
}

/// The largest packet that OpenSSH takes.
const PACKET: usize = 32 * 1024;

impl Session {
    /// Runs a command to its end; unlike on this host, any exit code is a result and not an error.
    pub async fn run(&self, cmd: &Cmd, input: &[u8]) -> Result<Output, Error> {
        self.run_line(&line(cmd), input).await
    }

    /// Runs a line of the login shell, as `run` does a command. All output is kept in memory.
    pub async fn run_line(&self, line: &str, input: &[u8]) -> Result<Output, Error> {
        let mut process = self.start(line, input).await?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        loop {
            match process.next().await? {
                Event::Stdout(bytes) => stdout.extend(bytes),
                Event::Stderr(bytes) => stderr.extend(bytes),
                Event::Exit(code) => return Ok(Output { code, stdout, stderr }),
            }
        }
    }

    /// Starts a line of the login shell that reads `input`.
    pub async fn start<'a>(
        &self,
        line: &str,
        input: impl AsyncRead + Unpin + Send + 'a,
    ) -> Result<Process<'a>, Error> {
        let (reader, writer) = self.command_channel().await?.split();
        writer.exec(true, line).await.map_err(|_| self.lost())?;
        let feed = Box::pin(feed(Writer(Some(writer)), input));
        Ok(Process { session: self.clone(), line: line.to_owned(), reader, feed, code: None })
    }
}

/// A running command. Dropped, it loses its input and output, but is not killed.
pub struct Process<'a> {
    session: Session,
    line: String,
    reader: ChannelReadHalf,
    feed: Pin<Box<dyn Future<Output = io::Error> + Send + 'a>>,
    code: Option<i32>,
}

impl Process<'_> {
    /// Feeds the command until it does something. `Exit` is the last that it does.
    ///
    /// Neither side is read faster than the other takes it, so nothing happens between the calls.
    pub async fn next(&mut self) -> Result<Event, Error> {
        const STDERR: u32 = 1;
        loop {
            let message = tokio::select! {
                biased;
                message = self.reader.wait() => message,
                source = &mut self.feed => return Err(Error::Input { node: self.session.node(), source }),
            };
            match message {
                Some(ChannelMsg::Data { data }) => return Ok(Event::Stdout(data.into())),
                Some(ChannelMsg::ExtendedData { data, ext: STDERR }) => {
                    return Ok(Event::Stderr(data.into()));
                }
                Some(ChannelMsg::ExitStatus { exit_status }) => self.code = i32::try_from(exit_status).ok(),
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => self.code = Some(code(&signal_name)),
                Some(ChannelMsg::Failure) => return Err(self.not_started()),
                Some(ChannelMsg::Close) | None => {
                    return self.code.take().map(Event::Exit).ok_or_else(|| self.session.lost());
                }
                Some(_) => {}
            }
        }
    }

    fn not_started(&self) -> Error {
        let source = "it starts no commands for this user".into();
        Error::Refused { node: self.session.node(), what: format!("`{}`", self.line), source }
    }
}

/// Sends all input. Returns only if it cannot be read: whether the node takes it, shows at the other end.
async fn feed(writer: Writer, mut input: impl AsyncRead + Unpin) -> io::Error {
    let half = writer.half();
    let mut buffer = vec![0; PACKET];
    loop {
        let sent = match input.read(&mut buffer).await {
            Err(error) => return error,
            Ok(0) => half.eof().await.map(|()| true),
            Ok(count) => half.data_bytes(buffer[..count].to_vec()).await.map(|()| false),
        };
        // Sent to the end, or to a command or a node that is gone: the channel's end tells which.
        if !matches!(sent, Ok(false)) {
            return std::future::pending().await;
        }
    }
}

/// The sending half of a channel, closed when dropped so that no command outlives our interest in it.
struct Writer(Option<ChannelWriteHalf<Msg>>);

impl Writer {
    fn half(&self) -> &ChannelWriteHalf<Msg> {
        self.0.as_ref().expect("it is taken by drop only")
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let (Some(writer), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move { writer.close().await });
        }
    }
}

/// Renders a command for the login shell. Its environment goes through `env`, as sshd accepts none.
fn line(cmd: &Cmd) -> String {
    let mut words = Vec::new();
    if !cmd.environment().is_empty() {
        words.push("env".to_owned());
    }
    words.extend(cmd.environment().iter().map(|(name, value)| quote(&format!("{name}={value}"))));
    words.push(quote(cmd.program()));
    words.extend(cmd.arguments().iter().map(|word| quote(word)));
    words.join(" ")
}

/// Returns the exit code that a shell shows for a signal.
fn code(signal: &Sig) -> i32 {
    128 + match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        // The protocol gives others no number; this makes 255, which is no signal's code.
        Sig::Custom(_) => 127,
    }
}

#[cfg(test)]
mod tests;
