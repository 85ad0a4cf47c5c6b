//! What a request makes of a unit, and the transaction that does it. Pure.

use axum::http::StatusCode;

use super::answer::Refusal;
use super::request::UnitRequest;
use crate::fleet::records::{MachineId, Phase, UnitRecord};
use crate::fleet::registry::{Key, Op, delete, put};
use crate::fleet::unit::{Needs, UnitFile, UnitName};

pub(super) const NO_UNIT: &str = "unit does not exist";

/// What is to become of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The record as it will be; `None` if it will be gone.
    pub after: Option<UnitRecord>,
    /// What is written, all in one transaction.
    pub ops: Vec<Op>,
    /// What is answered when it is done.
    pub status: u16,
}

/// Decides in the order in which fleet does, so that the first complaint is the same.
pub fn decide(existing: Option<&UnitRecord>, request: &UnitRequest) -> Result<Change, Refusal> {
    let file = request.file()?;
    match (existing, file) {
        (None, None) => Err(Refusal::conflict(format!("{NO_UNIT} and options field empty"))),
        (Some(old), Some(file)) if !is_same(old, &file) => renew(Some(old), &file, request),
        (None, Some(file)) => renew(None, &file, request),
        (Some(old), _) => tell(old, request),
    }
}

fn is_same(record: &UnitRecord, file: &UnitFile) -> bool {
    UnitFile::parse(&record.text).is_ok_and(|own| own.hash() == file.hash())
}

/// Makes a unit, or gives one another file. It starts over: inactive, unless something else is asked for.
fn renew(old: Option<&UnitRecord>, file: &UnitFile, request: &UnitRequest) -> Result<Change, Refusal> {
    let name = &request.name;
    let needs = Needs::of(name, file).map_err(|error| Refusal::bad(error.to_string()))?;
    let desired = request.desired()?.unwrap_or_default();
    check_template(name, desired)?;
    // A unit that is everywhere is on no machine of its own.
    let placed = old.filter(|_| !needs.is_global);
    let record = UnitRecord {
        text: file.text().to_owned(),
        desired,
        stops: old.map_or(0, |old| stops(old, desired)),
        machine: placed.and_then(|old| old.machine.clone()),
        wish: placed.and_then(|old| old.wish.clone()),
    };
    Ok(write(name, old, record, StatusCode::CREATED))
}

fn tell(old: &UnitRecord, request: &UnitRequest) -> Result<Change, Refusal> {
    let desired = request.desired()?;
    let desired =
        desired.ok_or_else(|| Refusal::conflict("must provide DesiredState to update existing unit"))?;
    check_template(&request.name, desired)?;
    let record = UnitRecord { desired, stops: stops(old, desired), ..old.clone() };
    Ok(write(&request.name, Some(old), record, StatusCode::NO_CONTENT))
}

fn check_template(name: &UnitName, desired: Phase) -> Result<(), Refusal> {
    if name.is_template() && desired != Phase::Inactive {
        return Err(Refusal::bad(format!("cannot activate template {:?}", name.as_str())));
    }
    Ok(())
}

fn stops(old: &UnitRecord, desired: Phase) -> u64 {
    old.stops + u64::from(old.desired == Phase::Launched && desired != Phase::Launched)
}

fn is_global(name: &UnitName, record: &UnitRecord) -> bool {
    let file = UnitFile::parse(&record.text);
    file.is_ok_and(|file| Needs::of(name, &file).is_ok_and(|needs| needs.is_global))
}

/// Writes the record, and what machines are told. The key of the other kind goes, for a unit may have become
/// global, or have ceased to be.
fn write(name: &UnitName, old: Option<&UnitRecord>, record: UnitRecord, status: StatusCode) -> Change {
    let order = record.order();
    let global = Key::Global(name.clone());
    let target = |machine: &MachineId| Key::Target(machine.clone(), name.clone());
    let mut ops = vec![put(&Key::Unit(name.clone()), &record, None)];
    if is_global(name, &record) {
        ops.push(put(&global, &order, None));
    } else if old.is_some_and(|old| is_global(name, old)) {
        ops.push(delete(&global));
    }
    match (&record.machine, old.and_then(|old| old.machine.as_ref())) {
        (Some(machine), _) => ops.push(put(&target(machine), &order, None)),
        (None, Some(machine)) => ops.push(delete(&target(machine))),
        (None, None) => {}
    }
    Change { after: Some(record), ops, status: status.as_u16() }
}

/// Takes a unit away, and tells so to its machines. What they report of it stays until they have stopped it.
pub(super) fn destroy(name: &UnitName, existing: Option<&UnitRecord>) -> Result<Change, Refusal> {
    let old = existing.ok_or_else(|| Refusal::absent(NO_UNIT))?;
    let target = old.machine.clone().map(|machine| Key::Target(machine, name.clone()));
    let keys = [Key::Unit(name.clone()), Key::Global(name.clone())].into_iter().chain(target);
    let ops = keys.map(|key| delete(&key)).collect();
    Ok(Change { after: None, ops, status: StatusCode::NO_CONTENT.as_u16() })
}

/// Notes where a unit is to be moved; `to` is a machine if there is one of that id.
pub(super) fn relocate(
    name: &UnitName,
    existing: Option<&UnitRecord>,
    to: Option<&MachineId>,
) -> Result<Change, Refusal> {
    let old = existing.ok_or_else(|| Refusal::absent(NO_UNIT))?;
    let to = to.ok_or_else(|| Refusal::absent("machine does not exist"))?;
    if is_global(name, old) {
        return Err(Refusal::conflict("a global unit runs on every machine that fits: it cannot be moved"));
    }
    let here = old.machine.as_ref().ok_or_else(|| Refusal::conflict("the unit is on no machine"))?;
    let record = UnitRecord { wish: (here != to).then(|| to.clone()), ..old.clone() };
    let ops = vec![put(&Key::Unit(name.clone()), &record, None)];
    Ok(Change { after: Some(record), ops, status: StatusCode::NO_CONTENT.as_u16() })
}
