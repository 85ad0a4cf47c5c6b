//! Blobs on their way here: what breaks off goes on where it was.

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap};
use reqwest::{Response, StatusCode};
use tokio::sync::mpsc::Sender;

use super::patience::Tries;
use super::wire::Ask;
use super::{Client, Error};
use crate::http::Bytes;
use crate::model::image::{Digest, ImageName};

/// A try that brought this much was worth it: those before it are forgotten.
const WORTH: u64 = 1 << 20;

/// A blob that somebody wants. Manifests of schema 1 do not say how long theirs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedBlob {
    pub digest: Digest,
    pub size: Option<u64>,
}

/// What comes of a blob; without the last there is more of it.
#[derive(Debug)]
pub enum Chunk {
    Bytes(Bytes),
    End,
}

/// What an answer has of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    /// How much of the answer came before.
    skip: u64,
    /// The length of the whole blob, if it is told.
    whole: Option<u64>,
}

impl Client {
    /// Fetches a blob, but for the first `have` bytes, and hands on what comes.
    ///
    /// Length is checked here, but not the digest: only who has the beginning can do that. If nobody takes
    /// what comes any more, this ends without an error; who stopped taking knows why.
    pub async fn fetch(
        &self,
        name: &ImageName,
        blob: WantedBlob,
        mut have: u64,
        to: &Sender<Chunk>,
    ) -> Result<(), Error> {
        let mut tries = Tries::new(self.patience());
        let mut counted = have;
        while blob.size != Some(have) {
            match self.stream(name, blob, &mut have, to).await {
                Ok(()) => break,
                Err(error) => {
                    if have - counted >= WORTH {
                        counted = have;
                        tries.renew();
                    }
                    tries.after(error).await?;
                }
            }
        }
        drop(to.send(Chunk::End).await);
        Ok(())
    }

    /// Hands on as much as one answer brings.
    async fn stream(
        &self,
        name: &ImageName,
        blob: WantedBlob,
        have: &mut u64,
        to: &Sender<Chunk>,
    ) -> Result<(), Error> {
        let what = format!("the blob {}", blob.digest);
        let ask =
            Ask { name, path: &format!("blobs/{}", blob.digest), what: &what, accept: None, from: *have };
        let mut response = self.get(ask).await?;
        let Part { mut skip, whole } = part(name, blob, *have, &response)?;
        let broken = |source| Error::sent(name.registry(), &what, source);
        while let Some(mut bytes) = response.chunk().await.map_err(broken)? {
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            skip -= known as u64;
            let fresh = bytes.split_off(known);
            *have += fresh.len() as u64;
            if whole.is_some_and(|whole| *have > whole) {
                return Err(wrong_length(name, blob, whole, *have));
            }
            if !fresh.is_empty() && to.send(Chunk::Bytes(fresh)).await.is_err() {
                return Ok(());
            }
        }
        match whole {
            Some(whole) if *have < whole => {
                Err(Error::Short { registry: name.registry().to_owned(), what, got: *have })
            }
            _ => Ok(()),
        }
    }
}

fn wrong_length(name: &ImageName, blob: WantedBlob, whole: Option<u64>, got: u64) -> Error {
    let wanted = blob.size.or(whole).unwrap_or_default();
    Error::WrongLength { registry: name.registry().to_owned(), digest: blob.digest, wanted, got }
}

fn part(name: &ImageName, blob: WantedBlob, have: u64, response: &Response) -> Result<Part, Error> {
    let (from, whole) = place(response.status(), response.headers());
    let whole = match (blob.size, whole) {
        (Some(wanted), Some(told)) if told != wanted => return Err(wrong_length(name, blob, None, told)),
        (wanted, told) => wanted.or(told),
    };
    // Some begin elsewhere than they were asked to; what is behind a gap is of no use.
    let is_nothing_left = response.status() == StatusCode::RANGE_NOT_SATISFIABLE;
    if from > have || (is_nothing_left && whole != Some(have)) {
        return Err(wrong_length(name, blob, whole, have));
    }
    let skip = if is_nothing_left { u64::MAX } else { have - from };
    Ok(Part { skip, whole })
}

/// Returns where in the blob an answer begins, and how long the blob is.
fn place(status: StatusCode, headers: &HeaderMap) -> (u64, Option<u64>) {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let length = header(CONTENT_LENGTH.as_str()).parse().ok();
    if status == StatusCode::OK {
        return (0, length);
    }
    let range = header(CONTENT_RANGE.as_str()).trim_start_matches("bytes").trim();
    let (range, whole) = range.split_once('/').unwrap_or((range, ""));
    let from = range.split_once('-').and_then(|(from, _)| from.trim().parse().ok());
    (from.unwrap_or(0), whole.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_which_part_it_is() {
        let check = |status: u16, name: &'static str, value: &str, want| {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            assert_eq!(place(StatusCode::from_u16(status).unwrap(), &headers), want, "{value}");
        };
        check(200, "content-length", "10", (0, Some(10)));
        check(200, "x", "", (0, None));
        check(206, "content-range", "bytes 5-9/10", (5, Some(10)));
        check(206, "content-range", "bytes 5-9/*", (5, None));
        check(206, "content-range", "nonsense", (0, None));
        check(416, "content-range", "bytes */10", (0, Some(10)));
    }
}
