//! A connection to one node, over which many commands and streams run at once.
//!
//! All of them share one flow: a stream whose reader stops reading for long holds up the others.
//! Who hands output to someone slow, such as a pager, should connect a session of its own.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{borrow::Cow, io};

use russh::client::{self, AuthResult, DisconnectReason, Handle, Msg};
use russh::keys::{PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{AlgorithmKind, Channel, Preferred, cipher, compression, kex, mac};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::model::NodeName;

use super::socket::Socket;
use super::{Error, Identity, Stream};

/// Where a node's ssh server listens, and as whom we log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub node: NodeName,
    pub address: SocketAddr,
    pub user: String,
}

/// How long a node may leave us without an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the first packet until we are logged in.
    pub(super) login: Duration,
    /// Three of these without a sign of life, and the connection counts as lost.
    pub(super) keepalive: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { login: Duration::from_secs(5), keepalive: Duration::from_secs(5) }
    }
}

/// Cheap to clone; the connection closes with `close`, or when the last clone and stream are dropped.
#[derive(Clone)]
pub struct Session {
    connection: Arc<Connection>,
}

struct Connection {
    node: NodeName,
    handle: Handle<Watch>,
    end: Arc<OnceLock<String>>,
}

impl Session {
    /// Connects and logs in. A node that is still booting shows as an error that `is_not_ready`.
    pub async fn connect(target: &Target, identity: &Identity) -> Result<Self, Error> {
        Self::connect_within(target, identity, Patience::default()).await
    }

    pub(super) async fn connect_within(
        target: &Target,
        identity: &Identity,
        patience: Patience,
    ) -> Result<Self, Error> {
        let late = |_| Error::TimedOut { node: target.node.clone(), limit: patience.login };
        timeout(patience.login, log_in(target, identity, patience)).await.map_err(late)?
    }

    /// Connects to a Unix socket on the node.
    pub async fn unix(&self, path: &str) -> Result<Stream, Error> {
        let opened = self.connection.handle.channel_open_direct_streamlocal(path).await;
        self.opened(opened, || format!("a stream to `{path}`")).map(|channel| Stream(channel.into_stream()))
    }

    /// Connects to a TCP port as seen from the node.
    pub async fn tcp(&self, host: &str, port: u16) -> Result<Stream, Error> {
        let handle = &self.connection.handle;
        let opened = handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0).await;
        self.opened(opened, || format!("a stream to `{host}:{port}`"))
            .map(|channel| Stream(channel.into_stream()))
    }

    /// Tells the node that we leave, and ends whatever still runs in this session.
    pub async fn close(&self) {
        let farewell = self.connection.handle.disconnect(russh::Disconnect::ByApplication, "", "");
        // Without a connection there is nobody to tell.
        drop(farewell.await);
    }

    pub fn is_closed(&self) -> bool {
        self.connection.handle.is_closed()
    }

    pub(super) fn node(&self) -> NodeName {
        self.connection.node.clone()
    }

    pub(super) async fn command_channel(&self) -> Result<Channel<Msg>, Error> {
        let opened = self.connection.handle.channel_open_session().await;
        self.opened(opened, || "one more command".to_owned())
    }

    fn opened(
        &self,
        result: Result<Channel<Msg>, russh::Error>,
        what: impl FnOnce() -> String,
    ) -> Result<Channel<Msg>, Error> {
        result.map_err(|error| match error {
            russh::Error::ChannelOpenFailure(reason) => {
                Error::Refused { node: self.node(), what: what(), source: reason.description().into() }
            }
            _ => self.lost(),
        })
    }

    /// Returns the error that says why this connection ended.
    pub(super) fn lost(&self) -> Error {
        let reason = self.connection.end.get().map_or("the connection was closed", String::as_str);
        Error::Lost { node: self.node(), source: reason.into() }
    }
}

async fn log_in(target: &Target, identity: &Identity, patience: Patience) -> Result<Session, Error> {
    let explain = |error| explain(target, error);
    let socket = TcpStream::connect(target.address).await.map_err(|error| explain(error.into()))?;
    let socket = Socket::tune(socket, patience.keepalive * 3).map_err(|error| explain(error.into()))?;

    let end = Arc::new(OnceLock::new());
    let watch = Watch { host: identity.host.clone(), end: end.clone() };
    let config = Arc::new(config(identity, patience));
    let mut handle = client::connect_stream(config, socket, watch).await.map_err(explain)?;

    let key = PrivateKeyWithHashAlg::new(identity.user.clone(), None);
    match handle.authenticate_publickey(&target.user, key).await.map_err(explain)? {
        AuthResult::Success => {
            Ok(Session { connection: Arc::new(Connection { node: target.node.clone(), handle, end }) })
        }
        // A server that rejects a key says what else it would take; silence means that it hung up.
        AuthResult::Failure { remaining_methods, .. } if remaining_methods.is_empty() => {
            Err(explain(russh::Error::Disconnect))
        }
        AuthResult::Failure { .. } => {
            Err(Error::KeyRejected { node: target.node.clone(), user: target.user.clone() })
        }
    }
}

/// Chooses among what every OpenSSH of the last ten years offers, what measured fastest first: sshd is
/// slow at Curve25519, and we are at `ChaCha20`.
fn config(identity: &Identity, patience: Patience) -> client::Config {
    let preferred = Preferred {
        kex: Cow::Borrowed(&[
            kex::ECDH_SHA2_NISTP256,
            kex::CURVE25519,
            kex::CURVE25519_PRE_RFC_8731,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
        ]),
        key: Cow::Owned(vec![identity.host.algorithm()]),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Borrowed(&[cipher::AES_128_GCM, cipher::AES_256_GCM, cipher::CHACHA20_POLY1305]),
        mac: Cow::Borrowed(&[mac::HMAC_SHA256_ETM]),
        compression: Cow::Borrowed(&[compression::NONE]),
    };
    client::Config {
        preferred,
        keepalive_interval: Some(patience.keepalive),
        keepalive_max: 2,
        ..client::Config::default()
    }
}

fn explain(target: &Target, error: russh::Error) -> Error {
    let node = target.node.clone();
    let address = target.address;
    match error {
        russh::Error::UnknownKey
        | russh::Error::WrongServerSig
        | russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, .. } => {
            Error::WrongHostKey { node, address }
        }
        russh::Error::IO(source) if !is_passing(&source) => {
            Error::Connect { node, address, source: source.into() }
        }
        russh::Error::HUP | russh::Error::Disconnect | russh::Error::SendError | russh::Error::IO(_) => {
            Error::NotReady { node, source: reason(&error).into() }
        }
        error => Error::Connect { node, address, source: error.into() },
    }
}

/// Is this how a host or its port mapping looks while the node boots?
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        NetworkUnreachable, NotConnected, UnexpectedEof,
    };
    matches!(
        error.kind(),
        BrokenPipe
            | ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | NetworkUnreachable
            | NotConnected
            | UnexpectedEof
    )
}

fn reason(error: &russh::Error) -> String {
    match error {
        russh::Error::KeepaliveTimeout => "it gave no sign of life".to_owned(),
        russh::Error::HUP | russh::Error::Disconnect => "it closed the connection".to_owned(),
        russh::Error::IO(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it closed the connection".to_owned()
        }
        error => error.to_string(),
    }
}

/// Checks the host key, and remembers why a connection ended.
struct Watch {
    host: Arc<PublicKey>,
    end: Arc<OnceLock<String>>,
}

impl client::Handler for Watch {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(shown.certificate().is_none() && shown.public_key().key_data() == self.host.key_data())
    }

    async fn disconnected(&mut self, why: DisconnectReason<russh::Error>) -> Result<(), russh::Error> {
        let text = match why {
            DisconnectReason::ReceivedDisconnect(info) => info.message,
            DisconnectReason::Error(error) => reason(&error),
        };
        self.end.get_or_init(|| text);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
