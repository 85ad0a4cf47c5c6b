//! `showvminfo`: a machine, described for programs or in a few words.

use std::fmt::Write;

use crate::Context;
use crate::arguments::{Arguments, Next};
use crate::failure::Failure;
use crate::vm::{Phase, Vm};

/// So many adapters are described, also those that are not there.
const SLOTS: u8 = 8;

pub fn showvminfo(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let key = arguments.word("machine name")?;
    let mut is_for_machines = false;
    while let Some(next) = arguments.next() {
        match next {
            Next::Option("machinereadable") => is_for_machines = true,
            Next::Option("details") => {}
            Next::Option(other) => return Err(arguments.unknown(other)),
            Next::Word(word) => return Err(arguments.too_many(word)),
        }
    }
    let vm = context.vm(key)?;
    let phase = context.phase(&vm)?;
    let folder = context.store.machine_folder(&vm.name);
    let text = if is_for_machines {
        describe(&vm, phase, folder.as_str())
    } else {
        format!(
            "Name:                        {}\nGroups:                      {}\nUUID:                        {}\n\
             State:                       {}",
            vm.name,
            vm.groups,
            vm.uuid,
            words(phase)
        )
    };
    context.say(text.trim_end());
    Ok(())
}

fn words(phase: Phase) -> &'static str {
    match phase {
        Phase::PowerOff => "powered off",
        other => other.name(),
    }
}

fn describe(vm: &Vm, phase: Phase, folder: &str) -> String {
    let mut text = String::new();
    let mut say = |key: &str, value: &str| _ = writeln!(text, "{key}=\"{value}\"");
    say("name", &vm.name);
    say("groups", &vm.groups);
    say("ostype", "Debian (64-bit)");
    say("UUID", &vm.uuid);
    say("CfgFile", &format!("{folder}/{}.vbox", vm.name));
    say("SnapFldr", &format!("{folder}/Snapshots"));
    say("LogFldr", &format!("{folder}/Logs"));
    say("hardwareuuid", &vm.uuid);
    for (option, value) in &vm.options {
        say(option, value);
    }
    say("VMState", phase.name());
    say("storagecontrollername0", "SATA Controller");
    say("storagecontrollertype0", "IntelAhci");
    say("storagecontrollermaxportcount0", "30");
    say("SATA Controller-0-0", &format!("{folder}/box.vmdk"));
    say("SATA Controller-ImageUUID-0-0", &vm.uuid);
    for slot in 1..=SLOTS {
        adapter(vm, slot, &mut say);
    }
    for (number, (name, path)) in vm.folders.iter().enumerate() {
        say(&format!("SharedFolderNameMachineMapping{}", number + 1), name);
        say(&format!("SharedFolderPathMachineMapping{}", number + 1), path);
    }
    for (number, snapshot) in vm.snapshots.iter().enumerate() {
        // VirtualBox nests them, and says so in the name of the key.
        let path = "-1".repeat(number);
        say(&format!("SnapshotName{path}"), &snapshot.name);
        say(&format!("SnapshotUUID{path}"), &snapshot.uuid);
    }
    if let Some(last) = vm.snapshots.last() {
        say("CurrentSnapshotName", &last.name);
        say("CurrentSnapshotUUID", &last.uuid);
    }
    text
}

fn adapter(vm: &Vm, slot: u8, say: &mut impl FnMut(&str, &str)) {
    let Some(nic) = vm.nics.get(&slot) else {
        say(&format!("nic{slot}"), "none");
        return;
    };
    match nic.kind.as_str() {
        "nat" => say(&format!("natnet{slot}"), "nat"),
        "hostonly" => say(&format!("hostonlyadapter{slot}"), &nic.attached),
        "bridged" => say(&format!("bridgeadapter{slot}"), &nic.attached),
        "intnet" => say(&format!("intnet{slot}"), &nic.attached),
        _ => {}
    }
    say(&format!("macaddress{slot}"), &nic.mac);
    say(&format!("cableconnected{slot}"), if nic.is_connected { "on" } else { "off" });
    say(&format!("nic{slot}"), &nic.kind);
    say(&format!("nictype{slot}"), &nic.model);
    say(&format!("nicspeed{slot}"), "0");
    if slot == 1 {
        for (number, (name, forward)) in vm.forwards.iter().enumerate() {
            say(&format!("Forwarding({number})"), &forward.rule(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::{Forward, Nic};

    #[test]
    fn a_port_forward_follows_its_adapter() {
        let mut vm = Vm::new("lab-x-core-01");
        let (name, forward) = Forward::parse("ssh,tcp,127.0.0.1,2222,,22").unwrap();
        vm.forwards.insert(name, forward);
        vm.nics.insert(2, Nic { attached: "vboxnet0".into(), ..Nic::new("hostonly") });
        let text = describe(&vm, Phase::Running, "/m/x");
        let at = |line: &str| text.lines().position(|found| found == line);
        assert!(at("VMState=\"running\"").is_some(), "{text}");
        assert!(at("nic1=\"nat\"") < at("Forwarding(0)=\"ssh,tcp,127.0.0.1,2222,,22\""), "{text}");
        assert!(at("hostonlyadapter2=\"vboxnet0\"").is_some(), "{text}");
        assert!(at("nic3=\"none\"").is_some(), "{text}");
    }
}
