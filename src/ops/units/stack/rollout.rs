//! What brings a lab's stacks to run: a function from what they are to be and what fleet has to steps. Pure.

use std::collections::BTreeSet;

use crate::fleet::client::file_of;
use crate::fleet::records::Phase;
use crate::fleet::unit::{UnitFile, UnitName};
use crate::fleet::v1::Unit;
use crate::ops::stack::{Instance, labels};
use crate::ops::units::sight::Sight;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Units that a stack had and has no more.
    pub surplus: Vec<UnitName>,
    /// In the order in which they are done: the units of one level need those of the levels before it.
    pub levels: Vec<Level>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// New units, and those that are merely not launched: nothing that runs is touched.
    pub fresh: Vec<Unit>,
    /// Units that run and have to start again, those of one template together.
    pub changed: Vec<Group>,
    /// All units of the level.
    pub all: Vec<UnitName>,
}

/// The instances of one unit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Those that have to start again.
    pub changed: Vec<Instance>,
    /// The others.
    pub same: Vec<UnitName>,
    /// New ones, which have to serve before any that runs starts again. While they look for the others, together with
    /// one that has just learned of them they might be a majority, and the rest, by what it knows, is one too: what one
    /// of two leaders is told is lost.
    pub first: Vec<UnitName>,
    /// New ones that are enough to agree among themselves, and would do so on having no data. They come when those that
    /// have some know of them; until then these wait for them, and do not serve.
    pub late: Vec<Unit>,
}

pub fn rollout(sight: &Sight, wanted: &[Instance]) -> Rollout {
    let mut order: Vec<usize> = wanted.iter().map(|instance| instance.level).collect();
    order.sort_unstable();
    order.dedup();
    let level =
        |number: usize| level(sight, &wanted.iter().filter(|one| one.level == number).collect::<Vec<_>>());
    Rollout { surplus: surplus(sight, wanted), levels: order.into_iter().map(level).collect() }
}

/// Returns the units that were made for a stack and are in none any more.
pub fn surplus(sight: &Sight, wanted: &[Instance]) -> Vec<UnitName> {
    let is_of_stack = |unit: &Unit| file_of(unit).is_ok_and(|file| labels(&file).stack.is_some());
    let units = sight
        .units
        .iter()
        .filter(|(name, unit)| is_of_stack(unit) && !wanted.iter().any(|instance| instance.name == **name));
    units.map(|(name, _)| name.clone()).collect()
}

fn level(sight: &Sight, wanted: &[&Instance]) -> Level {
    let mut level = Level { all: wanted.iter().map(|one| one.name.clone()).collect(), ..Level::default() };
    let mut done: BTreeSet<&UnitName> = BTreeSet::new();
    for first in wanted {
        if !done.insert(&first.of) {
            continue;
        }
        let (mut group, mut fresh) = (Group::default(), Vec::new());
        let instances: Vec<&&Instance> = wanted.iter().filter(|one| one.of == first.of).collect();
        for instance in &instances {
            match change(sight, instance) {
                Change::None => group.same.push(instance.name.clone()),
                Change::Put(unit) => fresh.push(*unit),
                Change::Restart => group.changed.push((**instance).clone()),
            }
        }
        if group.changed.is_empty() {
            level.fresh.append(&mut fresh);
            continue;
        }
        if fresh.len() > instances.len() / 2 {
            group.late = fresh;
        } else {
            let is_fresh = |one: &&&&Instance| fresh.iter().any(|unit| unit.name == one.name.as_str());
            group.first = instances.iter().filter(is_fresh).map(|one| one.name.clone()).collect();
            level.fresh.append(&mut fresh);
        }
        level.changed.push(group);
    }
    level
}

enum Change {
    None,
    Put(Box<Unit>),
    /// It runs somewhere with another file.
    Restart,
}

fn change(sight: &Sight, instance: &Instance) -> Change {
    let name = &instance.name;
    let Some(unit) = sight.units.get(name) else { return Change::Put(Box::new(put(name, &instance.file))) };
    let is_same = file_of(unit).is_ok_and(|held| held.hash() == instance.file.hash());
    let is_launched = sight.desired(name) == Phase::Launched;
    let has_home = !sight.homes(name).is_empty();
    match (is_same, is_launched) {
        (true, true) => Change::None,
        (true, false) => {
            let (name, desired_state) = (name.to_string(), Some(Phase::Launched));
            Change::Put(Box::new(Unit { name, desired_state, ..Unit::default() }))
        }
        (false, true) if has_home => Change::Restart,
        (false, _) => Change::Put(Box::new(put(name, &instance.file))),
    }
}

/// Returns what makes a unit, or renews it.
pub fn put(name: &UnitName, file: &UnitFile) -> Unit {
    Unit {
        name: name.to_string(),
        options: file.options().to_vec(),
        desired_state: Some(Phase::Launched),
        text: Some(file.text().to_owned()),
        ..Unit::default()
    }
}

/// Returns which of several units is to start again next: first one that does not serve anyhow, last the one that leads.
pub fn next(
    changed: &[Instance],
    serves: impl Fn(&UnitName) -> bool,
    leads: impl Fn(&UnitName) -> bool,
) -> Option<&Instance> {
    changed.iter().min_by_key(|one| (serves(&one.name), leads(&one.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::units::sight::tests::{name, sight, unit};

    fn instance(text: &str, of: &str, level: usize, body: &str) -> Instance {
        Instance {
            stack: "web".to_owned(),
            of: name(of),
            level,
            name: name(text),
            file: UnitFile::parse(body).unwrap(),
            check: None,
            leader: None,
        }
    }

    const OLD: &str = "[Service]\nExecStart=/a\n[X-Lab]\nStack=web\nImage=web:1 sha256:1\n";
    const NEW: &str = "[Service]\nExecStart=/a\n[X-Lab]\nStack=web\nImage=web:1 sha256:2\n";

    #[track_caller]
    fn check(known: Vec<Unit>, wanted: &[Instance], want: &[&str]) {
        let plan = rollout(&sight(known, Vec::new()), wanted);
        let mut told: Vec<String> = plan.surplus.iter().map(|name| format!("remove {name}")).collect();
        for (number, level) in plan.levels.iter().enumerate() {
            told.extend(level.fresh.iter().map(|unit| format!("{number}: put {}", unit.name)));
            for group in &level.changed {
                let names = |all: &mut dyn Iterator<Item = &UnitName>| {
                    all.map(ToString::to_string).collect::<Vec<_>>().join(" ")
                };
                let changed = names(&mut group.changed.iter().map(|one| &one.name));
                told.push(format!("{number}: restart {changed}, keep {}", names(&mut group.same.iter())));
                told.extend(group.first.iter().map(|name| format!("{number}: after {name}")));
                told.extend(group.late.iter().map(|unit| format!("{number}: then put {}", unit.name)));
            }
        }
        assert_eq!(told, want);
    }

    #[test]
    fn only_what_differs_is_touched() {
        let wanted = [
            instance("a@1.service", "a@.service", 0, NEW),
            instance("a@2.service", "a@.service", 0, NEW),
            instance("b.service", "b.service", 1, NEW),
        ];
        check(Vec::new(), &wanted, &["0: put a@1.service", "0: put a@2.service", "1: put b.service"]);
        let up = |text: &str, body: &str| unit(text, body, Phase::Launched, Some("m1"));
        let all = || vec![up("a@1.service", NEW), up("a@2.service", NEW), up("b.service", NEW)];
        check(all(), &wanted, &[]);
        let known = vec![up("a@1.service", OLD), up("a@2.service", NEW), up("b.service", OLD)];
        let want = ["0: restart a@1.service, keep a@2.service", "1: restart b.service, keep "];
        check(known, &wanted, &want);
    }

    #[test]
    fn what_runs_nowhere_has_nothing_to_lose() {
        let wanted = [instance("a.service", "a.service", 0, NEW)];
        let put = ["0: put a.service"];
        check(vec![unit("a.service", OLD, Phase::Launched, None)], &wanted, &put);
        check(vec![unit("a.service", OLD, Phase::Inactive, None)], &wanted, &put);
        check(vec![unit("a.service", NEW, Phase::Loaded, Some("m1"))], &wanted, &put);
    }

    #[test]
    fn new_members_come_first_and_after_the_old_ones_if_they_are_a_majority() {
        let up = |text: &str| unit(text, OLD, Phase::Launched, Some("m1"));
        let of = |count: u16| -> Vec<Instance> {
            (1..=count).map(|number| instance(&format!("a@{number}.service"), "a@.service", 0, NEW)).collect()
        };
        let want = ["0: restart a@1.service, keep ", "0: then put a@2.service", "0: then put a@3.service"];
        check(vec![up("a@1.service")], &of(3), &want);
        let three = ["a@1.service", "a@2.service", "a@3.service"].map(up).to_vec();
        let want = [
            "0: put a@4.service",
            "0: put a@5.service",
            "0: restart a@1.service a@2.service a@3.service, keep ",
            "0: after a@4.service",
            "0: after a@5.service",
        ];
        check(three, &of(5), &want);
    }

    #[test]
    fn what_no_stack_has_any_more_goes_and_what_none_had_stays() {
        let plain = "[Service]\nExecStart=/a\n";
        let known = vec![
            unit("a@3.service", OLD, Phase::Launched, Some("m1")),
            unit("mine.service", plain, Phase::Launched, Some("m1")),
        ];
        check(known, &[], &["remove a@3.service"]);
    }

    #[test]
    fn the_leader_starts_again_last_and_who_does_not_serve_first() {
        let all =
            ["a@1.service", "a@2.service", "a@3.service"].map(|one| instance(one, "a@.service", 0, NEW));
        let order = |down: &str| {
            let mut left = all.to_vec();
            let mut order = Vec::new();
            while let Some(one) =
                next(&left, |name| name.as_str() != down, |name| name.as_str() == "a@1.service")
            {
                let name = one.name.clone();
                left.retain(|one| one.name != name);
                order.push(name.instance().to_owned());
            }
            order.join("")
        };
        assert_eq!(order(""), "231");
        assert_eq!(order("a@3.service"), "321");
        assert_eq!(order("a@1.service"), "123");
    }
}
