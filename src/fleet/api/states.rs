//! `/fleet/v1/state`: how units are on machines, as systemd there says.

use axum::response::Response;

use super::answer::{Trouble, found};
use super::page::Token;
use super::routes::Api;
use crate::fleet::records::{MachineId, Report};
use crate::fleet::registry::{Key, Registry};
use crate::fleet::unit::UnitName;
use crate::fleet::v1;
use crate::fleet::view::View;

/// Which states are asked for; what is not said is not looked at.
pub(super) struct Wanted<'a> {
    pub machine: Option<&'a str>,
    pub unit: Option<&'a str>,
}

impl Wanted<'_> {
    fn takes(&self, state: &v1::UnitState) -> bool {
        let is_unit = self.unit.is_none_or(|unit| unit == state.name);
        let machine = state.machine_id.as_ref().map(MachineId::as_str);
        is_unit && self.machine.is_none_or(|wanted| machine == Some(wanted))
    }
}

pub(super) async fn list<R: Registry>(
    api: &Api<R>,
    token: Token,
    wanted: &Wanted<'_>,
) -> Result<Response, Trouble> {
    let view = View::of(&api.registry.read(&[Key::States.to_string()]).await?);
    let states = view
        .reports
        .iter()
        .flat_map(|(name, reports)| reports.iter().map(move |(machine, report)| state(name, machine, report)))
        .filter(|state| wanted.takes(state));
    let (states, next_page_token) = token.cut(states.collect());
    Ok(found(&v1::StatePage { states, next_page_token }))
}

/// Answers with one state: that on the unit's own machine if there is one, else the first. Where there is none
/// the answer is empty, as clients fall over a 404 here.
pub(super) async fn show<R: Registry>(api: &Api<R>, name: &str) -> Result<Response, Trouble> {
    let Ok(name) = UnitName::parse(name) else { return Ok(found(&v1::UnitState::default())) };
    let keys = [Key::Unit(name.clone()).to_string(), Key::StatesOf(name.clone()).to_string()];
    let view = View::of(&api.registry.read(&keys).await?);
    let home = view.units.get(&name).and_then(|known| known.record.machine.as_ref());
    let shown = view.reports.get(&name).and_then(|reports| {
        let own = home.and_then(|home| reports.get_key_value(home));
        own.or_else(|| reports.first_key_value())
    });
    let shown = shown.map(|(machine, report)| state(&name, machine, report));
    Ok(found(&shown.unwrap_or_default()))
}

fn state(name: &UnitName, machine: &MachineId, report: &Report) -> v1::UnitState {
    v1::UnitState {
        name: name.to_string(),
        hash: Some(report.hash.clone()),
        machine_id: Some(machine.clone()),
        systemd_load_state: report.load.clone(),
        systemd_active_state: report.active.clone(),
        systemd_sub_state: report.sub.clone(),
    }
}
