//! What is attached to a machine and means nothing to a container: remembered, and said again.

use std::collections::BTreeMap;

use crate::Context;
use crate::arguments::{Arguments, Next};
use crate::failure::Failure;

/// VirtualBox 7 keeps no longer value of a guest property, the zero byte at its end included.
const LONGEST_PROPERTY: usize = 1024;

pub fn guestproperty(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let verb = arguments.word("subcommand")?;
    let vm = context.vm(arguments.word("machine name")?)?;
    match verb {
        "get" => {
            let value = vm.properties.get(arguments.word("property")?);
            context.say(&value.map_or_else(|| "No value set!".to_owned(), |value| format!("Value: {value}")));
            Ok(())
        }
        "set" => {
            let name = arguments.word("property")?.to_owned();
            let value = arguments.peek().unwrap_or_default().to_owned();
            if value.len() >= LONGEST_PROPERTY {
                let message = format!("Failed to set the guest property '{name}' (VERR_TOO_MUCH_DATA)");
                return Err(Failure::invalid(message));
            }
            context.change_vm(&vm.uuid, |vm| {
                vm.properties.insert(name, value);
                Ok(())
            })
        }
        "delete" | "unset" => {
            let name = arguments.word("property")?;
            context.change_vm(&vm.uuid, |vm| {
                vm.properties.remove(name);
                Ok(())
            })
        }
        "enumerate" => {
            for (name, value) in &vm.properties {
                context.say(&format!("{name} = '{value}'"));
            }
            Ok(())
        }
        other => Err(arguments.too_many(other)),
    }
}

pub fn setextradata(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let key = arguments.word("machine name")?;
    let name = arguments.word("key")?.to_owned();
    let value = arguments.peek().map(str::to_owned);
    if key == "global" {
        return Ok(());
    }
    context.change_vm(key, |vm| {
        match value {
            Some(value) => vm.extra.insert(name, value),
            None => vm.extra.remove(&name),
        };
        Ok(())
    })
}

pub fn getextradata(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let vm = context.vm(arguments.word("machine name")?)?;
    let value = vm.extra.get(arguments.word("key")?);
    context.say(&value.map_or_else(|| "No value set!".to_owned(), |value| format!("Value: {value}")));
    Ok(())
}

pub fn sharedfolder(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let verb = arguments.word("subcommand")?;
    let key = arguments.word("machine name")?;
    let (mut name, mut path) = (None, None);
    while let Some(next) = arguments.next() {
        match next {
            Next::Option("transient" | "automount" | "readonly") => {}
            Next::Option(option @ "name") => name = Some(arguments.value(option)?.to_owned()),
            Next::Option(option @ "hostpath") => path = Some(arguments.value(option)?.to_owned()),
            Next::Option(other) => return Err(arguments.unknown(other)),
            Next::Word(word) => return Err(arguments.too_many(word)),
        }
    }
    let name = name.ok_or_else(|| arguments.fails("Parameter --name is required".to_owned()))?;
    context.change_vm(key, |vm| match (verb, path) {
        ("add", Some(path)) => {
            vm.folders.insert(name, path);
            Ok(())
        }
        ("remove", None) => {
            let removed = vm.folders.remove(&name);
            let missing = || {
                let message = format!("Could not find a shared folder named '{name}'");
                Failure::detailed(message, "VBOX_E_FILE_ERROR (0x80bb0004)", ("SessionMachine", "IMachine"))
            };
            removed.map(drop).ok_or_else(missing)
        }
        (other, _) => Err(arguments.too_many(other)),
    })
}

pub fn dhcpserver(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let verb = arguments.word("subcommand")?;
    let mut settings = BTreeMap::new();
    while let Some(next) = arguments.next() {
        match next {
            Next::Option("enable" | "disable") => {}
            Next::Option(option) => {
                settings.insert(option.to_owned(), arguments.value(option)?.to_owned());
            }
            Next::Word(word) => return Err(arguments.too_many(word)),
        }
    }
    let interface = settings.remove("ifname").map(|name| format!("HostInterfaceNetworking-{name}"));
    let network = interface.or_else(|| settings.remove("netname"));
    let network = network.ok_or_else(|| arguments.fails("You need to specify --netname".to_owned()))?;
    context.store.change(|state| match verb {
        "add" if state.dhcp_servers.contains_key(&network) => {
            Err(Failure::plain("DHCP server already exists"))
        }
        "add" | "modify" => {
            state.dhcp_servers.insert(network, settings);
            Ok(())
        }
        "remove" => {
            let removed = state.dhcp_servers.remove(&network);
            removed.map(drop).ok_or_else(|| Failure::plain("DHCP server does not exist"))
        }
        other => Err(arguments.too_many(other)),
    })
}
