//! How a machine is entered that is no node yet: as its box has it, by the system's ssh, which knows every kind of
//! key that a box may have.

use std::net::SocketAddr;

use camino::{Utf8Path, Utf8PathBuf};

use crate::exec::Cmd;

/// Who may enter the machines of a box, as Vagrant says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BoxLogin {
    pub(super) user: String,
    pub(super) keys: Vec<Utf8PathBuf>,
}

impl BoxLogin {
    /// Reads what `vagrant ssh-config` prints for one machine.
    pub(super) fn parse(config: &str) -> Option<Self> {
        let value = |line: &str, key: &str| {
            let rest = line.trim().strip_prefix(key)?.strip_prefix(' ')?;
            Some(rest.trim().trim_matches('"').to_owned())
        };
        let user = config.lines().find_map(|line| value(line, "User"))?;
        let keys = config.lines().filter_map(|line| value(line, "IdentityFile"));
        Some(Self { user, keys: keys.map(Utf8PathBuf::from).collect() })
    }

    /// Returns the command that runs another one on the machine. Its host key is not known to anybody yet; the seed
    /// brings the lab's own.
    pub(super) fn enter(&self, address: SocketAddr, cmd: &Cmd) -> Cmd {
        const OPTIONS: [&str; 9] = [
            "BatchMode=yes",
            "ConnectTimeout=10",
            "GlobalKnownHostsFile=/dev/null",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "LogLevel=ERROR",
            "ServerAliveInterval=5",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
        ];
        let ssh = Cmd::new("ssh").args(["-F", "/dev/null", "-T"]);
        let ssh = OPTIONS.iter().fold(ssh, |ssh, option| ssh.arg("-o").arg(*option));
        let ssh = self.keys.iter().fold(ssh, |ssh, key| ssh.arg("-i").arg(key.as_str()));
        let ssh = ssh.arg("-p").arg(address.port().to_string());
        ssh.arg(format!("{}@{}", self.user, address.ip())).arg("--").arg(cmd.to_string())
    }

    /// Returns the login of a machine that is the lab's from its first boot on.
    pub(super) fn of_lab(user: &str, key: &Utf8Path) -> Self {
        Self { user: user.to_owned(), keys: vec![key.to_owned()] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "Host core-01\n  HostName 127.0.0.1\n  User vagrant\n  Port 2501\n  \
                           UserKnownHostsFile /dev/null\n  IdentityFile \"/home/a b/key.rsa\"\n  \
                           IdentityFile /home/ab/key.ed25519\n  IdentitiesOnly yes\n";

    #[test]
    fn what_vagrant_prints_is_read() {
        let login = BoxLogin::parse(PRINTED).unwrap();
        assert_eq!(login.user, "vagrant");
        assert_eq!(login.keys, ["/home/a b/key.rsa", "/home/ab/key.ed25519"]);
        assert_eq!(BoxLogin::parse(""), None);
    }

    #[test]
    fn a_command_is_one_word_for_ssh() {
        let login = BoxLogin::of_lab("core", "/k".into());
        let cmd = Cmd::new("sudo").arg("sh").arg("-c").arg("echo 'a b'");
        let ssh = login.enter("127.0.0.1:2501".parse().unwrap(), &cmd);
        let last: Vec<&str> = ssh.arguments().iter().rev().take(5).map(String::as_str).collect();
        assert_eq!(last, [cmd.to_string().as_str(), "--", "core@127.0.0.1", "2501", "-p"]);
    }
}
