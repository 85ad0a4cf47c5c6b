//! What users do, written as the API writes it: one transaction that rests on what was read.

use lab::fleet::records::{MachineId, NodeRecord, Phase, Scheduling, UnitRecord};
use lab::fleet::registry::{
    Compare, Error, Key, MemoryRegistry, Op, Registry, delete, parse, put, unchanged,
};
use lab::fleet::unit::{Needs, UnitFile, UnitName};

pub struct Client {
    pub registry: MemoryRegistry,
}

/// What a unit is to be from now on; `None` if there is to be none.
pub type Promise = Option<UnitRecord>;

fn is_global(name: &UnitName, text: &str) -> bool {
    let file = UnitFile::parse(text).expect("the catalogue has good files");
    Needs::of(name, &file).expect("the catalogue makes sense").is_global
}

fn orders(name: &UnitName, record: &UnitRecord) -> Vec<Op> {
    let key = match &record.machine {
        _ if is_global(name, &record.text) => Key::Global(name.clone()),
        Some(machine) => Key::Target(machine.clone(), name.clone()),
        None => return Vec::new(),
    };
    vec![put(&key, &record.order(), None)]
}

impl Client {
    async fn unit(&self, name: &UnitName) -> Result<Option<(UnitRecord, u64)>, Error> {
        let page = self.registry.read(&[Key::Unit(name.clone()).to_string()]).await?;
        page.entries.first().map(|entry| Ok((parse(entry)?, entry.revision))).transpose()
    }

    async fn node(&self, id: &MachineId) -> Result<(NodeRecord, u64), Error> {
        let page = self.registry.read(&[Key::Node(id.clone()).to_string()]).await?;
        let Some(entry) = page.entries.first() else { return Ok((NodeRecord::default(), 0)) };
        Ok((parse(entry)?, entry.revision))
    }

    async fn commit(&self, compare: Compare, ops: Vec<Op>) -> Result<bool, Error> {
        Ok(self.registry.commit(vec![compare], ops).await?.succeeded)
    }

    pub async fn create(
        &self,
        name: &UnitName,
        text: String,
        desired: Phase,
    ) -> Result<Option<Promise>, Error> {
        if self.unit(name).await?.is_some() {
            return Ok(None);
        }
        let record = UnitRecord { text, desired, stops: 0, machine: None, wish: None };
        self.write(name, record, 0).await
    }

    /// Changes a unit that is there; `None` if there is none.
    pub async fn change(
        &self,
        name: &UnitName,
        change: impl FnOnce(UnitRecord) -> UnitRecord,
    ) -> Result<Option<Promise>, Error> {
        let Some((record, revision)) = self.unit(name).await? else { return Ok(None) };
        self.write(name, change(record), revision).await
    }

    async fn write(
        &self,
        name: &UnitName,
        record: UnitRecord,
        revision: u64,
    ) -> Result<Option<Promise>, Error> {
        let key = Key::Unit(name.clone());
        let ops = std::iter::once(put(&key, &record, None)).chain(orders(name, &record)).collect();
        Ok(self.commit(unchanged(&key, revision), ops).await?.then_some(Some(record)))
    }

    pub async fn destroy(&self, name: &UnitName) -> Result<Option<Promise>, Error> {
        let Some((record, revision)) = self.unit(name).await? else { return Ok(None) };
        let key = Key::Unit(name.clone());
        let mut ops = vec![delete(&key), delete(&Key::Global(name.clone()))];
        ops.extend(record.machine.map(|machine| delete(&Key::Target(machine, name.clone()))));
        Ok(self.commit(unchanged(&key, revision), ops).await?.then_some(None))
    }

    pub async fn set_zone(&self, id: &MachineId, zone: &str) -> Result<(), Error> {
        let (mut node, revision) = self.node(id).await?;
        node.metadata.insert("zone".to_owned(), zone.to_owned());
        let key = Key::Node(id.clone());
        self.commit(unchanged(&key, revision), vec![put(&key, &node, None)]).await.map(drop)
    }

    pub async fn schedule(&self, id: &MachineId, scheduling: Scheduling) -> Result<(), Error> {
        let (node, revision) = self.node(id).await?;
        let key = Key::Node(id.clone());
        let node = NodeRecord { scheduling, ..node };
        self.commit(unchanged(&key, revision), vec![put(&key, &node, None)]).await.map(drop)
    }
}

/// Returns the record as it is when somebody wants the unit to be something else.
pub fn wanted(record: UnitRecord, desired: Phase) -> UnitRecord {
    let is_stop = record.desired == Phase::Launched && desired != Phase::Launched;
    UnitRecord { desired, stops: record.stops + u64::from(is_stop), ..record }
}
