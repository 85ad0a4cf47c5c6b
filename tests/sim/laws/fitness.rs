//! Where units may be, told a second time and in the simplest words, to check what placement says.

use lab::fleet::records::{MachineId, Phase, Scheduling};
use lab::fleet::unit::{Needs, UnitName};
use lab::fleet::view::View;

fn needs<'a>(view: &'a View, name: &UnitName) -> Option<&'a Needs> {
    view.units.get(name)?.needs.as_deref().ok()
}

fn has_metadata(view: &View, needs: &Needs, id: &MachineId) -> bool {
    let metadata = view.metadata(id);
    needs.metadata.iter().all(|(key, wanted)| metadata.get(key).is_some_and(|value| wanted.contains(value)))
}

/// Returns whether a unit is to be on a machine: it was put there, or it is global and fits.
pub fn belongs(view: &View, name: &UnitName, id: &MachineId) -> bool {
    let Some(known) = view.units.get(name) else { return false };
    if known.record.desired == Phase::Inactive {
        return false;
    }
    match needs(view, name) {
        Some(needs) if needs.is_global => has_metadata(view, needs, id),
        _ => known.record.machine.as_ref() == Some(id),
    }
}

/// Returns whether a unit is to run on a machine.
pub fn is_to_run(view: &View, name: &UnitName, id: &MachineId) -> bool {
    let is_launched = view.units.get(name).is_some_and(|known| known.record.desired == Phase::Launched);
    is_launched && belongs(view, name, id)
}

pub fn exclude(view: &View, one: &UnitName, other: &UnitName) -> bool {
    let against = |name: &UnitName, other: &UnitName| {
        needs(view, name).is_some_and(|needs| needs.conflict_with(name.as_str(), other.as_str()).is_some())
    };
    against(one, other) || against(other, one)
}

/// Returns what a machine lacks, by itself or because of what is to be there too.
pub fn misfit(view: &View, name: &UnitName, id: &MachineId) -> Option<String> {
    let apart = || {
        let is_apart = |peer: &&String| UnitName::parse(peer).is_ok_and(|peer| !belongs(view, &peer, id));
        let peer = needs(view, name)?.machine_of.iter().find(is_apart)?;
        Some(format!("{peer} is not on {id}"))
    };
    misfit_alone(view, name, id).or_else(apart)
}

/// Returns what a machine lacks, wherever the unit's peers are.
fn misfit_alone(view: &View, name: &UnitName, id: &MachineId) -> Option<String> {
    let needs = needs(view, name)?;
    if !has_metadata(view, needs, id) {
        return Some(format!("{id} lacks the metadata"));
    }
    if needs.machine_id.as_ref().is_some_and(|wanted| wanted != id.as_str()) {
        return Some(format!("{id} is another machine"));
    }
    let mut others = view.units.keys().filter(|other| *other != name && belongs(view, other, id));
    others.find(|other| exclude(view, name, other)).map(|other| format!("{other} is on {id}"))
}

/// Returns whether nothing speaks against a unit's being where it is, as long as the machine is there.
pub fn may_stay(view: &View, name: &UnitName, id: &MachineId) -> bool {
    let Some(known) = view.units.get(name) else { return false };
    let scheduling = view.nodes.get(id).map(|node| node.scheduling).unwrap_or_default();
    let is_asked_away = known.record.wish.as_ref().is_some_and(|wish| wish != id);
    known.record.desired != Phase::Inactive
        && scheduling != Scheduling::Drained
        && !is_asked_away
        && misfit(view, name, id).is_none()
}

/// Returns whether a machine is there and takes units.
pub fn takes_units(view: &View, id: &MachineId) -> bool {
    let scheduling = view.nodes.get(id).map(|node| node.scheduling).unwrap_or_default();
    scheduling == Scheduling::Open && view.presences.contains_key(id)
}

/// Returns whether a unit is wanted, and nothing speaks against its being on a machine. A peer that was to come
/// with it may have been kept where it is at the last moment; the unit follows it then.
pub fn may_come(view: &View, name: &UnitName, id: &MachineId) -> bool {
    let is_wanted = view.units.get(name).is_some_and(|known| known.record.desired != Phase::Inactive);
    is_wanted && misfit_alone(view, name, id).is_none()
}
