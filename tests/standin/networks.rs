//! Host-only interfaces. Each is a network of the Docker engine, made when the first machine needs it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::bail;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::arguments::{Arguments, Next};
use crate::container::OWNER;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::store::State;
use crate::{Context, random};

/// VirtualBox on Linux has no more.
const INTERFACES: u32 = 128;
/// How often another subnet is tried for an interface that cannot have its own.
const TRIES: usize = 20;
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    pub address: Ipv4Addr,
    pub mask: Ipv4Addr,
}

pub fn name(number: u32) -> String {
    format!("vboxnet{number}")
}

pub fn number(name: &str) -> Option<u32> {
    name.strip_prefix("vboxnet")?.parse().ok()
}

pub fn hostonlyif(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    match arguments.word("subcommand")? {
        "create" => create(context, arguments),
        "ipconfig" => configure(context, arguments),
        "remove" => remove(context, arguments),
        other => Err(arguments.too_many(other)),
    }
}

fn create(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    arguments.done()?;
    // The number is taken only now: several at once get one each, as with VirtualBox.
    context.progress("hostonlyif");
    let number = context.store.change(|state| {
        let number = (0..INTERFACES).find(|number| !state.interfaces.contains_key(number));
        let number = number.ok_or_else(|| Failure::plain("Failed to create the host-only adapter"))?;
        let address = Ipv4Addr::new(192, 168, 56 + u8::try_from(number).unwrap_or_default(), 1);
        let mask = Ipv4Addr::new(255, 255, 255, 0);
        state.interfaces.insert(number, Interface { address, mask });
        Ok(number)
    })?;
    context.say(&format!("Interface '{}' was successfully created", name(number)));
    Ok(())
}

fn configure(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let interface = arguments.word("interface")?;
    let (mut address, mut mask) = (None, Ipv4Addr::new(255, 255, 255, 0));
    while let Some(next) = arguments.next() {
        match next {
            Next::Option("dhcp" | "6") => {}
            Next::Option(name @ "ip") => address = Some(ip(arguments, name)?),
            Next::Option(name @ "netmask") => mask = ip(arguments, name)?,
            Next::Option(name @ ("ipv6" | "netmasklengthv6")) => arguments.skip(name)?,
            Next::Option(name) => return Err(arguments.unknown(name)),
            Next::Word(word) => return Err(arguments.too_many(word)),
        }
    }
    if context.store.fault("hostonlyif", &[interface])?.is_some() {
        return Err(Failure::range());
    }
    let Some(address) = address else { return Ok(()) };
    context.store.change(|state| {
        let known = number(interface).and_then(|number| state.interfaces.get_mut(&number));
        *known.ok_or_else(|| unknown(interface))? = Interface { address, mask };
        Ok(())
    })
}

fn ip(arguments: &mut Arguments<'_>, option: &str) -> Result<Ipv4Addr, Failure> {
    let text = arguments.value(option)?;
    text.parse().map_err(|_| arguments.fails(format!("Invalid IP address '{text}'")))
}

fn remove(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let interface = arguments.word("interface")?;
    arguments.done()?;
    let _lock = context.store.lock("networks")?;
    context.engine.may("DELETE", &format!("/networks/{}", network(&context.settings, interface)))?;
    context.store.change(|state| {
        let removed = number(interface).and_then(|number| state.interfaces.remove(&number));
        removed.map(drop).ok_or_else(|| unknown(interface))
    })
}

fn unknown(interface: &str) -> Failure {
    let message = format!("The host network interface named '{interface}' could not be found");
    Failure::detailed(message, "NS_ERROR_INVALID_ARG (0x80070057)", ("HostWrap", "IHost"))
}

fn network(settings: &Settings, interface: &str) -> String {
    format!("{}{interface}", settings.prefix)
}

/// Says which network a machine is to be on, and makes it if it is missing.
pub fn ensure(context: &Context, interface: &str) -> Result<String, Failure> {
    let _lock = context.store.lock("networks")?;
    let state = context.store.read()?;
    let found = number(interface).filter(|number| state.interfaces.contains_key(number));
    let Some(number) = found else {
        let message =
            format!("Nonexistent host networking interface, name '{interface}' (VERR_INTERNAL_ERROR)");
        return Err(Failure::detailed(message, "NS_ERROR_FAILURE (0x80004005)", ("ConsoleWrap", "IConsole")));
    };
    let network = network(&context.settings, interface);
    let wanted = subnet(&state.interfaces, number);
    let known = context.engine.may("GET", &format!("/networks/{network}"))?;
    if let Some(known) = known {
        let has = known["IPAM"]["Config"][0]["Subnet"].as_str().unwrap_or_default();
        if wanted.as_deref().is_none_or(|wanted| wanted == has) {
            return Ok(network);
        }
        // The interface was given another address since.
        context.engine.must("DELETE", &format!("/networks/{network}"), None)?;
    }
    make(&context.engine, &context.settings, &network, wanted)?;
    Ok(network)
}

/// Returns the subnet of an interface, or nothing if an earlier one has the same: it is then cut off from
/// those who are on the earlier one.
fn subnet(interfaces: &BTreeMap<u32, Interface>, number: u32) -> Option<String> {
    let of = |interface: &Interface| interface.address.to_bits() & 0xffff_ff00;
    let own = of(interfaces.get(&number)?);
    let is_taken = interfaces.range(..number).any(|(_, other)| of(other) == own);
    (!is_taken).then(|| format!("{}/24", Ipv4Addr::from_bits(own)))
}

fn make(engine: &Engine, settings: &Settings, network: &str, wanted: Option<String>) -> anyhow::Result<()> {
    let is_free_choice = wanted.is_none();
    let any = || format!("172.{}.{}.0/24", 20 + random::byte() % 11, random::byte());
    let mut subnet = wanted.unwrap_or_else(any);
    for _ in 0..TRIES {
        let base = subnet.trim_end_matches("0/24").to_owned();
        let spec = json!({
            "Name": network,
            "CheckDuplicate": true,
            "Labels": { OWNER: settings.prefix },
            "IPAM": { "Config": [{
                "Subnet": subnet,
                "Gateway": format!("{base}1"),
                // What the engine gives away by itself stays clear of what machines give themselves.
                "IPRange": format!("{base}192/26"),
            }] },
        });
        match engine.must("POST", "/networks/create", Some(&spec)) {
            Ok(_) => return Ok(()),
            Err(_) if is_free_choice => subnet = any(),
            Err(error) => return Err(error),
        }
    }
    bail!("no subnet is free for `{network}`")
}

/// Describes interfaces as `list hostonlyifs` does.
pub fn list(context: &Context, state: &State) -> Result<(), Failure> {
    for (number, Interface { address, mask }) in &state.interfaces {
        let name = name(*number);
        let network = network(&context.settings, &name);
        let is_up = context.engine.may("GET", &format!("/networks/{network}"))?.is_some();
        let status = if is_up && *address != NOBODY { "Up" } else { "Down" };
        context.say(&format!(
            "Name:            {name}\nGUID:            786f6276-656e-{number:04x}-8000-0a002700{number:04x}\n\
             DHCP:            Disabled\nIPAddress:       {address}\nNetworkMask:     {mask}\n\
             IPV6Address:     \nIPV6NetworkMaskPrefixLength: 0\nHardwareAddress: 0a:00:27:00:00:{number:02x}\n\
             MediumType:      Ethernet\nWireless:        No\nStatus:          {status}\n\
             VBoxNetworkName: HostInterfaceNetworking-{name}\n"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_interface_of_an_address_has_its_subnet() {
        let interface = |address: &str| Interface {
            address: address.parse().unwrap(),
            mask: Ipv4Addr::new(255, 255, 255, 0),
        };
        let interfaces = BTreeMap::from([
            (0, interface("192.168.56.1")),
            (1, interface("192.168.56.1")),
            (3, interface("192.168.60.1")),
        ]);
        assert_eq!(subnet(&interfaces, 0).as_deref(), Some("192.168.56.0/24"));
        assert_eq!(subnet(&interfaces, 1), None);
        assert_eq!(subnet(&interfaces, 2), None);
        assert_eq!(subnet(&interfaces, 3).as_deref(), Some("192.168.60.0/24"));
    }

    #[test]
    fn an_interface_has_a_number() {
        assert_eq!(number("vboxnet12"), Some(12));
        assert_eq!(number("eth0"), None);
    }
}
