//! From a request to its answer: contact with the registry, path, method, body.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::header::{CONTENT_TYPE, SERVER};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::answer::{Refusal, Trouble};
use super::page::Token;
use super::place::Place;
use super::{discovery, machines, states, units};
use crate::fleet::heart::Pulse;
use crate::fleet::metrics::Metrics;
use crate::fleet::registry::Registry;

/// What the server needs to answer.
#[derive(Debug, Clone)]
pub struct Api<R> {
    pub registry: R,
    pub pulse: watch::Receiver<Pulse>,
    /// Whether machines of this lab stop units when they have lost their lease.
    pub fence: bool,
    pub metrics: Arc<Metrics>,
}

/// More than a unit file with all of its options is.
const LONGEST_BODY: usize = 1 << 20;
const LONGEST_HEARD: usize = 16 << 20;
/// Bodies come over a socket of this machine, or through a tunnel.
const BODY_LIMIT: Duration = Duration::from_secs(30);
/// Longer than the registry is silent while it chooses another leader.
const SILENCE: Duration = Duration::from_secs(3);

/// fleet's version comes first: clients compare it with their own.
const SERVED_BY: &str = concat!("fleetd/1.0.0 (lab ", env!("CARGO_PKG_VERSION"), ")");

/// Returns all that the server answers. It has routes of its own, as each refusal has a form that clients read.
pub fn routes<R: Registry>(api: Api<R>) -> Router {
    Router::new().fallback(answer::<R>).with_state(api)
}

async fn answer<R: Registry>(State(api): State<Api<R>>, request: Request) -> Response {
    let mut response = dispatch(&api, request).await.unwrap_or_else(IntoResponse::into_response);
    response.headers_mut().insert(SERVER, HeaderValue::from_static(SERVED_BY));
    response
}

async fn dispatch<R: Registry>(api: &Api<R>, request: Request) -> Result<Response, Trouble> {
    let place = Place::of(request.uri().path());
    let method = request.method().as_str().to_owned();
    if (&place, method.as_str()) == (&Ok(Place::Metrics), "GET") {
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        return Ok(([(CONTENT_TYPE, kind)], api.metrics.render()).into_response());
    }
    api.check_contact(&method)?;
    let place = place?;
    match method.as_str() {
        "GET" => read(api, &place, request.uri()).await,
        "PUT" => write(api, &place, request).await,
        "DELETE" => remove(api, &place).await,
        "PATCH" if place == Place::Machines => machines::patch(api, &body(request).await?).await,
        _ => Err(place.refusal().into()),
    }
}

async fn read<R: Registry>(api: &Api<R>, place: &Place, uri: &Uri) -> Result<Response, Trouble> {
    let query = Parameters::of(uri);
    match place {
        Place::Discovery => Ok(discovery::answer()),
        Place::Machines => machines::list(api, query.token()?).await,
        Place::Nodes => machines::list_known(api, query.token()?).await,
        Place::Units => units::list(api, query.token()?).await,
        Place::Unit(name) => units::show(api, name).await,
        Place::States => {
            let wanted = states::Wanted { machine: query.first("machineID"), unit: query.first("unitName") };
            states::list(api, query.token()?, &wanted).await
        }
        Place::State(name) => states::show(api, name).await,
        Place::Fsck => units::check(api).await,
        place => Err(place.refusal().into()),
    }
}

async fn write<R: Registry>(api: &Api<R>, place: &Place, request: Request) -> Result<Response, Trouble> {
    if !matches!(place, Place::Unit(_) | Place::UnitMachine(_) | Place::Machine(_)) {
        return Err(place.refusal().into());
    }
    check_type(request.headers())?;
    let body = body(request).await?;
    match place {
        Place::Unit(name) => units::set(api, name, &body).await,
        Place::UnitMachine(name) => units::relocate(api, name, &body).await,
        Place::Machine(id) => machines::set(api, id, &body).await,
        place => Err(place.refusal().into()),
    }
}

async fn remove<R: Registry>(api: &Api<R>, place: &Place) -> Result<Response, Trouble> {
    match place {
        Place::Unit(name) => units::destroy(api, name).await,
        Place::Machine(id) => machines::forget(api, id).await,
        place => Err(place.refusal().into()),
    }
}

async fn body(request: Request) -> Result<Vec<u8>, Refusal> {
    let late = |_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
    timeout(BODY_LIMIT, whole(request.into_body())).await.map_err(late)?
}

/// Reads a body. Of one that is too long the rest is taken as well, within reason: who still sends does not
/// hear an answer.
async fn whole(body: Body) -> Result<Vec<u8>, Refusal> {
    let mut chunks = body.into_data_stream();
    let (mut read, mut length) = (Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Refusal::bad(format!("unable to read body: {error}")))?;
        length += chunk.len();
        if length <= LONGEST_BODY {
            read.extend_from_slice(&chunk);
        } else if length > LONGEST_HEARD {
            break;
        }
    }
    if length > LONGEST_BODY {
        let message = format!("request body exceeds maximum length ({LONGEST_BODY})");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    Ok(read)
}

fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let refused = |message: String| Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    let values: Vec<&HeaderValue> = headers.get_all(CONTENT_TYPE).iter().collect();
    let [value] = values[..] else {
        return refused(format!("expected 1 Content-Type, got {}", values.len()));
    };
    let kind = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("application/json") {
        return refused("only acceptable Content-Type is application/json".to_owned());
    }
    Ok(())
}

impl<R> Api<R> {
    /// While the registry has only been silent for a while a read may succeed, and does no harm; a write
    /// would leave its sender without knowing what has become of it.
    fn check_contact(&self, method: &str) -> Result<(), Trouble> {
        // There is none either while another machine has our id.
        let contact = self.pulse.borrow().contact.ok_or(Trouble::NoContact)?;
        let is_fresh = Instant::now() < contact.last + SILENCE;
        if is_fresh || method == "GET" { Ok(()) } else { Err(Trouble::NoContact) }
    }
}

/// What stands behind the `?` of a URL. What nobody asks for, such as `alt=json`, is not looked at.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn of(uri: &Uri) -> Self {
        Self(Query::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default())
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Returns the first value; `None` too if it is empty.
    fn first(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied().filter(|value| !value.is_empty())
    }

    fn token(&self) -> Result<Token, Refusal> {
        Token::read(&self.all("nextPageToken"))
    }
}
