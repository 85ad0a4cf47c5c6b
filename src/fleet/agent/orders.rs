//! What the registry tells this machine to run.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::fleet::heart::Timing;
use crate::fleet::records::{self, MachineId, NodeRecord, Phase, Presence};
use crate::fleet::registry::{Entry, Error, Event, Key, Page, Registry, Watch, parse};
use crate::fleet::unit::{Hash, Needs, UnitFile, UnitName};

/// One unit that the machine is to have.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub file: Arc<UnitFile>,
    pub hash: Hash,
    pub needs: Arc<Needs>,
    pub desired: Phase,
    pub stops: u64,
    /// The key that says so and its revision: a machine may claim the unit only while it stands.
    pub key: Key,
    pub revision: u64,
}

/// All of them, as of one revision.
pub type Orders = BTreeMap<UnitName, Order>;

/// The keys of this machine, kept up to date.
#[derive(Debug, Default)]
struct Table {
    orders: BTreeMap<UnitName, Order>,
    globals: BTreeMap<UnitName, Order>,
    node: NodeRecord,
}

impl Table {
    fn of(page: &Page) -> Self {
        let mut table = Self::default();
        page.entries.iter().for_each(|entry| table.put(entry));
        table
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Put(entry) => self.put(entry),
            Event::Deleted { key, .. } => match Key::parse(key) {
                Some(Key::Target(_, name)) => drop(self.orders.remove(&name)),
                Some(Key::Global(name)) => drop(self.globals.remove(&name)),
                Some(Key::Node(_)) => self.node = NodeRecord::default(),
                _ => {}
            },
        }
    }

    fn put(&mut self, entry: &Entry) {
        let Some(key) = Key::parse(&entry.key) else { return };
        match &key {
            Key::Node(_) => self.node = parse(entry).unwrap_or_default(),
            Key::Target(_, name) => {
                let name = name.clone();
                drop(read(&name, key, entry).map(|order| self.orders.insert(name, order)));
            }
            Key::Global(name) => {
                let name = name.clone();
                drop(read(&name, key, entry).map(|order| self.globals.insert(name, order)));
            }
            _ => {}
        }
    }

    /// Returns the units that are to be here: of those that conflict, the first by name.
    fn resolve(&self, presence: &Presence) -> Orders {
        let metadata = self.node.over(&presence.metadata);
        let fits = |order: &Order| {
            order
                .needs
                .metadata
                .iter()
                .all(|(key, wanted)| metadata.get(key).is_some_and(|value| wanted.contains(value)))
        };
        let globals =
            self.globals.iter().filter(|(_, order)| order.desired != Phase::Inactive && fits(order));
        let targets = self.orders.iter().filter(|(_, order)| order.desired != Phase::Inactive);
        let all: BTreeMap<&UnitName, &Order> = globals.chain(targets).collect();
        let mut accepted = Orders::new();
        for (name, order) in all {
            let clashes = accepted.iter().any(|(other, theirs): (&UnitName, &Order)| {
                order.needs.conflict_with(name.as_str(), other.as_str()).is_some()
                    || theirs.needs.conflict_with(other.as_str(), name.as_str()).is_some()
            });
            if !clashes {
                accepted.insert(name.clone(), order.clone());
            }
        }
        accepted
    }
}

/// Reads an order; what cannot be read was refused at the door, and is left alone here.
fn read(name: &UnitName, key: Key, entry: &Entry) -> Option<Order> {
    let order: records::Order = parse(entry).ok()?;
    let file = UnitFile::parse(&order.text).ok()?;
    let needs = Needs::of(name, &file).ok()?;
    Some(Order {
        hash: file.hash(),
        file: Arc::new(file),
        needs: Arc::new(needs),
        desired: order.desired,
        stops: order.stops,
        key,
        revision: entry.revision,
    })
}

/// Keeps `orders` up to date. While the registry does not answer, or not in full, the last ones hold. Whoever
/// finds out that they are not the last ones says so by `stale`.
pub(super) async fn follow<R: Registry>(
    registry: &R,
    machine: &MachineId,
    mut presence: watch::Receiver<Presence>,
    timing: Timing,
    (orders, stale): (&watch::Sender<Option<Orders>>, &Notify),
) {
    // Only what concerns this machine, each in a watch of its own: one over all three would hear of
    // everything that stands between them.
    let keys =
        [Key::Targets(machine.clone()), Key::Globals, Key::Node(machine.clone())].map(|key| key.to_string());
    loop {
        if let Err(error) = follow_once(registry, &keys, &mut presence, timing, (orders, stale)).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the orders of this machine are read anew"
            );
        }
        sleep(timing.ttl / 10).await;
    }
}

async fn follow_once<R: Registry>(
    registry: &R,
    keys: &[String; 3],
    presence: &mut watch::Receiver<Presence>,
    timing: Timing,
    (orders, stale): (&watch::Sender<Option<Orders>>, &Notify),
) -> Result<(), Error> {
    let page = registry.read(keys).await?;
    let from = page.revision + 1;
    let mut targets = registry.watch(&keys[..1], from).await?;
    let mut globals = registry.watch(&keys[1..2], from).await?;
    let mut node = registry.watch(&keys[2..], from).await?;
    let mut table = Table::of(&page);
    loop {
        let resolved = table.resolve(&presence.borrow_and_update());
        orders.send_if_modified(|orders| {
            let is_new = orders.as_ref() != Some(&resolved);
            *orders = Some(resolved);
            is_new
        });
        let events = tokio::select! {
            biased;
            events = targets.next() => events?,
            events = globals.next() => events?,
            events = node.next() => events?,
            Ok(()) = presence.changed() => Vec::new(),
            () = stale.notified() => return Ok(()),
            // A watch can hang on a connection that was cut without a word.
            () = sleep(timing.grace * 3) => return Ok(()),
        };
        for event in &events {
            table.apply(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::registry::{Op, put};

    fn entry(key: &Key, text: &str) -> Entry {
        let order = records::Order { text: text.to_owned(), desired: Phase::Launched, stops: 0 };
        let Op::Put { key, value, .. } = put(key, &order, None) else { unreachable!("a put is a put") };
        Entry { key, value, created: 1, revision: 1, lease: 0 }
    }

    fn names(entries: Vec<Entry>, metadata: &[(&str, &str)]) -> Vec<String> {
        let presence = Presence {
            name: String::new(),
            address: String::new(),
            metadata: metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            memory_bytes: None,
            version: String::new(),
        };
        let table = Table::of(&Page { revision: 1, entries });
        table.resolve(&presence).keys().map(ToString::to_string).collect()
    }

    fn unit(name: &str) -> UnitName {
        UnitName::parse(name).unwrap()
    }

    #[test]
    fn global_units_are_here_if_they_fit() {
        let global = |metadata: &str| {
            entry(&Key::Global(unit("g.service")), &format!("[X-Fleet]\nGlobal=true\n{metadata}"))
        };
        assert_eq!(names(vec![global("")], &[]), ["g.service"]);
        assert_eq!(names(vec![global("MachineMetadata=a=1\n")], &[]), [""; 0]);
        assert_eq!(names(vec![global("MachineMetadata=a=1\n")], &[("a", "1")]), ["g.service"]);
    }

    #[test]
    fn of_units_that_conflict_the_first_by_name_is_here() {
        let target = |name: &str, lines: &str| {
            entry(&Key::Target(MachineId::new("m"), unit(name)), &format!("[X-Fleet]\n{lines}\nMachineID=\n"))
        };
        let conflicting =
            |name: &str| entry(&Key::Global(unit(name)), "[X-Fleet]\nGlobal=true\nConflicts=g*.service\n");
        assert_eq!(names(vec![conflicting("g2.service"), conflicting("g1.service")], &[]), ["g1.service"]);
        let plain = target("b.service", "");
        assert_eq!(names(vec![plain, conflicting("g1.service")], &[]), ["b.service", "g1.service"]);
    }
}
