//! `snapshot`: a machine's disk at some time. That of a machine which was never started is the box's.

use serde_json::json;

use crate::arguments::{Arguments, Next};
use crate::container::OWNER;
use crate::failure::Failure;
use crate::vm::{Phase, Snapshot, Vm};
use crate::{Context, container, random};

pub fn snapshot(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let vm = context.vm(arguments.word("machine name")?)?;
    match arguments.word("subcommand")? {
        "list" => list(context, arguments, &vm),
        "take" => take(context, arguments, &vm),
        "delete" => delete(context, arguments, &vm),
        "restore" => restore(context, arguments, &vm),
        other => Err(arguments.too_many(other)),
    }
}

fn list(context: &Context, arguments: &mut Arguments<'_>, vm: &Vm) -> Result<(), Failure> {
    while let Some(next) = arguments.next() {
        match next {
            Next::Option("machinereadable" | "details") => {}
            Next::Option(other) => return Err(arguments.unknown(other)),
            Next::Word(word) => return Err(arguments.too_many(word)),
        }
    }
    if vm.snapshots.is_empty() {
        context.say("This machine does not have any snapshots");
        return Err(Failure::plain("This machine does not have any snapshots"));
    }
    for (number, snapshot) in vm.snapshots.iter().enumerate() {
        let path = "-1".repeat(number);
        context.say(&format!(
            "SnapshotName{path}=\"{}\"\nSnapshotUUID{path}=\"{}\"",
            snapshot.name, snapshot.uuid
        ));
    }
    Ok(())
}

fn take(context: &Context, arguments: &mut Arguments<'_>, vm: &Vm) -> Result<(), Failure> {
    let name = arguments.word("snapshot name")?.to_owned();
    while let Some(next) = arguments.next() {
        match next {
            Next::Option("live" | "pause") => {}
            Next::Option(option @ "description") => arguments.skip(option)?,
            Next::Option(other) => return Err(arguments.unknown(other)),
            Next::Word(word) => return Err(arguments.too_many(word)),
        }
    }
    context.progress("snapshot");
    let image = match context.engine.container(&container::name(&context.settings, &vm.name))? {
        Some(seen) => {
            let labels = json!({ OWNER: context.settings.prefix, container::MACHINE: vm.uuid });
            Some(context.engine.commit(&seen.id, &labels)?)
        }
        None => vm.image.clone(),
    };
    let uuid = random::uuid();
    context.say(&format!("Snapshot taken. UUID: {uuid}"));
    context.change_vm(&vm.uuid, |vm| {
        vm.snapshots.push(Snapshot { name, uuid, image });
        Ok(())
    })
}

fn delete(context: &Context, arguments: &mut Arguments<'_>, vm: &Vm) -> Result<(), Failure> {
    let wanted = find(vm, arguments.word("snapshot name")?)?;
    arguments.done()?;
    context.progress("snapshot");
    context.change_vm(&vm.uuid, |vm| {
        vm.snapshots.retain(|snapshot| snapshot.uuid != wanted.uuid);
        Ok(())
    })
}

fn restore(context: &Context, arguments: &mut Arguments<'_>, vm: &Vm) -> Result<(), Failure> {
    let wanted = find(vm, arguments.word("snapshot name")?)?;
    arguments.done()?;
    if context.phase(vm)?.is_online() {
        return Err(Failure::locked(&vm.name));
    }
    context.progress("snapshot");
    if let Some(seen) = context.engine.container(&container::name(&context.settings, &vm.name))? {
        context.engine.remove(&seen.id)?;
        for volume in &seen.volumes {
            context.engine.remove_volume(volume)?;
        }
    }
    context.change_vm(&vm.uuid, |vm| {
        vm.image.clone_from(&wanted.image);
        vm.phase = Phase::PowerOff;
        Ok(())
    })
}

fn find(vm: &Vm, wanted: &str) -> Result<Snapshot, Failure> {
    let found = vm.snapshots.iter().find(|known| known.name == wanted || known.uuid == wanted);
    found.cloned().ok_or_else(|| {
        let message = format!("Could not find a snapshot named '{wanted}'");
        Failure::detailed(message, "VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)", ("SessionMachine", "IMachine"))
    })
}
