//! A real OpenSSH server for the tests of this folder, on a port of 127.0.0.1 and with keys of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::exec::{self, Cmd};
use crate::fs::{self, Access};
use crate::model::NodeName;
use crate::wait::wait_until;

use super::session::Patience;
use super::{Error, Identity, KeyPair, Session, Target};

const SSHD: &str = "/usr/sbin/sshd";

/// Killed when dropped, together with its folder.
pub(super) struct Sshd {
    child: Child,
    folder: TempDir,
    pub(super) address: SocketAddr,
    pub(super) user: String,
    pub(super) user_key: KeyPair,
    pub(super) host_key: KeyPair,
}

impl Sshd {
    pub(super) async fn start() -> Self {
        assert!(
            Path::new(SSHD).exists(),
            "`{SSHD}` is missing; the cure is `apt-get install openssh-server`"
        );
        let user = exec::run(&Cmd::new("id").arg("-un"), b"").await.unwrap().text();
        if user == "root" {
            fs::create_dir(Utf8Path::new("/run/sshd")).unwrap();
        }
        let mut sshd = Self::spawn(user);
        // Between our choice of a free port and its use, another program may have taken it.
        while !sshd.listens().await {
            sshd = Self::spawn(sshd.user.clone());
        }
        sshd
    }

    fn spawn(user: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let [user_key, host_key] = ["user", "host"].map(KeyPair::generate);
        let child = launch(&folder, address, &user_key, &host_key);
        Self { child, folder, address, user, user_key, host_key }
    }

    /// Returns whether the server lives to take a connection.
    async fn listens(&mut self) -> bool {
        let address = self.address;
        let child = &mut self.child;
        wait_until("sshd listens", Duration::from_secs(10), Duration::from_millis(10), async || {
            if child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            TcpStream::connect(address).await.is_ok().then_some(true)
        })
        .await
        .unwrap()
    }

    pub(super) fn dir(&self) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.folder.path().to_owned()).unwrap()
    }

    pub(super) fn target(&self) -> Target {
        target(self.address, &self.user)
    }

    pub(super) fn identity(&self) -> Identity {
        Identity::parse(&self.user_key.private, &self.host_key.public).unwrap()
    }

    pub(super) async fn session(&self) -> Session {
        Session::connect(&self.target(), &self.identity()).await.unwrap()
    }

    pub(super) async fn session_within(&self, patience: Patience) -> Result<Session, Error> {
        Session::connect_within(&self.target(), &self.identity(), patience).await
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

pub(super) fn target(address: SocketAddr, user: &str) -> Target {
    Target { node: NodeName::parse("core-01").unwrap(), address, user: user.to_owned() }
}

/// Returns an address at which nothing listens.
pub(super) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a server in the background, which no runner of ours offers")]
fn launch(folder: &TempDir, address: SocketAddr, user_key: &KeyPair, host_key: &KeyPair) -> Child {
    let dir = Utf8Path::from_path(folder.path()).unwrap();
    let [host, authorized, config] =
        ["host_key", "authorized_keys", "sshd_config"].map(|name| dir.join(name));
    fs::write(&host, &host_key.private, Access::Private).unwrap();
    fs::write(&authorized, &user_key.public, Access::Public).unwrap();
    let text = format!(
        "ListenAddress {address}
HostKey {host}
AuthorizedKeysFile {authorized}
AuthenticationMethods publickey
PermitRootLogin yes
StrictModes no
UsePAM no
UseDNS no
MaxStartups 100
MaxSessions 100
PidFile none
"
    );
    fs::write(&config, text, Access::Public).unwrap();
    Command::new(SSHD)
        .args(["-D", "-e", "-f", config.as_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
