//! `/fleet/v1/units`: units as clients see them, and what they ask of them.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::answer::{Refusal, Trouble, found};
use super::change::{self, Change, NO_UNIT, decide};
use super::page::Token;
use super::patch::machine_id;
use super::request::{MoveBody, UnitRequest, parse_object};
use super::routes::Api;
use crate::fleet::records::{Phase, UnitRecord};
use crate::fleet::registry::{Key, Registry, fsck, parse, unchanged};
use crate::fleet::unit::{UnitFile, UnitName};
use crate::fleet::v1;
use crate::fleet::view::{Known, View};

/// How often a change is decided anew because somebody else was faster.
const ATTEMPTS: usize = 10;

pub(super) async fn list<R: Registry>(api: &Api<R>, token: Token) -> Result<Response, Trouble> {
    let page = api.registry.read(&[Key::Units.to_string(), Key::States.to_string()]).await?;
    let view = View::of(&page);
    let (units, next_page_token) = token.cut(view.units.iter().collect());
    let units = units.into_iter().map(|(name, known)| unit(&view, name, known)).collect();
    Ok(found(&v1::UnitPage { units, next_page_token }))
}

pub(super) async fn show<R: Registry>(api: &Api<R>, name: &str) -> Result<Response, Trouble> {
    let name = UnitName::parse(name).map_err(|_| Refusal::absent(NO_UNIT))?;
    let keys = [Key::Unit(name.clone()).to_string(), Key::StatesOf(name.clone()).to_string()];
    let view = View::of(&api.registry.read(&keys).await?);
    let known = view.units.get(&name).ok_or_else(|| Refusal::absent(NO_UNIT))?;
    let mut unit = unit(&view, &name, known);
    // Of a unit that is on many machines there is no one state; clients wait for what it is to be.
    unit.current_state = unit.current_state.filter(|_| !known.is_global());
    let is_canonical = UnitFile::parse(&known.record.text).is_ok_and(|file| file.canonical() == file.text());
    unit.text = (!is_canonical).then(|| known.record.text.clone());
    Ok(found(&unit))
}

fn unit(view: &View, name: &UnitName, known: &Known) -> v1::Unit {
    let options = UnitFile::parse(&known.record.text).map(|file| file.options().to_vec());
    let current = if known.is_global() { Phase::Inactive } else { view.current(name) };
    v1::Unit {
        name: name.to_string(),
        options: options.unwrap_or_default(),
        desired_state: Some(known.record.desired),
        current_state: Some(current),
        machine_id: known.record.machine.clone(),
        text: None,
        wish: known.record.wish.clone(),
    }
}

pub(super) async fn set<R: Registry>(api: &Api<R>, name: &str, body: &[u8]) -> Result<Response, Trouble> {
    let request = UnitRequest::parse(name, body)?;
    change(api, &request.name, |existing| decide(existing, &request)).await
}

pub(super) async fn destroy<R: Registry>(api: &Api<R>, name: &str) -> Result<Response, Trouble> {
    let name = UnitName::parse(name).map_err(|_| Refusal::absent(NO_UNIT))?;
    change(api, &name, |existing| change::destroy(&name, existing)).await
}

pub(super) async fn relocate<R: Registry>(
    api: &Api<R>,
    name: &str,
    body: &[u8],
) -> Result<Response, Trouble> {
    let body: MoveBody = parse_object(body)?;
    let name = UnitName::parse(name).map_err(|_| Refusal::absent(NO_UNIT))?;
    let mut to = machine_id(&body.machineid);
    if let Some(id) = &to {
        let keys = [Key::Machine(id.clone()).to_string(), Key::Node(id.clone()).to_string()];
        let is_known = !api.registry.read(&keys).await?.entries.is_empty();
        to = to.filter(|_| is_known);
    }
    change(api, &name, |existing| change::relocate(&name, existing, to.as_ref())).await
}

/// Does to a unit what is decided from how it is, at once or not at all.
async fn change<R: Registry>(
    api: &Api<R>,
    name: &UnitName,
    decide: impl Fn(Option<&UnitRecord>) -> Result<Change, Refusal>,
) -> Result<Response, Trouble> {
    let key = Key::Unit(name.clone());
    let mut tried: Option<Change> = None;
    for _ in 0..ATTEMPTS {
        let page = api.registry.read(&[key.to_string()]).await?;
        let entry = page.entries.first();
        let existing: Option<UnitRecord> = entry.map(parse).transpose()?;
        // A registry that was asked twice, as its first answer was lost, says no to the second time.
        if let Some(tried) = tried.filter(|tried| tried.after == existing) {
            return Ok(done(&tried));
        }
        let change = decide(existing.as_ref())?;
        if change.after == existing {
            return Ok(done(&change));
        }
        let compare = unchanged(&key, entry.map_or(0, |entry| entry.revision));
        if api.registry.commit(vec![compare], change.ops.clone()).await?.succeeded {
            return Ok(done(&change));
        }
        tried = Some(change);
    }
    Err(Trouble::Overtaken)
}

fn done(change: &Change) -> Response {
    StatusCode::from_u16(change.status).unwrap_or(StatusCode::NO_CONTENT).into_response()
}

/// Ours: tells everything that is wrong in the registry.
pub(super) async fn check<R: Registry>(api: &Api<R>) -> Result<Response, Trouble> {
    let page = api.registry.read(&[Key::All.to_string()]).await?;
    Ok(found(&json!({ "findings": fsck(&page) })))
}
