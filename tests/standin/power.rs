//! Starting and stopping machines.

use crate::arguments::{Arguments, Next};
use crate::engine::{Seen, Status};
use crate::failure::Failure;
use crate::settings::Kind;
use crate::vm::{Phase, Vm};
use crate::{Context, container, networks};

/// What systemd takes for the press of a power button.
const POWER_OFF: &str = "SIGRTMIN%2B4";

pub fn startvm(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let key = arguments.word("machine name")?;
    while let Some(next) = arguments.next() {
        match next {
            Next::Option(option @ ("type" | "putenv")) => arguments.skip(option)?,
            Next::Option(other) => return Err(arguments.unknown(other)),
            Next::Word(word) => return Err(arguments.too_many(word)),
        }
    }
    let (vm, _session) = context.enter(key)?.map_err(|vm| Failure::in_session(&vm.name))?;
    if context.settled_phase(&vm)?.is_online() {
        return Err(Failure::in_session(&vm.name));
    }
    context.say(&format!("Waiting for VM \"{}\" to power on...", vm.name));
    let before = set(context, &vm, Phase::Starting)?;
    let after = start(context, &vm);
    set(context, &vm, if after.is_ok() { Phase::Running } else { before })?;
    after?;
    context.say(&format!("VM \"{}\" has been successfully started.", vm.name));
    Ok(())
}

fn start(context: &Context, vm: &Vm) -> Result<(), Failure> {
    std::thread::sleep(context.settings.delay("startvm"));
    let fault = context.store.fault("startvm", &[&vm.name])?.map(|fault| fault.kind);
    if let Some(kind) = fault.filter(|kind| *kind != Kind::Aborted) {
        return Err(Failure::no_start(kind));
    }
    let network = match vm.host_only() {
        Some(nic) => networks::ensure(context, &nic.attached)?,
        None => container::DEFAULT.to_owned(),
    };
    let seen = container::ensure(&context.engine, &context.settings, vm, &network)?;
    if seen.status == Status::Paused {
        context.engine.unpause(&seen.id)?;
        let adapter = container::restore(&context.engine, &seen, &vm.saved)?;
        context.change_vm(&vm.uuid, |vm| {
            vm.adapter = (adapter != "eth0").then_some(adapter);
            Ok(())
        })?;
    } else {
        context.engine.start(&seen.id)?;
        context.change_vm(&vm.uuid, |vm| {
            vm.adapter = None;
            Ok(())
        })?;
    }
    if fault.is_some() {
        context.engine.kill(&seen.id, "SIGKILL")?;
    }
    Ok(())
}

pub fn controlvm(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let key = arguments.word("machine name")?;
    let verb = arguments.word("command")?.to_owned();
    arguments.done()?;
    let act = match verb.as_str() {
        "poweroff" => power_off,
        "acpipowerbutton" => press_power_button,
        "savestate" => save,
        "pause" => pause,
        "resume" => resume,
        "reset" => reset,
        other => return Err(arguments.too_many(other)),
    };
    let (vm, _session) = context.enter(key)?.map_err(|vm| Failure::locked(&vm.name))?;
    let phase = context.settled_phase(&vm)?;
    let seen = context.engine.container(&container::name(&context.settings, &vm.name))?;
    let Some(seen) = seen.filter(|_| phase.is_online()) else { return Err(Failure::not_running(&vm.name)) };
    act(&Running { context, vm: &vm, seen: &seen, id: &seen.id, phase })
}

/// A machine that is on.
struct Running<'a> {
    context: &'a Context,
    vm: &'a Vm,
    seen: &'a Seen,
    id: &'a str,
    phase: Phase,
}

fn power_off(running: &Running<'_>) -> Result<(), Failure> {
    let Running { context, vm, id, .. } = *running;
    set(context, vm, Phase::Stopping)?;
    context.progress("controlvm");
    context.engine.kill(id, "SIGKILL")?;
    context.engine.wait_until_stopped(id)?;
    set(context, vm, Phase::PowerOff).map(drop)
}

/// Only asks the machine: whether it goes off, and when, is up to it.
fn press_power_button(running: &Running<'_>) -> Result<(), Failure> {
    Ok(running.context.engine.kill(running.id, POWER_OFF)?)
}

fn save(running: &Running<'_>) -> Result<(), Failure> {
    let Running { context, vm, seen, id, phase } = *running;
    if phase == Phase::Paused {
        // Only a machine that runs can say what its addresses are.
        context.engine.unpause(id)?;
    }
    let saved = container::addresses(&context.engine, seen)?;
    context.change_vm(&vm.uuid, |vm| {
        (vm.saved, vm.phase) = (saved, Phase::Stopping);
        Ok(())
    })?;
    context.progress("controlvm");
    if let Some(adapter) = &vm.adapter {
        container::give_back(&context.engine, seen, adapter)?;
    }
    context.engine.pause(id)?;
    container::unplug(&context.engine, seen)?;
    set(context, vm, Phase::Saved).map(drop)
}

fn pause(running: &Running<'_>) -> Result<(), Failure> {
    let Running { context, vm, id, phase, .. } = *running;
    if phase != Phase::Running {
        return Err(Failure::wrong_state(format!("Machine '{}' is not running", vm.name)));
    }
    context.engine.pause(id)?;
    set(context, vm, Phase::Paused).map(drop)
}

fn resume(running: &Running<'_>) -> Result<(), Failure> {
    let Running { context, vm, id, phase, .. } = *running;
    if phase != Phase::Paused {
        return Err(Failure::wrong_state(
            "Cannot resume the machine as it is not paused (machine state: Running)",
        ));
    }
    context.engine.unpause(id)?;
    set(context, vm, Phase::Running).map(drop)
}

fn reset(running: &Running<'_>) -> Result<(), Failure> {
    let Running { context, vm, id, .. } = *running;
    set(context, vm, Phase::Starting)?;
    context.engine.kill(id, "SIGKILL")?;
    context.engine.wait_until_stopped(id)?;
    context.engine.start(id)?;
    set(context, vm, Phase::Running).map(drop)
}

pub fn discardstate(context: &Context, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
    let key = arguments.word("machine name")?;
    arguments.done()?;
    let (vm, _session) = context.enter(key)?.map_err(|vm| Failure::locked(&vm.name))?;
    let phase = context.settled_phase(&vm)?;
    if phase != Phase::Saved {
        let message = format!(
            "Cannot discard the saved state of the machine '{}', as it has none (machine state: {})",
            vm.name,
            phase.name()
        );
        return Err(Failure::wrong_state(message));
    }
    if let Some(seen) = context.engine.container(&container::name(&context.settings, &vm.name))? {
        set(context, &vm, Phase::Stopping)?;
        context.engine.kill(&seen.id, "SIGKILL")?;
        context.engine.wait_until_stopped(&seen.id)?;
    }
    set(context, &vm, Phase::PowerOff).map(drop)
}

/// Returns what it was before.
fn set(context: &Context, vm: &Vm, phase: Phase) -> Result<Phase, Failure> {
    context.change_vm(&vm.uuid, |vm| Ok(std::mem::replace(&mut vm.phase, phase)))
}
