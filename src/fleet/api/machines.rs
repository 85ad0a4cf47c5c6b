//! `/fleet/v1/machines`: machines as clients see them, and what is said of them. Ours: those that are away,
//! and whether one takes units.

use std::collections::BTreeMap;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::answer::{Refusal, Trouble, found};
use super::page::Token;
use super::patch::{Patch, machine_id};
use super::request::parse_object;
use super::routes::Api;
use crate::fleet::records::{MachineId, NodeRecord, Presence, Scheduling};
use crate::fleet::registry::{Entry, Key, Page, Registry, delete, parse, put, unchanged};
use crate::fleet::v1;
use crate::fleet::view::View;

/// How often a change is made anew because somebody else was faster.
const ATTEMPTS: usize = 10;

pub(super) async fn list<R: Registry>(api: &Api<R>, token: Token) -> Result<Response, Trouble> {
    let view = view(api).await?;
    let (ids, next_page_token) = token.cut(view.presences.keys().collect());
    let machines = ids.into_iter().map(|id| machine(&view, id, api.fence)).collect();
    Ok(found(&v1::MachinePage { machines, next_page_token }))
}

/// Lists machines that are away as well.
pub(super) async fn list_known<R: Registry>(api: &Api<R>, token: Token) -> Result<Response, Trouble> {
    let view = view(api).await?;
    let (ids, next_page_token) = token.cut(view.machines().collect());
    let machines = ids.into_iter().map(|id| {
        let present = Some(view.presences.contains_key(id));
        v1::Machine { present, ..machine(&view, id, api.fence) }
    });
    Ok(found(&v1::MachinePage { machines: machines.collect(), next_page_token }))
}

async fn view<R: Registry>(api: &Api<R>) -> Result<View, Trouble> {
    let page = api.registry.read(&[Key::Machines.to_string(), Key::Nodes.to_string()]).await?;
    Ok(View::of(&page))
}

fn machine(view: &View, id: &MachineId, fence: bool) -> v1::Machine {
    let node = view.nodes.get(id).cloned().unwrap_or_default();
    let presence = view.presences.get(id);
    let (name, address) = match presence {
        Some(presence) => (presence.name.clone(), presence.address.clone()),
        None => (node.name, node.address),
    };
    v1::Machine {
        id: id.to_string(),
        metadata: view.metadata(id),
        primary_ip: address,
        name: Some(name).filter(|name| !name.is_empty()),
        scheduling: Some(node.scheduling).filter(|scheduling| *scheduling != Scheduling::Open),
        memory_bytes: presence.and_then(|presence| presence.memory_bytes),
        fence: Some(fence),
        present: None,
    }
}

pub(super) async fn patch<R: Registry>(api: &Api<R>, body: &[u8]) -> Result<Response, Trouble> {
    let machines = Patch::parse(body)?.by_machine();
    let change = |id: &MachineId, node: &mut NodeRecord| {
        node.metadata.extend(machines.get(id).cloned().unwrap_or_default());
    };
    change_nodes(api, machines.keys().cloned().collect(), change).await?;
    // fleet says what nothing is made of, and clients may ask.
    let kind = HeaderValue::from_static("application/json");
    Ok((StatusCode::NO_CONTENT, [(CONTENT_TYPE, kind)]).into_response())
}

pub(super) async fn set<R: Registry>(api: &Api<R>, id: &str, body: &[u8]) -> Result<Response, Trouble> {
    let wanted: v1::MachineChange = parse_object(body)?;
    let unknown = || Refusal::absent("machine does not exist");
    let id = machine_id(id).ok_or_else(unknown)?;
    let keys = [Key::Machine(id.clone()), Key::Node(id.clone())];
    let page = api.registry.read(&keys.map(|key| key.to_string())).await?;
    let (presence, node) = (entry(&page, &Key::Machine(id.clone())), entry(&page, &Key::Node(id.clone())));
    if presence.is_none() && node.is_none() {
        return Err(unknown().into());
    }
    let presence: Option<Presence> = presence.map(parse).transpose()?;
    let change = |_: &MachineId, node: &mut NodeRecord| {
        if let Some(presence) = &presence {
            node.name.clone_from(&presence.name);
            node.address.clone_from(&presence.address);
        }
        node.scheduling = wanted.scheduling;
    };
    change_nodes(api, vec![id], change).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Changes what lasts of machines, all at once or not at all.
async fn change_nodes<R: Registry>(
    api: &Api<R>,
    ids: Vec<MachineId>,
    change: impl Fn(&MachineId, &mut NodeRecord),
) -> Result<(), Trouble> {
    let keys: BTreeMap<MachineId, Key> = ids.into_iter().map(|id| (id.clone(), Key::Node(id))).collect();
    let names: Vec<String> = keys.values().map(Key::to_string).collect();
    for _ in 0..ATTEMPTS {
        let page = api.registry.read(&names).await?;
        let mut compares = Vec::new();
        let mut ops = Vec::new();
        for (id, key) in &keys {
            let entry = entry(&page, key);
            let known: NodeRecord = entry.map(parse).transpose()?.unwrap_or_default();
            let mut node = known.clone();
            change(id, &mut node);
            compares.push(unchanged(key, entry.map_or(0, |entry| entry.revision)));
            if node != known || entry.is_none() {
                ops.push(put(key, &node, None));
            }
        }
        if ops.is_empty() || api.registry.commit(compares, ops).await?.succeeded {
            return Ok(());
        }
    }
    Err(Trouble::Overtaken)
}

fn entry<'a>(page: &'a Page, key: &Key) -> Option<&'a Entry> {
    let key = key.to_string();
    page.entries.iter().find(|entry| entry.key == key)
}

/// Forgets a machine that is away, so that nobody waits for it any more.
pub(super) async fn forget<R: Registry>(api: &Api<R>, id: &str) -> Result<Response, Trouble> {
    let gone = || Ok(StatusCode::NO_CONTENT.into_response());
    let Some(id) = machine_id(id) else { return gone() };
    let (presence, node) = (Key::Machine(id.clone()), Key::Node(id.clone()));
    let keys = [presence.to_string(), node.to_string(), Key::Targets(id).to_string()];
    for _ in 0..ATTEMPTS {
        let page = api.registry.read(&keys).await?;
        if entry(&page, &presence).is_some() {
            return Err(Refusal::conflict("machine is present").into());
        }
        let units = page.entries.iter().filter_map(|entry| match Key::parse(&entry.key) {
            Some(Key::Target(_, unit)) => Some(unit.to_string()),
            _ => None,
        });
        let units: Vec<String> = units.collect();
        if !units.is_empty() {
            return Err(Refusal::conflict(format!("units are on the machine: {}", units.join(", "))).into());
        }
        let Some(entry) = entry(&page, &node) else { return gone() };
        let compares = vec![unchanged(&presence, 0), unchanged(&node, entry.revision)];
        if api.registry.commit(compares, vec![delete(&node)]).await?.succeeded {
            return gone();
        }
    }
    Err(Trouble::Overtaken)
}
