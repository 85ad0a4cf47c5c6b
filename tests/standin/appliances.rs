//! How machines come and go: `import`, `clonevm` and `unregistervm`. A machine is there only when the command has
//! ended, so that one that is killed in the middle leaves nothing.

use std::fs::File;
use std::io::{self, Write};

use camino::Utf8Path;

use crate::arguments::{Arguments, Next};
use crate::failure::Failure;
use crate::store::State;
use crate::vm::{Nic, Vm};
use crate::{Context, container, random};

pub fn import(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let (mut path, mut name, mut disk, mut is_dry) = (None, None, None, false);
    while let Some(next) = arguments.next() {
        match next {
            Next::Option("n" | "dry-run") => is_dry = true,
            Next::Option(option @ "vmname") => name = Some(arguments.value(option)?.to_owned()),
            Next::Option(option @ "disk") => disk = Some(arguments.value(option)?.to_owned()),
            Next::Option(option @ ("vsys" | "unit" | "options")) => arguments.skip(option)?,
            Next::Option(other) => return Err(arguments.unknown(other)),
            Next::Word(word) if path.is_none() => path = Some(word),
            Next::Word(word) => return Err(arguments.too_many(word)),
        }
    }
    let path =
        path.ok_or_else(|| arguments.fails("Not enough arguments for \"import\" command.".to_owned()))?;
    let suggested = interpret(context, Utf8Path::new(path))?;
    if is_dry {
        return Ok(());
    }
    let name = name.unwrap_or(suggested);
    context.progress("import");
    if context.store.fault("import", &[&name])?.is_some() {
        let disk = disk.unwrap_or_else(|| context.store.machine_folder(&name).join("box.vmdk").into_string());
        return Err(Failure::import_on_full_disk(&disk));
    }
    register(context, Vm::new(&name))?;
    context.say("Successfully imported the appliance.");
    Ok(())
}

/// Reads what the appliance is, says it as VirtualBox does, and returns the name that it suggests.
fn interpret(context: &Context, path: &Utf8Path) -> Result<String, Failure> {
    let text = std::fs::read(path).map_err(|_| {
        let message =
            format!("Appliance read failed\nCould not open the OVF file '{path}' (VERR_FILE_NOT_FOUND)");
        Failure::detailed(message, "VBOX_E_FILE_ERROR (0x80bb0004)", ("ApplianceWrap", "IAppliance"))
    })?;
    let name = suggested_name(&String::from_utf8_lossy(&text));
    let folder = context.store.machine_folder(&name);
    _ = write!(
        io::stderr(),
        "0%...10%...20%...30%...40%...50%...60%...70%...80%...90%...100%\nInterpreting {path}...\nOK.\n"
    );
    context.say(&format!(
        "Disks:\n  vmdisk1\t-1\t-1\thttp://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized\t\
         box.vmdk\t-1\t-1\t\n\nVirtual system 0:\n 0: Suggested OS type: \"Debian_64\"\n    (change with \
         \"--vsys 0 --ostype <type>\"; use \"list ostypes\" to list all possible values)\n \
         1: Suggested VM name \"{name}\"\n    (change with \"--vsys 0 --vmname <name>\")\n \
         2: Suggested VM group \"/\"\n 3: Suggested VM settings file name \"{folder}/{name}.vbox\"\n \
         4: Suggested VM base folder \"{}\"\n 5: Number of CPUs: 1\n 6: Guest memory: 512 MB\n \
         7: Network adapter: orig NAT, config 3, extra slot=0;type=NAT\n \
         8: Hard disk image: source image=box.vmdk, target path=box.vmdk, controller=6;port=0\n    \
         (change target path with \"--vsys 0 --unit 8 --disk path\")",
        context.store.dir().join("machines")
    ));
    Ok(name)
}

fn suggested_name(ovf: &str) -> String {
    let system = ovf.split_once("<VirtualSystem ").map_or("", |(_, after)| after);
    let name = system.split_once("ovf:id=\"").and_then(|(_, after)| after.split_once('"'));
    name.map_or("vm", |(name, _)| name).to_owned()
}

fn register(context: &Context, vm: Vm) -> Result<(), Failure> {
    write_settings_file(context, &vm.name)?;
    context.store.change(|state| {
        if state.has_name(&vm.name) {
            let file = settings_file(context, &vm.name);
            let message = format!("Machine settings file '{file}' already exists");
            return Err(Failure::detailed(
                message,
                "VBOX_E_FILE_ERROR (0x80bb0004)",
                ("MachineWrap", "IMachine"),
            ));
        }
        state.vms.push(vm);
        Ok(())
    })
}

fn settings_file(context: &Context, name: &str) -> String {
    context.store.machine_folder(name).join(format!("{name}.vbox")).into_string()
}

/// Vagrant clears away folders of machines that have no such file.
pub fn write_settings_file(context: &Context, name: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(context.store.machine_folder(name))?;
    Ok(File::create(settings_file(context, name))?.write_all(b"<VirtualBox/>\n")?)
}

pub fn clonevm(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let source = arguments.word("machine name")?;
    let (mut name, mut snapshot, mut is_linked) = (None, None, false);
    while let Some(next) = arguments.next() {
        match next {
            Next::Option("register") => {}
            Next::Option(option @ "name") => name = Some(arguments.value(option)?.to_owned()),
            Next::Option(option @ "snapshot") => snapshot = Some(arguments.value(option)?),
            Next::Option(option @ "options") => is_linked = arguments.value(option)? == "link",
            Next::Option(option @ ("mode" | "groups" | "basefolder" | "uuid")) => arguments.skip(option)?,
            Next::Option(other) => return Err(arguments.unknown(other)),
            Next::Word(word) => return Err(arguments.too_many(word)),
        }
    }
    let source = context.vm(source)?;
    let name = name.unwrap_or_else(|| format!("{} Clone", source.name));
    let clone = linked(&source, &name, snapshot, is_linked)?;
    context.progress("clonevm");
    if context.store.fault("clonevm", &[&name, &source.name])?.is_some() {
        let folder = context.store.machine_folder(&name);
        let disk = folder.join("Snapshots").join(format!("{{{}}}.vdi", random::uuid()));
        return Err(Failure::clone_on_full_disk(disk.as_str()));
    }
    register(context, clone)?;
    context.say(&format!("Machine has been successfully cloned as \"{name}\""));
    Ok(())
}

fn linked(source: &Vm, name: &str, snapshot: Option<&str>, is_linked: bool) -> Result<Vm, Failure> {
    let point = snapshot.map(|wanted| {
        let found = source.snapshots.iter().find(|known| known.name == wanted || known.uuid == wanted);
        found.ok_or_else(|| {
            let message = format!("Could not find a snapshot named '{wanted}'");
            Failure::detailed(message, "VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)", ("SessionMachine", "IMachine"))
        })
    });
    let image = point.transpose()?.map_or(&source.image, |point| &point.image).clone();
    let mut clone = Vm { parent: is_linked.then(|| source.uuid.clone()), image, ..Vm::new(name) };
    clone.options.clone_from(&source.options);
    for (slot, nic) in &source.nics {
        clone.nics.insert(*slot, Nic { mac: random::mac(), ..nic.clone() });
    }
    Ok(clone)
}

pub fn unregistervm(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let key = arguments.word("machine name")?;
    while let Some(next) = arguments.next() {
        match next {
            Next::Option("delete" | "delete-all") => {}
            Next::Option(other) => return Err(arguments.unknown(other)),
            Next::Word(word) => return Err(arguments.too_many(word)),
        }
    }
    let locked = |vm: &Vm| {
        Failure::wrong_state(format!("Cannot unregister the machine '{}' while it is locked", vm.name))
    };
    let (vm, _session) = context.enter(key)?.map_err(|vm| locked(&vm))?;
    if context.settled_phase(&vm)?.is_online() {
        return Err(locked(&vm));
    }
    refuse_with_children(context, &context.store.read()?, &vm)?;
    context.progress("unregistervm");
    container::remove(&context.engine, &context.settings, &vm)?;
    context.store.change(|state| {
        state.vms.retain(|other| other.uuid != vm.uuid);
        Ok(())
    })?;
    let folder = context.store.machine_folder(&vm.name);
    _ = std::fs::remove_dir_all(folder);
    _ = std::fs::remove_file(context.store.dir().join("sessions").join(&vm.uuid));
    Ok(())
}

/// A disk that others are linked to cannot be deleted.
fn refuse_with_children(context: &Context, state: &State, vm: &Vm) -> Result<(), Failure> {
    let children = state.vms.iter().filter(|other| other.parent.as_deref() == Some(&vm.uuid)).count();
    if children == 0 {
        return Ok(());
    }
    let disk = context.store.machine_folder(&vm.name).join("box.vmdk");
    let message = format!("Cannot close medium '{disk}' because it has {children} child media");
    Err(Failure::detailed(message, "VBOX_E_OBJECT_IN_USE (0x80bb000c)", ("MediumWrap", "IMedium")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appliance_suggests_a_name() {
        assert_eq!(suggested_name("<Envelope><VirtualSystem ovf:id=\"bookworm\"/></Envelope>"), "bookworm");
        assert_eq!(suggested_name("<Envelope/>"), "vm");
    }

    #[test]
    fn a_clone_has_addresses_of_its_own_and_no_forwards() {
        let mut master = Vm::new("master");
        master.snapshots.push(crate::vm::Snapshot { name: "base".into(), uuid: "u".into(), image: None });
        let clone = linked(&master, "clone", Some("base"), true).unwrap();
        assert_eq!(clone.parent.as_ref(), Some(&master.uuid));
        assert_ne!(clone.nics[&1].mac, master.nics[&1].mac);
        assert!(linked(&master, "clone", Some("other"), true).is_err());
    }
}
