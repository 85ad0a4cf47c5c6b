//! What must hold in the end, when nothing is wrong any more.

use std::collections::BTreeMap;

use lab::fleet::agent::{Found, Units};
use lab::fleet::placement::{Standing, settle};
use lab::fleet::records::Phase;
use lab::fleet::unit::UnitName;

use crate::site::Site;

use super::{Laws, fitness};

impl Laws {
    /// Returns what is not yet as it is to be.
    pub async fn unsettled(&self, sites: &[Site], is_fenced: bool) -> Option<String> {
        if !sites.iter().any(|site| site.node.is_up()) {
            return None;
        }
        for site in sites.iter().filter(|site| site.node.is_up()) {
            if !self.view.presences.contains_key(&site.node.id) {
                return Some(format!("{} is not there", site.node.id));
            }
        }
        if let Some(name) = self.promises.keys().find(|name| !self.view.units.contains_key(*name)) {
            return Some(format!("{name} is lost"));
        }
        let (_, due) = settle(self.view.snapshot(is_fenced, |_| Standing::Gone));
        if let Some(task) = due.first() {
            return Some(format!(
                "{} is to go from {:?} to {:?}: {}",
                task.unit, task.from, task.to, task.why
            ));
        }
        for site in sites.iter().filter(|site| site.node.is_up()) {
            let Ok(found) = site.node.units.found().await else { continue };
            if let Some(what) = self.unsettled_on(site, &found) {
                return Some(what);
            }
        }
        let mut reports = self.view.reports.iter().flat_map(|(name, on)| on.keys().map(move |id| (name, id)));
        let stray = reports.find(|(name, id)| !fitness::belongs(&self.view, name, id));
        stray.map(|(name, id)| format!("{id} still says of {name} how it is"))
    }

    fn unsettled_on(&self, site: &Site, found: &BTreeMap<UnitName, Found>) -> Option<String> {
        let id = &site.node.id;
        let running = site.node.units.running();
        if let Some(name) = running.iter().find(|name| !fitness::is_to_run(&self.view, name, id)) {
            return Some(format!("{id} runs {name}"));
        }
        if let Some(name) = found.keys().find(|name| !fitness::belongs(&self.view, name, id)) {
            return Some(format!("{id} keeps the file of {name}"));
        }
        let mut here = self.view.units.keys().filter(|name| fitness::belongs(&self.view, name, id));
        here.find_map(|name| {
            let record = &self.view.units[name].record;
            let Some(held) = found.get(name) else { return Some(format!("{id} does not have {name}")) };
            if held.file.text() != record.text {
                return Some(format!("{id} has an old {name}"));
            }
            let is_running = running.contains(name);
            let is_wanted = record.desired == Phase::Launched;
            if is_running != is_wanted || held.launched != is_wanted.then_some(record.stops) {
                let how = format!("running: {is_running}, launched: {:?}", held.launched);
                return Some(format!(
                    "{name} is to be {} with {} stops; on {id} it is {how}",
                    record.desired, record.stops
                ));
            }
            let report = self.view.reports.get(name).and_then(|reports| reports.get(id));
            let Some(report) = report else { return Some(format!("{id} says nothing of {name}")) };
            let active = if is_running { "active" } else { "inactive" };
            let is_true = report.active == active
                && report.reached == record.desired
                && report.hash == held.file.hash();
            (!is_true).then(|| format!("{id} says of {name}: {report:?}"))
        })
    }
}
