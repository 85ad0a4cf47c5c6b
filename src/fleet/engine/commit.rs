//! From what was planned to transactions.

use crate::fleet::placement::{Assignment, Reason};
use crate::fleet::records::{MachineId, UnitRecord};
use crate::fleet::registry::{Compare, Error, Key, Op, Registry, delete, put, unchanged};
use crate::fleet::view::View;

use super::Engine;

/// One change with what it rests on.
pub(super) struct Step {
    pub(super) compares: Vec<Compare>,
    pub(super) ops: Vec<Op>,
}

/// etcd takes 128 operations in a transaction unless it is told otherwise; a step has three, and two comparisons.
const STEPS_AT_ONCE: usize = 40;

/// Returns what is written for an assignment; `None` if the unit has changed since it was planned.
pub(super) fn step(view: &View, assignment: &Assignment) -> Option<Step> {
    let known = view.units.get(&assignment.unit)?;
    if known.record.machine != assignment.from {
        return None;
    }
    let key = Key::Unit(assignment.unit.clone());
    // A wish that was granted, or could not be, is done with; one that is under way stays.
    let is_moving = matches!(assignment.why, Reason::Asked);
    let wish = known.record.wish.clone().filter(|_| is_moving && assignment.to.is_none());
    let record = UnitRecord { machine: assignment.to.clone(), wish, ..known.record.clone() };
    let target = |machine| Key::Target(machine, assignment.unit.clone());
    let mut ops = vec![put(&key, &record, None)];
    ops.extend(assignment.from.clone().map(|machine| delete(&target(machine))));
    ops.extend(assignment.to.clone().map(|machine| put(&target(machine), &record.order(), None)));
    let mut compares = vec![unchanged(&key, known.revision)];
    // Who has come back since must not lose what it still runs.
    let is_gone = |machine: &MachineId| !view.presences.contains_key(machine);
    let away = assignment.from.iter().filter(|machine| is_gone(machine));
    compares.extend(away.map(|machine| unchanged(&Key::Machine(machine.clone()), 0)));
    Some(Step { compares, ops })
}

impl<R: Registry> Engine<R> {
    /// Writes steps, many at once. Where one has been overtaken by somebody else's change the others are
    /// written alone. Returns the revision up to which our own changes will be heard of.
    pub(super) async fn commit(&self, term: u64, steps: Vec<Step>) -> Result<u64, Error> {
        let mut revision = 0;
        let mut steps = steps.into_iter().peekable();
        while steps.peek().is_some() {
            let batch: Vec<Step> = steps.by_ref().take(STEPS_AT_ONCE).collect();
            match self.commit_all(term, &batch).await? {
                Some(at) => revision = revision.max(at),
                None => {
                    for step in &batch {
                        let at = self.commit_all(term, std::slice::from_ref(step)).await?;
                        revision = revision.max(at.unwrap_or(0));
                    }
                }
            }
        }
        Ok(revision)
    }

    async fn commit_all(&self, term: u64, steps: &[Step]) -> Result<Option<u64>, Error> {
        // An engine that was deposed without noticing must not write any more.
        let ours = Compare::Created { key: Key::Leader.to_string(), is: term };
        let compares = steps.iter().flat_map(|step| step.compares.clone()).chain([ours]).collect();
        let ops = steps.iter().flat_map(|step| step.ops.clone()).collect();
        let outcome = self.registry.commit(compares, ops).await?;
        Ok(outcome.succeeded.then_some(outcome.revision))
    }
}
