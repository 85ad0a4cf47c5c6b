//! `list`: what there is.

use crate::arguments::{Arguments, Next};
use crate::failure::Failure;
use crate::store::State;
use crate::vm::Phase;
use crate::{Context, networks};

pub fn list(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let mut what = None;
    while let Some(next) = arguments.next() {
        match next {
            Next::Option("long" | "l" | "sorted" | "s") => {}
            Next::Option(other) => return Err(arguments.unknown(other)),
            Next::Word(word) if what.is_none() => what = Some(word),
            Next::Word(word) => return Err(arguments.too_many(word)),
        }
    }
    let state = context.store.read()?;
    match what.unwrap_or_default() {
        "vms" => vms(context, &state, |_| true),
        "runningvms" => vms(context, &state, Phase::is_online),
        "hostonlyifs" => networks::list(context, &state),
        "dhcpservers" => {
            dhcp_servers(context, &state);
            Ok(())
        }
        "groups" => {
            groups(context, &state);
            Ok(())
        }
        "systemproperties" => {
            let folder = context.store.dir().join("machines");
            context.say(&format!(
                "API version:                     7_0\nDefault machine folder:          {folder}"
            ));
            Ok(())
        }
        // There are none of these.
        "hostonlynets" | "bridgedifs" | "hdds" | "dvds" | "intnets" | "natnets" => Ok(()),
        other => Err(arguments.too_many(other)),
    }
}

fn vms(context: &Context, state: &State, wanted: impl Fn(Phase) -> bool) -> Result<(), Failure> {
    for vm in &state.vms {
        if wanted(context.phase(vm)?) {
            context.say(&format!("\"{}\" {{{}}}", vm.name, vm.uuid));
        }
    }
    Ok(())
}

fn groups(context: &Context, state: &State) {
    let mut all: Vec<&str> = state.vms.iter().flat_map(|vm| vm.groups.split(',')).chain(["/"]).collect();
    all.sort_unstable();
    all.dedup();
    for group in all {
        context.say(&format!("\"{group}\""));
    }
}

fn dhcp_servers(context: &Context, state: &State) {
    for (network, settings) in &state.dhcp_servers {
        let of = |key: &str| settings.get(key).map_or("", String::as_str);
        context.say(&format!(
            "NetworkName:    {network}\nDhcpd IP:       {}\nLowerIPAddress: {}\nUpperIPAddress: {}\n\
             NetworkMask:    {}\nEnabled:        Yes\n",
            of("ip"),
            of("lowerip"),
            of("upperip"),
            of("netmask")
        ));
    }
}
