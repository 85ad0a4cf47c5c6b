//! `modifyvm`: the settings of a machine. An option or a value that VirtualBox does not have is refused, so that a
//! mistake in a Vagrantfile is seen.

use crate::arguments::{Arguments, Next};
use crate::failure::Failure;
use crate::vm::{Forward, Nic, Vm};
use crate::{Context, appliances, container, random};

/// What may follow an option.
#[derive(Debug, Clone, Copy)]
enum Values {
    OnOff,
    Number,
    Any,
    One(&'static [&'static str]),
}

/// Options that are only remembered, in the spelling of VirtualBox 7 without hyphens; the older one has none either.
const REMEMBERED: &[(&str, Values)] = &[
    ("accelerate3d", Values::OnOff),
    ("acpi", Values::OnOff),
    ("apic", Values::OnOff),
    ("audio", Values::One(&["none", "default", "null", "oss", "alsa", "pulse", "coreaudio"])),
    ("audiodriver", Values::One(&["none", "default", "null", "oss", "alsa", "pulse", "coreaudio"])),
    ("audioenabled", Values::OnOff),
    ("audioin", Values::OnOff),
    ("audioout", Values::OnOff),
    ("clipboardmode", Values::One(&["disabled", "hosttoguest", "guesttohost", "bidirectional"])),
    ("cpuexecutioncap", Values::Number),
    ("cpus", Values::Number),
    ("description", Values::Any),
    ("draganddrop", Values::One(&["disabled", "hosttoguest", "guesttohost", "bidirectional"])),
    ("firmware", Values::One(&["bios", "efi", "efi32", "efi64"])),
    ("graphicscontroller", Values::One(&["none", "vboxvga", "vmsvga", "vboxsvga"])),
    ("hpet", Values::OnOff),
    ("hwvirtex", Values::OnOff),
    ("ioapic", Values::OnOff),
    ("largepages", Values::OnOff),
    ("memory", Values::Number),
    ("mouse", Values::One(&["ps2", "usb", "usbtablet", "usbmultitouch"])),
    ("nestedhwvirt", Values::OnOff),
    ("nestedpaging", Values::OnOff),
    ("ostype", Values::Any),
    ("pae", Values::OnOff),
    ("paravirtprovider", Values::One(&["none", "default", "legacy", "minimal", "hyperv", "kvm"])),
    ("rtcuseutc", Values::OnOff),
    ("usb", Values::OnOff),
    ("usbehci", Values::OnOff),
    ("usbohci", Values::OnOff),
    ("usbxhci", Values::OnOff),
    ("vram", Values::Number),
    ("vrde", Values::OnOff),
    ("vtxux", Values::OnOff),
    ("vtxvpid", Values::OnOff),
    ("x2apic", Values::OnOff),
];

/// Options that end in the number of a device and are only remembered.
const REMEMBERED_OF_A_DEVICE: &[(&str, Values)] = &[
    ("boot", Values::One(&["none", "floppy", "dvd", "disk", "net"])),
    ("natdnshostresolver", Values::OnOff),
    ("natdnspassdomain", Values::OnOff),
    ("natdnsproxy", Values::OnOff),
    ("natlocalhostreachable", Values::OnOff),
    ("natnet", Values::Any),
    ("nicpromisc", Values::One(&["deny", "allow-vms", "allow-all"])),
    ("nicspeed", Values::Number),
];

const NIC_KINDS: &[&str] =
    &["none", "null", "nat", "bridged", "intnet", "hostonly", "hostonlynet", "generic", "natnetwork"];
const NIC_MODELS: &[&str] =
    &["Am79C970A", "Am79C973", "Am79C960", "82540EM", "82543GC", "82545EM", "virtio", "usbnet"];

pub fn modifyvm(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let key = arguments.word("machine name")?;
    let (vm, _session) = context.enter(key)?.map_err(|vm| Failure::locked(&vm.name))?;
    if context.settled_phase(&vm)?.is_online() {
        return Err(Failure::locked(&vm.name));
    }
    context.store.change(|state| {
        // The new name has to be free, and nothing is changed if something is wrong.
        let mut changed = state.vm(key)?.clone();
        while let Some(next) = arguments.next() {
            match next {
                Next::Option(option) => set(&mut changed, option, arguments)?,
                Next::Word(word) => return Err(arguments.too_many(word)),
            }
        }
        if changed.name != vm.name {
            if state.has_name(&changed.name) {
                return Err(name_taken(context, &vm.name, &changed.name));
            }
            rename(context, &vm.name, &changed.name)?;
        }
        *state.vm_mut(&vm.uuid)? = changed;
        Ok(())
    })
}

fn set(vm: &mut Vm, written: &str, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let option = written.replace('-', "").to_lowercase();
    let named = |table: &[(&str, Values)], name: &str| {
        table.iter().find(|(known, _)| *known == name).map(|(_, values)| *values)
    };
    if option == "name" {
        arguments.value(written)?.clone_into(&mut vm.name);
    } else if option == "groups" {
        vm.groups = groups(arguments.value(written)?)?;
    } else if let Some(values) = named(REMEMBERED, &option) {
        let value = checked(arguments, written, values)?;
        vm.options.insert(option, value);
    } else {
        let (device, number) = numbered(&option).ok_or_else(|| arguments.unknown(written))?;
        if let Some(values) = named(REMEMBERED_OF_A_DEVICE, device) {
            let value = checked(arguments, written, values)?;
            vm.options.insert(option.clone(), value);
        } else {
            set_device(vm, &Device { written, name: device, number }, arguments)?;
        }
    }
    Ok(())
}

/// An option as it was written, and as it is known: `--natpf1` is `natpf` of the first.
struct Device<'a> {
    written: &'a str,
    name: &'a str,
    number: u8,
}

fn numbered(option: &str) -> Option<(&str, u8)> {
    let device = option.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = option[device.len()..].parse().ok().filter(|number| (1..=36).contains(number))?;
    Some((device, number))
}

fn set_device(vm: &mut Vm, device: &Device<'_>, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let Device { written, name, number } = *device;
    match name {
        "nic" => {
            let kind = checked(arguments, written, Values::One(NIC_KINDS))?;
            if kind == "none" {
                vm.nics.remove(&number);
            } else {
                vm.nics.entry(number).or_insert_with(|| Nic::new("nat")).kind = kind;
            }
        }
        "nictype" => nic(vm, number).model = checked(arguments, written, Values::One(NIC_MODELS))?,
        "macaddress" => nic(vm, number).mac = mac(arguments.value(written)?)?,
        "cableconnected" => {
            nic(vm, number).is_connected = checked(arguments, written, Values::OnOff)? == "on";
        }
        "hostonlyadapter" | "bridgeadapter" | "intnet" | "natnetwork" => {
            arguments.value(written)?.clone_into(&mut nic(vm, number).attached);
        }
        "natpf" => forward(vm, written, arguments)?,
        "uart" => {
            let mut port = arguments.value(written)?.to_owned();
            if port != "off" {
                port = format!("{port},{}", arguments.value(written)?);
            }
            vm.options.insert(format!("uart{number}"), port);
        }
        "uartmode" => {
            let mode = arguments.value(written)?;
            let value = if mode == "disconnected" {
                mode.to_owned()
            } else {
                format!("{mode},{}", arguments.value(written)?)
            };
            vm.options.insert(format!("uartmode{number}"), value);
        }
        _ => return Err(arguments.unknown(written)),
    }
    Ok(())
}

/// Returns an adapter, which has settings also while it is off.
fn nic(vm: &mut Vm, number: u8) -> &mut Nic {
    vm.nics.entry(number).or_insert_with(|| Nic::new("null"))
}

fn checked(arguments: &mut Arguments<'_>, option: &str, values: Values) -> Result<String, Failure> {
    let value = arguments.value(option)?;
    let fits = match values {
        Values::Any => true,
        Values::OnOff => matches!(value, "on" | "off"),
        Values::Number => value.parse::<u32>().is_ok(),
        Values::One(known) => known.contains(&value),
    };
    if fits {
        return Ok(value.to_owned());
    }
    Err(arguments.fails(format!("Invalid --{option} argument '{value}'")))
}

fn groups(value: &str) -> Result<String, Failure> {
    let is_group = |group: &str| group.starts_with('/') && (group == "/" || !group.ends_with('/'));
    if value.split(',').all(is_group) {
        return Ok(value.to_owned());
    }
    Err(Failure::invalid(format!("Invalid group name: '{value}'")))
}

fn mac(value: &str) -> Result<String, Failure> {
    if value == "auto" {
        return Ok(random::mac());
    }
    let is_single = |first: u32| first.is_multiple_of(2);
    let first = value.get(..2).and_then(|first| u32::from_str_radix(first, 16).ok());
    let fits =
        value.len() == 12 && value.chars().all(|c| c.is_ascii_hexdigit()) && first.is_some_and(is_single);
    if fits {
        return Ok(value.to_uppercase());
    }
    Err(Failure::invalid("Invalid MAC address format"))
}

fn forward(vm: &mut Vm, option: &str, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let who = ("NATEngineWrap", "INATEngine, callee nsISupports");
    let refuse = |message| Failure::detailed(message, "NS_ERROR_INVALID_ARG (0x80070057)", who);
    let rule = arguments.value(option)?;
    if rule == "delete" {
        let name = arguments.value(option)?;
        return vm.forwards.remove(name).map(drop).ok_or_else(|| refuse("No such NAT rule"));
    }
    let (name, forward) = Forward::parse(rule)
        .ok_or_else(|| arguments.fails(format!("Invalid --{option} argument '{rule}'")))?;
    if vm.forwards.contains_key(&name) {
        return Err(refuse("A NAT rule of this name already exists"));
    }
    vm.forwards.insert(name, forward);
    Ok(())
}

fn name_taken(context: &Context, from: &str, to: &str) -> Failure {
    let (from, to) = (context.store.machine_folder(from), context.store.machine_folder(to));
    let message = format!(
        "Could not rename the directory '{from}' to '{to}' to save the settings file (VERR_ALREADY_EXISTS)"
    );
    Failure::detailed(
        message,
        "VBOX_E_FILE_ERROR (0x80bb0004)",
        ("SessionMachine", "IMachine, callee nsISupports"),
    )
}

fn rename(context: &Context, from: &str, to: &str) -> anyhow::Result<()> {
    _ = std::fs::remove_dir_all(context.store.machine_folder(from));
    appliances::write_settings_file(context, to)?;
    let (from, to) = (container::name(&context.settings, from), container::name(&context.settings, to));
    if context.engine.container(&from)?.is_some() {
        context.engine.must("POST", &format!("/containers/{from}/rename?name={to}"), None)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modified(words: &[&str]) -> Result<Vm, Failure> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut arguments = Arguments::new("modifyvm", &words);
        let mut vm = Vm::new("a");
        while let Some(Next::Option(option)) = arguments.next() {
            set(&mut vm, option, &mut arguments)?;
        }
        Ok(vm)
    }

    #[test]
    fn adapters_are_set_up_as_vagrant_does() {
        let words = [
            "--nic1",
            "nat",
            "--nic2",
            "hostonly",
            "--hostonlyadapter2",
            "vboxnet0",
            "--cableconnected2",
            "on",
            "--macaddress2",
            "0800270a0b0c",
            "--nictype2",
            "virtio",
        ];
        let vm = modified(&words).unwrap();
        let nic = vm.host_only().unwrap();
        assert_eq!(
            (nic.attached.as_str(), nic.mac.as_str(), nic.model.as_str()),
            ("vboxnet0", "0800270A0B0C", "virtio")
        );
        let vm =
            modified(&["--nic2", "hostonly", "--hostonlyadapter2", "vboxnet0", "--nic2", "none"]).unwrap();
        assert!(vm.host_only().is_none());
    }

    #[test]
    fn mistakes_are_refused() {
        #[track_caller]
        fn check(words: &[&str], code: Option<u8>) {
            assert_eq!(modified(words).err().map(|failure| failure.code), code, "{words:?}");
        }
        check(&["--paravirtprovider", "kvm"], None);
        check(&["--paravirt-provider=kvm"], None);
        check(&["--paravirtprovider", "xen"], Some(2));
        check(&["--memry", "512"], Some(2));
        check(&["--memory", "much"], Some(2));
        check(&["--memory"], Some(2));
        check(&["--natdnsproxy1", "off", "--uart1", "0x3F8", "4", "--uartmode1", "file", "/x"], None);
        check(&["--uart1", "off", "--uartmode1", "disconnected"], None);
        check(&["--nic0", "nat"], Some(2));
        check(&["--groups", "/lab-demo"], None);
        check(&["--groups", "lab-demo"], Some(1));
        check(&["--macaddress2", "08:00:27:0a:0b:0c"], Some(1));
        check(&["--macaddress2", "0900270a0b0c"], Some(1));
        check(&["--natpf1", "ssh,tcp,,2222,,22", "--natpf1", "ssh,tcp,,2223,,22"], Some(1));
        check(&["--natpf1", "ssh,tcp,,2222,,22", "--natpf1", "delete", "ssh"], None);
        check(&["--natpf1", "delete", "ssh"], Some(1));
    }
}
