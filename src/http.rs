//! One HTTP/1 connection over any stream: a socket here, or a channel through ssh to one elsewhere.

use std::io;
use std::time::Duration;

use futures_util::Stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
pub use hyper::body::Bytes;
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the connection broke")]
    Broken { source: hyper::Error },
    #[error("`{path}` is not a path of a URL")]
    BadPath { path: String, source: hyper::http::Error },
    #[error("the answer was {status}")]
    Refused { status: u16 },
    #[error("no answer within {} s", limit.as_secs_f32())]
    TimedOut { limit: Duration },
}

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// What the other side calls itself, where it says so.
    pub server: Option<String>,
    pub body: Bytes,
}

impl Reply {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim_end().to_owned()
    }
}

/// An answer that comes line by line, unless it is a refusal.
#[derive(Debug)]
pub enum Answer {
    Lines(Lines),
    Refused(Reply),
}

/// A header beside those that every request has.
pub type Header<'a> = (&'static str, &'a str);

type Body = BoxBody<Bytes, io::Error>;

fn whole_body(bytes: Vec<u8>) -> Body {
    Full::from(bytes).map_err(|never| match never {}).boxed()
}

/// A connection that is kept for many requests, one after the other. After an error it is of no more
/// use. Its task lives on the runtime that made it.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Body>,
    limit: Duration,
    host: String,
}

impl Connection {
    pub async fn over<S>(stream: S) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broken = |source| Error::Broken { source };
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Its error reaches whoever waits for the answer.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, limit: LIMIT, host: "localhost".to_owned() })
    }

    /// Changes whom the other side is told that it is; `localhost` unless told.
    #[must_use]
    pub fn with_host(self, host: impl Into<String>) -> Self {
        Self { host: host.into(), ..self }
    }

    /// Changes how long a whole answer may take; 2 s unless told.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    pub fn limit(&self) -> Duration {
        self.limit
    }

    pub async fn get(&mut self, path: &str) -> Result<Reply, Error> {
        self.whole(Method::GET, path, &[], Vec::new()).await
    }

    /// Asks for an answer of which no more is read than is wanted; only its beginning has a limit.
    pub async fn pieces(&mut self, path: &str) -> Result<Pieces, Error> {
        let limit = self.limit;
        let response = timeout(limit, self.send(Method::GET, path, &[], whole_body(Vec::new()))).await;
        let response = response.map_err(|_| Error::TimedOut { limit })??;
        Ok(Pieces { status: response.status().as_u16(), body: response.into_body() })
    }

    pub async fn post(&mut self, path: &str, json: Vec<u8>) -> Result<Reply, Error> {
        self.post_with(path, &[], json).await
    }

    pub async fn post_with(
        &mut self,
        path: &str,
        headers: &[Header<'_>],
        json: Vec<u8>,
    ) -> Result<Reply, Error> {
        self.whole(Method::POST, path, headers, json).await
    }

    pub async fn put(&mut self, path: &str, json: Vec<u8>) -> Result<Reply, Error> {
        self.whole(Method::PUT, path, &[], json).await
    }

    pub async fn delete(&mut self, path: &str) -> Result<Reply, Error> {
        self.whole(Method::DELETE, path, &[], Vec::new()).await
    }

    /// Asks for an answer that comes line by line; only its beginning has a limit.
    pub async fn lines(&mut self, path: &str) -> Result<Lines, Error> {
        let limit = self.limit;
        let response = timeout(limit, self.send(Method::GET, path, &[], whole_body(Vec::new()))).await;
        let response = response.map_err(|_| Error::TimedOut { limit })??;
        Lines::of(response)
    }

    /// Sends a question of which the answer comes line by line; only its beginning has a limit.
    pub async fn post_lines(
        &mut self,
        path: &str,
        headers: &[Header<'_>],
        json: Vec<u8>,
    ) -> Result<Answer, Error> {
        let limit = self.limit;
        let beginning = async {
            let response = self.send(Method::POST, path, headers, whole_body(json)).await?;
            if response.status().is_success() {
                return Lines::of(response).map(Answer::Lines);
            }
            whole_reply(response).await.map(Answer::Refused)
        };
        timeout(limit, beginning).await.map_err(|_| Error::TimedOut { limit })?
    }

    /// Sends something of any length and returns the answer, which comes line by line and may begin
    /// before all is sent.
    pub async fn post_stream<S>(&mut self, path: &str, body: S) -> Result<Lines, Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + Sync + 'static,
    {
        let frames = futures_util::TryStreamExt::map_ok(body, Frame::data);
        Lines::of(self.send(Method::POST, path, &[], StreamBody::new(frames).boxed()).await?)
    }

    async fn whole(
        &mut self,
        method: Method,
        path: &str,
        headers: &[Header<'_>],
        body: Vec<u8>,
    ) -> Result<Reply, Error> {
        let limit = self.limit;
        let asking = async { whole_reply(self.send(method, path, headers, whole_body(body)).await?).await };
        timeout(limit, asking).await.map_err(|_| Error::TimedOut { limit })?
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[Header<'_>],
        body: Body,
    ) -> Result<Response<Incoming>, Error> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("content-type", "application/json");
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .body(body)
            .map_err(|source| Error::BadPath { path: path.to_owned(), source })?;
        let broken = |source| Error::Broken { source };
        self.sender.ready().await.map_err(broken)?;
        self.sender.send_request(request).await.map_err(broken)
    }
}

async fn whole_reply(response: Response<Incoming>) -> Result<Reply, Error> {
    let status = response.status().as_u16();
    let server = response.headers().get("server").and_then(|name| name.to_str().ok()).map(str::to_owned);
    let body = response.into_body().collect().await.map_err(|source| Error::Broken { source })?;
    Ok(Reply { status, server, body: body.to_bytes() })
}

/// An answer that comes line by line, for as long as it takes.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    pending: Vec<u8>,
}

impl Lines {
    fn of(response: Response<Incoming>) -> Result<Self, Error> {
        let status = response.status();
        if !status.is_success() {
            return Err(Error::Refused { status: status.as_u16() });
        }
        Ok(Self { body: response.into_body(), pending: Vec::new() })
    }

    /// Returns what came after the end of the last whole line.
    pub fn rest(&self) -> &[u8] {
        &self.pending
    }

    /// Returns the next whole line without its end; `None` after the last. A call that is dropped
    /// before it returns has lost nothing.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Ok(Some(Bytes::from(line).slice(..end)));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(source)) => return Err(Error::Broken { source }),
                Some(Ok(frame)) => self.pending.extend(frame.data_ref().into_iter().flatten()),
            }
        }
    }
}

/// An answer that comes piece by piece, whatever its status.
#[derive(Debug)]
pub struct Pieces {
    pub status: u16,
    body: Incoming,
}

impl Pieces {
    /// Returns what came next; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(source)) => return Err(Error::Broken { source }),
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    use super::*;

    #[tokio::test]
    async fn answers_come_whole_one_after_the_other() {
        let (ours, theirs) = tokio::io::duplex(4096);
        let mut connection = Connection::over(ours).await.unwrap();
        let mut lines = BufReader::new(theirs).lines();
        for path in ["/x", "/y"] {
            let answering = async {
                assert_eq!(lines.next_line().await.unwrap().unwrap(), format!("GET {path} HTTP/1.1"));
                while lines.next_line().await.unwrap().unwrap() != "" {}
                let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nnone\n";
                lines.get_mut().write_all(answer).await.unwrap();
            };
            let (reply, ()) = tokio::join!(connection.get(path), answering);
            let reply = reply.unwrap();
            assert_eq!((reply.status, reply.is_success(), reply.text().as_str()), (404, false, "none"));
        }
    }

    #[tokio::test]
    async fn lines_come_as_they_are_sent_and_the_rest_is_kept() {
        let (ours, theirs) = tokio::io::duplex(4096);
        let mut connection = Connection::over(ours).await.unwrap();
        let mut received = BufReader::new(theirs).lines();
        let answering = async {
            while received.next_line().await.unwrap().unwrap() != "x-wish: soon" {}
            received.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\na\nb\nend").await
        };
        let asking = connection.post_lines("/x", &[("x-wish", "soon")], b"{}".to_vec());
        let (answer, written) = tokio::join!(asking, answering);
        written.unwrap();
        let Ok(Answer::Lines(mut lines)) = answer else { panic!("{answer:?}") };
        assert_eq!(lines.next().await.unwrap().as_deref(), Some(&b"a"[..]));
        assert_eq!(lines.next().await.unwrap().as_deref(), Some(&b"b"[..]));
        assert_eq!(lines.next().await.unwrap(), None);
        assert_eq!(lines.rest(), b"end");
    }

    #[tokio::test]
    async fn silence_and_a_broken_line_are_told_apart() {
        let (ours, theirs) = tokio::io::duplex(4096);
        let limit = Duration::from_millis(5);
        let mut connection = Connection::over(ours).await.unwrap().with_limit(limit);
        assert!(matches!(connection.get("/x").await, Err(Error::TimedOut { .. })));

        drop(theirs);
        assert!(matches!(connection.get("/x").await, Err(Error::Broken { .. })));
        assert!(matches!(connection.get("no path").await, Err(Error::BadPath { .. })));
    }
}
