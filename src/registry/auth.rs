//! Proves to registries who is asking: what worked last is kept for each repository.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::credentials::Secret;
use super::place::is_loopback;
use super::wire::read_short;
use super::{Client, Error};
use crate::exec;
use crate::model::image::ImageName;

const LARGEST_TOKEN: u64 = 1 << 20;

/// What to send along, by registry and repository.
#[derive(Debug, Default)]
pub(super) struct Proofs(Mutex<BTreeMap<(String, String), HeaderValue>>);

impl Proofs {
    pub(super) fn known(&self, name: &ImageName) -> Option<HeaderValue> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key(name)).cloned()
    }

    fn keep(&self, name: &ImageName, proof: HeaderValue) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key(name), proof);
    }
}

fn key(name: &ImageName) -> (String, String) {
    (name.registry().to_owned(), name.repository().to_owned())
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

/// Who is asking, once it has been looked up.
pub(super) struct Asker {
    secret: Option<Secret>,
    trouble: Option<exec::Error>,
}

impl Asker {
    /// Returns the error of a registry that is not content with this asker.
    pub(super) fn refused(self, name: &ImageName, what: String, message: String) -> Error {
        let registry = name.registry().to_owned();
        match self.secret {
            Some(_) => Error::WrongPassword { registry, message },
            None => Error::Login { registry, what, message, source: self.trouble },
        }
    }
}

impl Client {
    /// Answers a challenge, and remembers the answer.
    pub(super) async fn prove(
        &self,
        name: &ImageName,
        challenge: Challenge,
        asker: &Asker,
    ) -> Result<bool, Error> {
        let proof = match (challenge, &asker.secret) {
            (_, Some(Secret::Bearer(token))) => format!("Bearer {token}"),
            (Challenge::Basic, Some(Secret::Password { user, password })) => basic(user, password),
            (Challenge::Basic, _) => return Ok(false),
            (Challenge::Bearer { realm, service, scope }, secret) => {
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", name.repository()));
                let asked = Asked { realm, service, scope };
                match self.token(name, &asked, secret.as_ref()).await? {
                    Some(token) => format!("Bearer {token}"),
                    None => return Ok(false),
                }
            }
        };
        let Ok(mut proof) = HeaderValue::try_from(proof) else { return Ok(false) };
        proof.set_sensitive(true);
        self.proofs().keep(name, proof);
        Ok(true)
    }

    pub(super) async fn asker(&self, registry: &str) -> Result<Asker, Error> {
        let (secret, trouble) = self.credentials()?.find(registry).await;
        Ok(Asker { secret, trouble })
    }

    /// Asks a token server; it may refuse.
    async fn token(
        &self,
        name: &ImageName,
        asked: &Asked,
        secret: Option<&Secret>,
    ) -> Result<Option<String>, Error> {
        let registry = name.registry();
        let no_token = || Error::NoToken { registry: registry.to_owned(), realm: asked.realm.clone() };
        let realm = Url::parse(&asked.realm).map_err(|_| no_token())?;
        let host = realm.host_str().unwrap_or_default();
        // A password must not travel in the open, whatever a registry says.
        if realm.scheme() != "https" && !is_loopback(host) {
            return Err(no_token());
        }
        let http = self.http_for(host)?;
        let request = match secret {
            Some(Secret::Identity(token)) => asked.refresh(http.post(realm), token),
            Some(Secret::Password { user, password }) => {
                http.get(asked.url(realm)).header("authorization", basic(user, password))
            }
            Some(Secret::Bearer(_)) | None => http.get(asked.url(realm)),
        };
        let what = format!("a token for `{}`", name.repository());
        let response = request.send().await.map_err(|source| Error::sent(registry, &what, source))?;
        match response.status().as_u16() {
            200..300 => {}
            401 | 403 => return Ok(None),
            _ => return Err(Error::answered(registry, what, response).await),
        }
        let body = read_short(registry, &what, response, LARGEST_TOKEN).await?;
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| no_token())?;
        let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
        if token.is_empty() { Err(no_token()) } else { Ok(Some(token)) }
    }
}

/// What a token is asked for.
struct Asked {
    realm: String,
    service: Option<String>,
    scope: String,
}

impl Asked {
    fn url(&self, mut realm: Url) -> Url {
        let mut query = realm.query_pairs_mut();
        if let Some(service) = &self.service {
            query.append_pair("service", service);
        }
        query.append_pair("scope", &self.scope);
        drop(query);
        realm
    }

    fn refresh(&self, request: RequestBuilder, token: &str) -> RequestBuilder {
        let mut form = Url::parse("form:").expect("a scheme alone is a URL");
        form.query_pairs_mut()
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", token)
            .append_pair("service", self.service.as_deref().unwrap_or_default())
            .append_pair("scope", &self.scope)
            .append_pair("client_id", "lab");
        let body = form.query().unwrap_or_default().to_owned();
        request.header("content-type", "application/x-www-form-urlencoded").body(body)
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
