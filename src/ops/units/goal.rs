//! Whether a unit has come to where it was sent, seen from what fleet tells of it. Pure.

use crate::fleet::client::file_of;
use crate::fleet::records::{MachineId, Phase};
use crate::fleet::unit::UnitName;
use crate::fleet::v1::UnitState;

use super::sight::{Sight, is_running};

/// What a unit is waited for to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// Known to systemd on its machine, and not running.
    Loaded,
    /// Running, by what systemd says, and serving, where somebody asks it; a global unit on every machine that it fits.
    Active,
    /// Running, by what systemd says, whether it serves or not.
    Up,
    /// Not running anywhere.
    Stopped(StopProof),
    /// On no machine.
    Unloaded,
    Destroyed,
    /// On another machine than this one.
    Gone {
        from: MachineId,
    },
    /// On this machine, and there as it is to be.
    On {
        to: MachineId,
    },
}

/// What proves that a unit has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopProof {
    /// systemd says so. Our engine goes on saying `launched` for a while, for the sake of older clients.
    Systemd,
    /// The agent has to say so too: others miss a stop that is followed by a start at once.
    Agent,
}

/// How far a unit is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    Done(String),
    Waiting(String),
    /// No machine takes it as things are.
    Unplaced(String),
    /// It does not run, and fleet cannot tell whether it has done its work or has not begun.
    Ended {
        on: MachineId,
    },
    /// It looks bad; what is told may be a moment old.
    Failing {
        on: Option<MachineId>,
        why: String,
    },
}

impl Progress {
    /// What matters most of several machines comes first.
    fn rank(&self) -> u8 {
        match self {
            Self::Failing { .. } => 0,
            Self::Unplaced(_) => 1,
            Self::Waiting(_) => 2,
            Self::Ended { .. } => 3,
            Self::Done(_) => 4,
        }
    }
}

pub fn judge(sight: &Sight, name: &UnitName, goal: &Goal) -> Progress {
    let is_known = sight.units.contains_key(name);
    match goal {
        Goal::Destroyed if is_known => Progress::Waiting("still known".to_owned()),
        Goal::Destroyed => stopped(sight, name, "destroyed"),
        _ if !is_known => Progress::Failing { on: None, why: "it is not known any more".to_owned() },
        Goal::Stopped(StopProof::Agent) if is_launched(sight, name) => {
            Progress::Waiting("its machine has not been told yet".to_owned())
        }
        Goal::Stopped(_) => stopped(sight, name, "stopped"),
        Goal::Unloaded => unloaded(sight, name),
        Goal::Loaded => placed(sight, name, Phase::Loaded, Asked::Not),
        Goal::Active => placed(sight, name, Phase::Launched, Asked::Too),
        Goal::Up => placed(sight, name, Phase::Launched, Asked::Not),
        Goal::Gone { from } => gone(sight, name, from),
        Goal::On { to } if sight.units[name].machine_id.as_ref() != Some(to) => {
            Progress::Waiting(format!("not on {} yet", sight.names.name(to)))
        }
        Goal::On { .. } => placed(sight, name, sight.desired(name), Asked::Not),
    }
}

fn is_launched(sight: &Sight, name: &UnitName) -> bool {
    // Of global units only each machine knows how far they are.
    sight.units[name].current_state == Some(Phase::Launched) && !sight.is_global(name)
}

/// Returns how a state reads: `active (running)`.
pub fn words(state: &UnitState) -> String {
    match state.systemd_sub_state.as_str() {
        "" => state.systemd_active_state.clone(),
        sub => format!("{} ({sub})", state.systemd_active_state),
    }
}

fn stopped(sight: &Sight, name: &UnitName, done: &str) -> Progress {
    let is_heard = |state: &&UnitState| state.machine_id.as_ref().is_some_and(|id| sight.is_here(id));
    let up = sight.states_of(name).iter().filter(is_heard).find(|state| is_running(state));
    if let Some(state) = up {
        let on = state.machine_id.as_ref().map(|id| sight.names.name(id)).unwrap_or_default();
        return Progress::Waiting(format!("{} on {on}", words(state)));
    }
    let home = sight.units.get(name).and_then(|unit| unit.machine_id.as_ref());
    match home.filter(|id| !sight.is_here(id)) {
        Some(id) => Progress::Waiting(format!("its machine {} is away", sight.names.name(id))),
        None => Progress::Done(done.to_owned()),
    }
}

fn unloaded(sight: &Sight, name: &UnitName) -> Progress {
    let unit = &sight.units[name];
    let is_off = unit.machine_id.is_none() || unit.current_state == Some(Phase::Inactive);
    match stopped(sight, name, "unloaded") {
        Progress::Done(_) if !is_off => Progress::Waiting("stopped, not unloaded yet".to_owned()),
        progress => progress,
    }
}

fn gone(sight: &Sight, name: &UnitName, from: &MachineId) -> Progress {
    let unit = &sight.units[name];
    let was = sight.names.name(from);
    if unit.machine_id.as_ref() == Some(from) {
        return Progress::Waiting(format!("still on {was}"));
    }
    if let Some(state) = sight.state_on(name, from).filter(|state| is_running(state)) {
        return Progress::Waiting(format!("{} on {was}", words(state)));
    }
    match &unit.machine_id {
        Some(id) => Progress::Done(format!("now on {}", sight.names.name(id))),
        None if sight.desired(name) == Phase::Inactive => Progress::Done("unloaded".to_owned()),
        None => homeless(sight, name),
    }
}

/// Whether what a unit says of itself counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Too,
    Not,
}

/// Judges a unit that is to be on a machine.
fn placed(sight: &Sight, name: &UnitName, wanted: Phase, asked: Asked) -> Progress {
    if sight.desired(name) != wanted {
        let why = format!("somebody else wants it to be {}", sight.desired(name));
        return Progress::Failing { on: None, why };
    }
    let homes = sight.homes(name);
    if homes.is_empty() {
        return homeless(sight, name);
    }
    let all = homes.iter().map(|id| on_machine(sight, name, id, (wanted, asked)));
    let (total, mut all) = (homes.len(), all.collect::<Vec<_>>());
    all.sort_by_key(Progress::rank);
    match all.into_iter().next() {
        Some(Progress::Done(text)) if total > 1 => Progress::Done(format!("{text} and {} more", total - 1)),
        Some(worst) => worst,
        None => Progress::Waiting("it is on no machine".to_owned()),
    }
}

fn homeless(sight: &Sight, name: &UnitName) -> Progress {
    match sight.verdicts(name) {
        Err(_) => Progress::Unplaced("its file cannot be used".to_owned()),
        Ok(verdicts) if verdicts.values().any(crate::fleet::placement::Verdict::is_able) => {
            Progress::Waiting("waits for a machine".to_owned())
        }
        Ok(_) => Progress::Unplaced("no machine takes it".to_owned()),
    }
}

fn on_machine(sight: &Sight, name: &UnitName, id: &MachineId, (wanted, asked): (Phase, Asked)) -> Progress {
    let on = sight.names.name(id);
    if !sight.is_here(id) {
        return Progress::Waiting(format!("its machine {on} is away"));
    }
    let Some(state) = sight.state_on(name, id) else {
        return Progress::Waiting(format!("comes to {on}"));
    };
    let hash = file_of(&sight.units[name]).ok().map(|file| file.hash());
    if state.hash.is_some() && state.hash != hash {
        return Progress::Waiting(format!("on {on}, still with its former file"));
    }
    let failing = |why: String| Progress::Failing { on: Some(id.clone()), why };
    let load = state.systemd_load_state.as_str();
    if matches!(load, "not-found" | "error" | "bad-setting" | "masked") {
        return failing(format!("systemd on {on} cannot load it: {load}"));
    }
    match (wanted, state.systemd_active_state.as_str()) {
        (Phase::Launched, "active") => match sight.answers.get(&(name.clone(), id.clone())) {
            _ if asked == Asked::Not => Progress::Done(format!("{} on {on}", words(state))),
            None => Progress::Done(format!("{} on {on}", words(state))),
            Some(Ok(_)) => Progress::Done(format!("serves on {on}")),
            Some(Err(why)) => Progress::Waiting(format!("runs on {on}; {why}")),
        },
        (Phase::Launched, "failed") => failing(format!("{} on {on}", words(state))),
        (Phase::Launched, "inactive" | "") if is_launched(sight, name) || sight.is_global(name) => {
            Progress::Ended { on: id.clone() }
        }
        (Phase::Launched, "inactive" | "") => Progress::Waiting(format!("on {on}, not started yet")),
        (Phase::Launched, _) => Progress::Waiting(format!("{} on {on}", words(state))),
        (_, _) if is_running(state) => Progress::Waiting(format!("{} on {on}", words(state))),
        (_, _) => Progress::Done(format!("{} on {on}", state.systemd_load_state)),
    }
}

#[cfg(test)]
mod tests;
