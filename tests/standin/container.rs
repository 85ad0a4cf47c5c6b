//! The container that a machine is: what it is made of, and when it has to be made again.

use anyhow::Context;
use serde_json::{Value, json};

use crate::engine::{Engine, Seen, Status};
use crate::settings::Settings;
use crate::vm::{Phase, Vm};

/// On all that is made; says for which test.
pub const OWNER: &str = "lab.standin";
/// On a container: the machine that it is.
pub const MACHINE: &str = "lab.standin.machine";
/// On a container: what of the machine's settings is fixed while it exists.
pub const MADE_OF: &str = "lab.standin.made-of";
/// How a container ends whose first process was killed.
const KILLED: i64 = 137;
/// The network of machines without a host-only adapter.
pub const DEFAULT: &str = "default";
const DISK: &str = "/var/lib/docker";

pub fn name(settings: &Settings, vm: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' };
    format!("{}{}", settings.prefix, vm.chars().map(word).collect::<String>())
}

/// What of a machine's settings a container cannot change any more.
fn made_of(vm: &Vm, network: &str) -> String {
    let mac = vm.host_only().map(|nic| nic.mac.as_str()).unwrap_or_default();
    let rules: Vec<String> = vm.forwards.iter().map(|(name, forward)| forward.rule(name)).collect();
    format!("{network} {mac} {}", rules.join(" "))
}

/// Sees to it that the machine's container exists, with its disk and its present settings.
pub fn ensure(engine: &Engine, settings: &Settings, vm: &Vm, network: &str) -> anyhow::Result<Seen> {
    let name = name(settings, &vm.name);
    let wanted = made_of(vm, network);
    let (image, volumes) = match engine.container(&name)? {
        Some(seen) if seen.made_of == wanted || seen.status == Status::Paused => {
            if !seen.networks.iter().any(|connected| connected == docker_name(network)) {
                engine.connect(&seen.id, network)?;
            }
            return Ok(seen);
        }
        Some(seen) => {
            let image = engine.commit(&seen.id, &json!({ OWNER: settings.prefix, MACHINE: vm.uuid }))?;
            engine.remove(&seen.id)?;
            (image, seen.volumes)
        }
        None => (vm.image.clone().unwrap_or_else(|| settings.image.clone()), Vec::new()),
    };
    let spec = spec(settings, vm, &Parts { image: &image, volumes: &volumes, network, made_of: &wanted });
    engine.must("POST", &format!("/containers/create?name={name}"), Some(&spec))?;
    engine.container(&name)?.context("the container is gone")
}

/// The engine calls its own bridge otherwise where a container is to be made on it.
fn docker_name(network: &str) -> &str {
    if network == DEFAULT { "bridge" } else { network }
}

/// Takes a paused machine off its network, which frees its ports, as saving it does in VirtualBox.
pub fn unplug(engine: &Engine, seen: &Seen) -> anyhow::Result<()> {
    seen.networks.iter().try_for_each(|network| engine.disconnect(&seen.id, network))
}

/// Says which addresses a machine has given itself.
pub fn addresses(engine: &Engine, seen: &Seen) -> anyhow::Result<Vec<String>> {
    let said = engine.run(&seen.id, "ip -o -4 address show dev eth0")?;
    Ok(said.lines().filter_map(address).collect())
}

/// Reads the address in `2: eth0 inet 10.0.0.1/24 brd ...`.
fn address(line: &str) -> Option<String> {
    let (_, after) = line.split_once(" inet ")?;
    after.split_whitespace().next().map(str::to_owned)
}

/// Gives a machine's adapter the name back that the engine knows it by: it finds no other when it is to take it away.
pub fn give_back(engine: &Engine, seen: &Seen, adapter: &str) -> anyhow::Result<()> {
    engine.run(&seen.id, &format!("ip link set eth0 down; ip link set eth0 name {adapter}")).map(drop)
}

/// Makes a machine's new adapter look as the one that it had before it was saved, and returns the engine's name of it.
pub fn restore(engine: &Engine, seen: &Seen, addresses: &[String]) -> anyhow::Result<String> {
    let add: String =
        addresses.iter().map(|address| format!("ip address add {address} dev eth0 2>/dev/null; ")).collect();
    let script = format!(
        "way=$(ip route show default | sed -n 's/.* via \\([0-9.]*\\) .*/\\1/p'); \
         new=$(cd /sys/class/net && ls -d eth* | head -n 1); echo $new; \
         if [ $new != eth0 ]; then ip link set $new down; ip link set $new name eth0; ip link set eth0 up; fi; \
         {add}ip route replace default via $way"
    );
    Ok(engine.run(&seen.id, &script)?.lines().next().unwrap_or("eth0").to_owned())
}

struct Parts<'a> {
    image: &'a str,
    volumes: &'a [String],
    network: &'a str,
    made_of: &'a str,
}

fn spec(settings: &Settings, vm: &Vm, parts: &Parts<'_>) -> Value {
    let mut spec = json!({
        "Image": parts.image,
        "Labels": { OWNER: settings.prefix, MACHINE: vm.uuid, MADE_OF: parts.made_of },
        "StopSignal": "SIGRTMIN+3",
        "Env": ["container=docker"],
        "Volumes": { DISK: {} },
        "ExposedPorts": {},
        "HostConfig": {
            "CapAdd": ["SYS_ADMIN", "NET_ADMIN"],
            "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
            // This is what `--security-opt systempaths=unconfined` is to the engine.
            "MaskedPaths": [],
            "ReadonlyPaths": [],
            "CgroupnsMode": "private",
            "Tmpfs": { "/run": "exec", "/run/lock": "", "/tmp": "exec" },
            "NetworkMode": parts.network,
            "PortBindings": {},
        },
    });
    for forward in vm.forwards.values() {
        let port = format!("{}/{}", forward.guest_port, forward.protocol);
        let host_ip = if forward.host_ip.is_empty() { "0.0.0.0" } else { &forward.host_ip };
        spec["ExposedPorts"][&port] = json!({});
        spec["HostConfig"]["PortBindings"][&port] =
            json!([{ "HostIp": host_ip, "HostPort": forward.host_port.to_string() }]);
    }
    if let Some(volume) = parts.volumes.first() {
        spec["Volumes"] = json!({});
        spec["HostConfig"]["Binds"] = json!([format!("{volume}:{DISK}")]);
    }
    if let Some(nic) = vm.host_only() {
        spec["MacAddress"] = json!(nic.mac_with_colons());
    }
    spec
}

/// Says what a machine is doing, from what was last done to it and what its container does. A command that was
/// killed has left the first behind; the second is always true.
pub fn observe(remembered: Phase, status: Option<Status>) -> Phase {
    match status {
        Some(Status::Running) => Phase::Running,
        Some(Status::Paused) => match remembered {
            Phase::Saved | Phase::Starting | Phase::Stopping => Phase::Saved,
            _ => Phase::Paused,
        },
        Some(Status::Exited { code: KILLED }) if matches!(remembered, Phase::Running | Phase::Paused) => {
            // Nobody asked for it: the process that is the machine is gone.
            Phase::Aborted
        }
        None | Some(Status::Created | Status::Exited { .. }) => Phase::PowerOff,
    }
}

/// Removes the container and all that was kept for it.
pub fn remove(engine: &Engine, settings: &Settings, vm: &Vm) -> anyhow::Result<()> {
    if let Some(seen) = engine.container(&name(settings, &vm.name))? {
        engine.remove(&seen.id)?;
        for volume in &seen.volumes {
            engine.remove_volume(volume)?;
        }
    }
    let filter = json!({ "label": [format!("{MACHINE}={}", vm.uuid)] }).to_string();
    let images = engine.must("GET", &format!("/images/json?filters={}", encoded(&filter)), None)?;
    // The newest comes first, and is built on those after it.
    for image in images.as_array().into_iter().flatten() {
        engine.remove_image(image["Id"].as_str().unwrap_or_default())?;
    }
    Ok(())
}

/// Writes what may stand in an address.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::{Forward, Nic};

    #[test]
    fn a_machine_is_what_its_container_does() {
        use Phase::{Aborted, PowerOff, Running, Saved, Starting, Stopping};
        #[track_caller]
        fn check(remembered: Phase, status: Option<Status>, want: Phase) {
            assert_eq!(observe(remembered, status), want, "{remembered:?} {status:?}");
        }
        let killed = Some(Status::Exited { code: 137 });
        check(PowerOff, None, PowerOff);
        check(Starting, None, PowerOff);
        check(Starting, Some(Status::Created), PowerOff);
        check(Starting, Some(Status::Running), Running);
        check(Starting, Some(Status::Paused), Saved);
        check(Stopping, killed, PowerOff);
        check(Running, Some(Status::Exited { code: 0 }), PowerOff);
        check(Running, killed, Aborted);
        check(Running, Some(Status::Paused), Phase::Paused);
        check(Saved, Some(Status::Paused), Saved);
    }

    #[test]
    fn a_container_is_made_again_when_what_it_is_made_of_changes() {
        let mut vm = Vm::new("a");
        let before = made_of(&vm, "default");
        vm.options.insert("memory".to_owned(), "512".to_owned());
        assert_eq!(made_of(&vm, "default"), before);
        let (name, forward) = Forward::parse("ssh,tcp,127.0.0.1,2222,,22").unwrap();
        vm.forwards.insert(name, forward);
        let forwarded = made_of(&vm, "default");
        assert_ne!(forwarded, before);
        vm.nics.insert(2, Nic { attached: "vboxnet0".to_owned(), ..Nic::new("hostonly") });
        assert_ne!(made_of(&vm, "default"), forwarded);
    }

    #[test]
    fn an_address_is_read_with_its_length() {
        let line = "2: eth0    inet 192.168.56.11/24 scope global secondary eth0\\       valid_lft forever";
        assert_eq!(address(line).as_deref(), Some("192.168.56.11/24"));
        assert_eq!(address("2: eth0    inet6 fe80::1/64"), None);
    }

    #[test]
    fn a_name_fits_a_container_and_an_address() {
        assert_eq!(encoded("{\"a\":1}"), "%7B%22a%22%3A1%7D");
    }
}
