//! Files for other ssh clients: the user's own `ssh`, and `fleetctl`.

use std::fmt::Write;
use std::net::SocketAddr;

use camino::Utf8Path;

/// How the user's ssh reaches one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// The names that the user may type; the first one also stands for the node in `known_hosts`.
    pub aliases: Vec<String>,
    pub address: SocketAddr,
    pub user: String,
}

impl HostEntry {
    /// Returns the names under which clients look up this node's host key: those that read our
    /// configuration by alias, so that the port may change, and the others by address.
    pub fn known_names(&self) -> Vec<String> {
        let ip = self.address.ip();
        let place = match self.address.port() {
            22 => ip.to_string(),
            port => format!("[{ip}]:{port}"),
        };
        self.aliases.first().cloned().into_iter().chain([place]).collect()
    }
}

/// Renders a `known_hosts` file in which all names have the same key.
pub fn known_hosts(names: &[String], host_public_key: &str) -> String {
    let mut words = host_public_key.split_whitespace();
    let key = [words.next().unwrap_or_default(), words.next().unwrap_or_default()].join(" ");
    names.iter().map(|name| format!("{name} {key}\n")).collect()
}

/// Renders a configuration for `ssh -F`, or to be included in the user's own.
pub fn ssh_config(hosts: &[HostEntry], identity_file: &Utf8Path, known_hosts_file: &Utf8Path) -> String {
    let (identity, known) = (quote(identity_file), quote(known_hosts_file));
    let mut text = String::new();
    for host in hosts {
        let Some(alias) = host.aliases.first() else { continue };
        let HostEntry { aliases, address, user } = host;
        let (names, ip, port) = (aliases.join(" "), address.ip(), address.port());
        write!(
            text,
            "Host {names}
  HostName {ip}
  Port {port}
  User {user}
  IdentityFile {identity}
  IdentitiesOnly yes
  PreferredAuthentications publickey
  UserKnownHostsFile {known}
  GlobalKnownHostsFile /dev/null
  HostKeyAlias {alias}
  CheckHostIP no
  StrictHostKeyChecking yes
  ServerAliveInterval 5
  LogLevel ERROR
"
        )
        .expect("a string takes all text");
    }
    text
}

/// Quotes a path for OpenSSH, which also expands percent signs in it.
fn quote(path: &Utf8Path) -> String {
    let escaped = path.as_str().replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use crate::exec::{self, Cmd};
    use crate::fs::{self, Access};
    use crate::ssh::KeyPair;
    use crate::ssh::fixture::Sshd;

    use super::*;

    fn entry(address: SocketAddr, user: &str) -> HostEntry {
        HostEntry { aliases: vec!["core-01".into(), "core-01.web".into()], address, user: user.into() }
    }

    #[test]
    fn a_node_is_known_by_alias_and_by_address() {
        let host = entry("127.0.0.1:2201".parse().unwrap(), "core");
        let names = [host.known_names(), entry("[::1]:22".parse().unwrap(), "core").known_names()].concat();
        assert_eq!(names, ["core-01", "[127.0.0.1]:2201", "core-01", "::1"]);
        let text = known_hosts(&names[..2], "ssh-ed25519 AAAAkey lab host");
        assert_eq!(text, "core-01 ssh-ed25519 AAAAkey\n[127.0.0.1]:2201 ssh-ed25519 AAAAkey\n");
    }

    #[test]
    fn the_configuration_quotes_paths() {
        let host = entry("127.0.0.1:2201".parse().unwrap(), "core");
        let text = ssh_config(&[host], Utf8Path::new("/my lab/100%/key"), Utf8Path::new("/a \"b\"/known"));
        insta::assert_snapshot!(text, @r#"
        Host core-01 core-01.web
          HostName 127.0.0.1
          Port 2201
          User core
          IdentityFile "/my lab/100%%/key"
          IdentitiesOnly yes
          PreferredAuthentications publickey
          UserKnownHostsFile "/a \"b\"/known"
          GlobalKnownHostsFile /dev/null
          HostKeyAlias core-01
          CheckHostIP no
          StrictHostKeyChecking yes
          ServerAliveInterval 5
          LogLevel ERROR
        "#);
    }

    /// Writes the files as `lab` does, in a folder whose name needs quoting, and asks the real `ssh`.
    async fn ask_ssh(
        sshd: &Sshd,
        alias: &str,
        names: &[String],
        host: &KeyPair,
    ) -> Result<String, exec::Error> {
        let folder = sshd.dir().join("my 100% \"lab\"");
        let [key, known, config] = ["key", "known_hosts", "config"].map(|name| folder.join(name));
        let write = |path: &Utf8PathBuf, text: &str| fs::write(path, text, Access::Private).unwrap();
        write(&key, &sshd.user_key.private);
        write(&known, &known_hosts(names, &host.public));
        write(&config, &ssh_config(&[entry(sshd.address, &sshd.user)], &key, &known));
        let cmd = Cmd::new("ssh").args(["-F", config.as_str(), alias, "echo hello"]);
        exec::run(&cmd, b"").await.map(|output| output.text())
    }

    #[tokio::test]
    async fn the_users_ssh_reaches_a_node_whatever_its_port() {
        let sshd = Sshd::start().await;
        let by_alias = ["core-01".to_owned()];
        for alias in ["core-01", "core-01.web"] {
            assert_eq!(ask_ssh(&sshd, alias, &by_alias, &sshd.host_key).await.unwrap(), "hello");
        }
        let all = entry(sshd.address, &sshd.user).known_names();
        assert_eq!(ask_ssh(&sshd, "core-01", &all, &sshd.host_key).await.unwrap(), "hello");
        let error = ask_ssh(&sshd, "core-01", &by_alias, &KeyPair::generate("other")).await.unwrap_err();
        assert!(error.to_string().contains("Host key verification failed"), "{error}");
    }
}
