//! Requests that are proved, sent on, repeated and judged.

use std::sync::PoisonError;
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap, RANGE, WWW_AUTHENTICATE};
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Response, StatusCode};
use rustls::RootCertStore;

use super::challenge::Challenge;
use super::error::whole;
use super::patience::Tries;
use super::place::{host, is_loopback};
use super::{Client, Error, Patience};
use crate::model::image::ImageName;

const LONGEST_MESSAGE: usize = 300;
const REDIRECTS: usize = 10;

#[derive(Debug)]
pub(super) struct Http {
    away: reqwest::Client,
    /// Never goes through a proxy.
    local: reqwest::Client,
}

/// One request below a repository.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) name: &'a ImageName,
    pub(super) path: &'a str,
    pub(super) what: &'a str,
    pub(super) accept: Option<&'a str>,
    /// Skips what came already.
    pub(super) from: u64,
}

impl Client {
    pub(super) fn http_for(&self, host: &str) -> Result<&reqwest::Client, Error> {
        let http = if let Some(http) = self.http.get() {
            http
        } else {
            let made = Http::new(self.patience())?;
            self.http.get_or_init(|| made)
        };
        Ok(if is_loopback(host) { &http.local } else { &http.away })
    }

    /// Reads a short answer, again if it breaks off.
    pub(super) async fn read(&self, ask: Ask<'_>, limit: u64) -> Result<(HeaderMap, Vec<u8>), Error> {
        let mut tries = Tries::new(self.patience());
        loop {
            let reading = async {
                let response = self.get(ask).await?;
                let headers = response.headers().clone();
                read_short(ask.name.registry(), ask.what, response, limit).await.map(|bytes| (headers, bytes))
            };
            match reading.await {
                Ok(read) => return Ok(read),
                Err(error) => tries.after(error).await?,
            }
        }
    }

    /// Asks once, and once more if the registry wants to know who asks.
    pub(super) async fn get(&self, ask: Ask<'_>) -> Result<Response, Error> {
        let name = ask.name;
        let response = self.send(ask).await?;
        if response.status() != StatusCode::UNAUTHORIZED || self.is_elsewhere(&response, name) {
            return self.judge(ask, response).await;
        }
        let headers = response.headers().get_all(WWW_AUTHENTICATE);
        let told: Vec<String> =
            headers.iter().filter_map(|value| Some(value.to_str().ok()?.to_owned())).collect();
        let challenge = Challenge::choose(told.iter().map(String::as_str)).ok_or_else(|| {
            Error::Challenge { registry: name.registry().to_owned(), challenge: told.join(", ") }
        })?;
        let asker = self.asker(name.registry()).await?;
        if !self.prove(name, challenge, &asker).await? {
            return Err(asker.refused(name, ask.what.to_owned(), message(response).await));
        }
        let response = self.send(ask).await?;
        if response.status() == StatusCode::UNAUTHORIZED && !self.is_elsewhere(&response, name) {
            return Err(asker.refused(name, ask.what.to_owned(), message(response).await));
        }
        self.judge(ask, response).await
    }

    async fn send(&self, ask: Ask<'_>) -> Result<Response, Error> {
        let host = host(ask.name.registry());
        let scheme = self.scheme(ask.name.registry()).await?;
        let url = format!("{scheme}://{host}/v2/{}/{}", ask.name.repository(), ask.path);
        let mut request = self.http_for(host)?.get(url);
        if let Some(proof) = self.proofs().known(ask.name) {
            request = request.header("authorization", proof);
        }
        if let Some(accept) = ask.accept {
            request = request.header(ACCEPT, accept);
        }
        if ask.from > 0 {
            request = request.header(RANGE, format!("bytes={}-", ask.from));
        }
        request.send().await.map_err(|source| Error::sent(ask.name.registry(), ask.what, source))
    }

    /// Returns whether an answer comes from where the registry sent us on to.
    fn is_elsewhere(&self, response: &Response, name: &ImageName) -> bool {
        let url = response.url();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", url.host_str().unwrap_or_default()) != host(name.registry())
    }

    async fn judge(&self, ask: Ask<'_>, response: Response) -> Result<Response, Error> {
        let status = response.status();
        if status.is_success() || (status == StatusCode::RANGE_NOT_SATISFIABLE && ask.from > 0) {
            return Ok(response);
        }
        let is_elsewhere = self.is_elsewhere(&response, ask.name);
        match Error::answered(ask.name.registry(), ask.what.to_owned(), response).await {
            // The place that we were sent to may be right only for a while; the registry knows a new one.
            Error::Login { registry, what, message, .. }
            | Error::Denied { registry, what, message }
            | Error::NotFound { registry, what, message }
                if is_elsewhere =>
            {
                let status = status.as_u16();
                Err(Error::Refused { registry, what, status, message, retry_after: None, may_pass: true })
            }
            error => Err(error),
        }
    }

    /// Finds out whether a registry of this machine speaks TLS; all others do.
    async fn scheme(&self, registry: &str) -> Result<&'static str, Error> {
        if !is_loopback(host(registry)) {
            return Ok("https");
        }
        let known = self.schemes.lock().unwrap_or_else(PoisonError::into_inner).get(registry).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let http = self.http_for(registry)?;
        let ping = |scheme| http.get(format!("{scheme}://{registry}/v2/")).send();
        let plain = ping("http").await;
        let scheme = match &plain {
            // This is what servers of HTTPS say to those who do not speak it, if they say anything.
            Ok(answer) if answer.status() == StatusCode::BAD_REQUEST => "https",
            Err(error) if !error.is_connect() && !error.is_timeout() => match ping("https").await {
                Err(error) if !whole(&error).contains("certificate") => "http",
                _ => "https",
            },
            _ => "http",
        };
        if let Err(source) = plain
            && scheme == "http"
        {
            return Err(Error::sent(registry, "its version", source));
        }
        self.schemes.lock().unwrap_or_else(PoisonError::into_inner).insert(registry.to_owned(), scheme);
        Ok(scheme)
    }
}

impl Http {
    fn new(patience: &Patience) -> Result<Self, Error> {
        let tls = tls()?;
        let builder = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .user_agent(concat!("lab/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(patience.connect)
                .read_timeout(patience.stall)
                .redirect(Policy::custom(follow))
                .referer(false)
        };
        let build =
            |builder: reqwest::ClientBuilder| builder.build().map_err(|source| Error::Setup { source });
        Ok(Self { away: build(builder())?, local: build(builder().no_proxy())? })
    }
}

impl Error {
    /// Returns the error of a request that got no answer.
    pub(super) fn sent(registry: &str, what: &str, source: reqwest::Error) -> Self {
        let registry = registry.to_owned();
        if source.is_connect() {
            Self::Unreachable { registry, source: source.without_url() }
        } else {
            // Addresses that we are sent on to may have secrets in them.
            Self::Broken { registry, what: what.to_owned(), source: source.without_url() }
        }
    }

    /// Returns the error that an answer is.
    pub(super) async fn answered(registry: &str, what: String, response: Response) -> Self {
        let registry = registry.to_owned();
        let status = response.status().as_u16();
        let seconds =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        let message = message(response).await;
        match status {
            401 => Self::Login { registry, what, message, source: None },
            403 => Self::Denied { registry, what, message },
            404 => Self::NotFound { registry, what, message },
            _ => {
                let may_pass = matches!(status, 408 | 429 | 500..);
                Self::Refused { registry, what, status, message, retry_after, may_pass }
            }
        }
    }
}

fn tls() -> Result<rustls::ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    // A host without any certificates can still speak to registries on loopback.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = rustls::crypto::ring::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|source| Error::Tls { source })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Goes where a registry keeps its blobs, but never from TLS to none.
fn follow(attempt: Attempt<'_>) -> Action {
    let was_secret = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    let is_safe = !was_secret || attempt.url().scheme() == "https";
    if attempt.previous().len() > REDIRECTS {
        attempt.error("it leads from one address to the next without end")
    } else if is_safe {
        attempt.follow()
    } else {
        attempt.error("it leads to an address without TLS")
    }
}

/// Reads an answer of which no more than `limit` is of use.
pub(super) async fn read_short(
    registry: &str,
    what: &str,
    mut response: Response,
    limit: u64,
) -> Result<Vec<u8>, Error> {
    let mut read = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(|source| Error::sent(registry, what, source))? {
        if read.len() as u64 + bytes.len() as u64 > limit {
            return Err(Error::TooLong { registry: registry.to_owned(), what: what.to_owned(), limit });
        }
        read.extend_from_slice(&bytes);
    }
    Ok(read)
}

/// Returns what a registry says about an error, in a line.
async fn message(response: Response) -> String {
    let body = read_short("", "", response, 1 << 16).await.unwrap_or_default();
    told(&body)
}

fn told(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let first = &json["errors"][0];
    let text = [&first["message"], &first["code"], &json["message"], &json["details"]]
        .into_iter()
        .find_map(|value| value.as_str().filter(|text| !text.is_empty()));
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.unwrap_or_default().chars().take(LONGEST_MESSAGE).map(clean).collect()
}
