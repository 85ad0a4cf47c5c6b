//! What users do.

use lab::fleet::records::Phase::{Launched, Loaded};
use lab::fleet::records::UnitRecord;
use lab::fleet::registry::Error;

use crate::catalogue;
use crate::client::{Promise, wanted};
use crate::history::Action;
use crate::site::Site;

use super::World;

impl World<'_> {
    pub(super) async fn act(&mut self, what: &Action) -> Result<(), Error> {
        match *what {
            Action::Create { unit, desired } => {
                let name = catalogue::name(unit);
                if self.may_be_made(unit) {
                    let text = catalogue::text(unit, self.replaced[unit]);
                    let made = self.client.create(&name, text, desired).await?;
                    if made.is_some() {
                        self.laws.recreated_at.insert(name, self.laws.now);
                    }
                    self.promise(unit, made);
                }
            }
            Action::Want { unit, desired } => self.change(unit, |record| wanted(record, desired)).await?,
            Action::Restart { unit } => {
                let was_launched = self.laws.view.units.get(&catalogue::name(unit));
                if was_launched.is_some_and(|known| known.record.desired == Launched) {
                    self.change(unit, |record| wanted(record, Loaded)).await?;
                    self.change(unit, |record| wanted(record, Launched)).await?;
                }
            }
            Action::Replace { unit } => {
                self.replaced[unit] += 1;
                let text = catalogue::text(unit, self.replaced[unit]);
                self.change(unit, |record| UnitRecord { text, ..record }).await?;
            }
            Action::Destroy { unit } => {
                let gone = self.client.destroy(&catalogue::name(unit)).await?;
                self.promise(unit, gone);
            }
            Action::Wish { unit, node } => {
                let wish = self.sites[node].node.id.clone();
                let is_global = catalogue::is_global(&catalogue::name(unit));
                let wish = Some(wish).filter(|_| !is_global);
                self.change(unit, |record| UnitRecord { wish, ..record }).await?;
            }
            Action::Zone { node, zone } => self.client.set_zone(&self.sites[node].node.id, zone).await?,
            Action::Schedule { node, scheduling } => {
                self.client.schedule(&self.sites[node].node.id, scheduling).await?;
            }
            _ => self.harm(what).await?,
        }
        Ok(())
    }

    async fn change(
        &mut self,
        unit: usize,
        change: impl FnOnce(UnitRecord) -> UnitRecord,
    ) -> Result<(), Error> {
        let changed = self.client.change(&catalogue::name(unit), change).await?;
        self.promise(unit, changed);
        Ok(())
    }

    fn promise(&mut self, unit: usize, done: Option<Promise>) {
        if let Some(promise) = done {
            self.laws.promise(&catalogue::name(unit), promise);
        }
        // Before anybody changes it again.
        self.found = self.hear().err().or(self.found.take());
    }

    /// A unit that was destroyed is not made anew while a machine that may not know of it still runs it.
    fn may_be_made(&self, unit: usize) -> bool {
        let name = catalogue::name(unit);
        let runs = |site: &&Site| site.node.units.running().contains(&name);
        let is_known =
            |site: &Site| self.laws.view.reports.get(&name).is_some_and(|on| on.contains_key(&site.node.id));
        self.sites.iter().filter(runs).all(is_known)
    }
}
