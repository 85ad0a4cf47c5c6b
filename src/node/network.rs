//! `labd network`: gives the node's own interface in the lab's network its address, at each boot. Names come first,
//! as a box may have tools that put its former ones back.

use std::net::Ipv4Addr;
use std::time::Duration;

use camino::Utf8Path;

use super::{apply, init};
use crate::exec::{self, Cmd};
use crate::fs::{self, Access};
use crate::wait::{self, wait_until};

const NICS: &str = "/sys/class/net";
/// Whoever runs networkd has it; where networkd sleeps, nobody reads what we write for it.
const NETWORKD: [&str; 2] = ["/usr/lib/systemd/systemd-networkd", "/lib/systemd/systemd-networkd"];
const NETWORKD_STATE: &str = "/run/systemd/netif/state";
/// Its name sorts before all that a box or Vagrant brings: the first that matches is the one.
const NETWORKD_FILE: &str = "/etc/systemd/network/05-lab.network";
/// A slow machine may still look for its devices.
const NIC_LIMIT: Duration = Duration::from_mins(1);
const EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] init::Error),
    #[error(transparent)]
    Names(#[from] apply::Error),
    #[error(transparent)]
    File(#[from] fs::Error),
    #[error("this machine has no network interface with the address {mac}, only {}", found.join(", "))]
    NoNic { mac: String, found: Vec<String>, source: wait::TimedOut },
    #[error(transparent)]
    Command(#[from] exec::Error),
}

/// A network interface of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Nic {
    name: String,
    mac: String,
    /// Bridges and the like may borrow the address of the device below them.
    is_device: bool,
}

/// Does what the configuration in force asks for; a machine that is no node is left as it is.
pub async fn network() -> Result<(), Error> {
    let Some(config) = init::load_config()? else { return Ok(()) };
    apply::name_machine(&config)?;
    apply::write_all(&config)?;
    ensure(config.mac.as_deref(), config.address).await
}

/// Brings the interface up with its address; without one to look for there is nothing to do.
pub(super) async fn ensure(mac: Option<&str>, address: Ipv4Addr) -> Result<(), Error> {
    let Some(mac) = mac else { return Ok(()) };
    let nic = wait_until("the interface is there", NIC_LIMIT, EVERY, async || {
        nics().ok().and_then(|nics| choose(&nics, mac).map(|nic| nic.name.clone()))
    });
    let nic = match nic.await {
        Ok(nic) => nic,
        Err(source) => {
            let found = nics()?.into_iter().map(|nic| format!("{} ({})", nic.name, nic.mac)).collect();
            return Err(Error::NoNic { mac: mac.to_owned(), found, source });
        }
    };
    tell_networkd(mac, address).await?;
    let shown = exec::run(&ip(["-4", "-oneline", "address", "show", "up", "dev", &nic]), b"").await?.text();
    for cmd in plan(&nic, address, &shown) {
        exec::run(&cmd, b"").await?;
    }
    Ok(())
}

fn nics() -> Result<Vec<Nic>, fs::Error> {
    let read = |name: String| {
        let folder = Utf8Path::new(NICS).join(&name);
        let mac = fs::read_if_present(&folder.join("address")).ok().flatten()?;
        Some(Nic { name, mac: mac.trim().to_owned(), is_device: folder.join("device").exists() })
    };
    Ok(fs::list(Utf8Path::new(NICS))?.into_iter().filter_map(read).collect())
}

/// Returns the interface with this address, a device rather than what borrows from one.
fn choose<'a>(nics: &'a [Nic], mac: &str) -> Option<&'a Nic> {
    let is_it = |nic: &&Nic| nic.mac.replace(':', "").eq_ignore_ascii_case(mac);
    nics.iter().filter(is_it).max_by_key(|nic| nic.is_device)
}

/// Returns what is left to do for an interface of which `ip` shows this, while it is up.
fn plan(nic: &str, address: Ipv4Addr, shown: &str) -> Vec<Cmd> {
    let wanted = format!("{address}/24");
    let has_it = shown.lines().any(|line| line.split_whitespace().any(|word| word == wanted));
    if has_it {
        return Vec::new();
    }
    vec![ip(["link", "set", "dev", nic, "up"]), ip(["address", "replace", &wanted, "brd", "+", "dev", nic])]
}

fn ip<const N: usize>(words: [&str; N]) -> Cmd {
    Cmd::new("ip").args(words)
}

/// networkd would otherwise ask for an address where nobody gives any, and take away the one we give.
async fn tell_networkd(mac: &str, address: Ipv4Addr) -> Result<(), Error> {
    if !NETWORKD.iter().any(|path| Utf8Path::new(path).exists()) {
        return Ok(());
    }
    let (path, content) = (Utf8Path::new(NETWORKD_FILE), networkd_file(mac, address));
    if fs::read_if_present(path)?.as_deref() == Some(&content) {
        return Ok(());
    }
    fs::write(path, content, Access::Public)?;
    if Utf8Path::new(NETWORKD_STATE).exists() {
        exec::run(&Cmd::new("networkctl").arg("reload"), b"").await?;
    }
    Ok(())
}

fn networkd_file(mac: &str, address: Ipv4Addr) -> String {
    let mac: Vec<&str> = (0..mac.len()).step_by(2).filter_map(|at| mac.get(at..at + 2)).collect();
    format!(
        "# The lab's own network. labd writes this.\n\
         [Match]\nMACAddress={}\n\n[Link]\nRequiredForOnline=no\n\n\
         [Network]\nAddress={address}/24\nDHCP=no\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
        mac.join(":")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 3, 11);

    #[test]
    fn the_interface_is_found_by_its_address() {
        let nic = |name: &str, mac: &str, is_device| Nic { name: name.into(), mac: mac.into(), is_device };
        let nics = [
            nic("br0", "08:00:27:aa:bb:cc", false),
            nic("eth1", "08:00:27:AA:bb:cc", true),
            nic("lo", "00:00:00:00:00:00", false),
            nic("veth1", "08:00:27:00:00:01", false),
            nic("x", "", true),
        ];
        for (mac, want) in
            [("080027aabbcc", Some("eth1")), ("080027000001", Some("veth1")), ("080027000002", None)]
        {
            assert_eq!(choose(&nics, mac).map(|nic| nic.name.as_str()), want, "{mac}");
        }
    }

    #[test]
    fn an_interface_gets_what_it_lacks() {
        let both = "ip link set dev eth1 up; ip address replace 10.77.3.11/24 brd + dev eth1";
        for (shown, want) in [
            ("", both),
            ("3: eth1    inet 10.77.3.11/24 brd 10.77.3.255 scope global eth1\\  valid_lft forever", ""),
            ("3: eth1    inet 10.77.3.111/24 scope global eth1\\", both),
            ("3: eth1    inet 10.77.3.11/16 scope global eth1\\", both),
        ] {
            let cmds: Vec<String> = plan("eth1", ADDRESS, shown).iter().map(Cmd::to_string).collect();
            assert_eq!(cmds.join("; "), want, "{shown}");
        }
    }

    #[test]
    fn networkd_is_told_by_the_hardware_address() {
        let file = networkd_file("080027aabbcc", ADDRESS);
        assert!(file.contains("\nMACAddress=08:00:27:aa:bb:cc\n"), "{file}");
        assert!(file.contains("\nAddress=10.77.3.11/24\n"), "{file}");
    }
}
