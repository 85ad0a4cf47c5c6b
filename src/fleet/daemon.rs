//! The fleet of one machine: heart, engine, agent and API, joined.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use tokio::sync::watch;

use super::agent::{self, Agent, Units};
use super::api::{Api, routes};
use super::engine::Engine;
use super::heart::{Heart, Notebook, Peers, Timing, pulse};
use super::metrics::Metrics;
use super::placement;
use super::records::{MachineId, Presence};
use super::registry::Registry;

/// What a machine brings to the fleet.
pub struct Member<R, U, N, P> {
    pub registry: R,
    pub units: U,
    pub notebook: N,
    pub peers: P,
    pub machine: MachineId,
    /// What it says of itself, which may change.
    pub presence: watch::Receiver<Presence>,
    pub timing: Timing,
    pub fence: bool,
}

/// Returns the API to serve, and the work that goes on until it is dropped. Units go on then.
pub fn member<R, U, N, P>(member: Member<R, U, N, P>) -> (Router, impl Future<Output = ()> + Send)
where
    R: Registry,
    U: Units,
    N: Notebook,
    P: Peers,
{
    let Member { registry, units, notebook, peers, machine, presence, timing, fence } = member;
    let (beats, pulse) = pulse(timing);
    let metrics = Arc::new(Metrics::default());
    let api = Api { registry: registry.clone(), pulse: pulse.clone(), fence, metrics: Arc::clone(&metrics) };
    let engine = Engine {
        registry: registry.clone(),
        machine: machine.clone(),
        pulse: pulse.clone(),
        timing,
        fence,
        metrics,
        plan: placement::plan,
    };
    let agent = Agent {
        registry: registry.clone(),
        units,
        machine: machine.clone(),
        pulse,
        presence: presence.clone(),
        timing,
        fence,
        plan: agent::plan,
    };
    let heart = Heart { registry, machine, presence, notebook, peers, timing };
    let work = async move {
        tokio::join!(heart.run(beats), engine.run(), agent.run());
    };
    (routes(api), work)
}
