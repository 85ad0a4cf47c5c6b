//! A server that answers as a test tells it to, however badly.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::model::image::ImageName;

#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    /// How often this path was asked for before.
    pub(crate) before: usize,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Returns where the range begins that was asked for.
    pub(crate) fn from(&self) -> usize {
        let from = self.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
        from.map_or(0, |from| from.parse().unwrap())
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// How much of the body is really sent, and whether it ends then.
    sent: usize,
    is_stalled: bool,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status, headers: Vec::new(), sent: body.len(), body, is_stalled: false }
    }

    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, body)
    }

    /// Returns the part of a blob that was asked for.
    pub(crate) fn range(asked: &Asked, blob: &[u8]) -> Self {
        let from = asked.from();
        if from == 0 {
            return Self::ok(blob);
        }
        let range = format!("bytes {from}-{}/{}", blob.len() - 1, blob.len());
        Self::new(206, &blob[from..]).header("content-range", &range)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Closes the connection in the middle.
    pub(crate) fn cut(self, after: usize) -> Self {
        Self { sent: after, ..self }
    }

    /// Says nothing more from there, and does not end.
    pub(crate) fn stall(self, after: usize) -> Self {
        Self { sent: after, is_stalled: true, ..self }
    }
}

/// Ends when it is dropped.
pub(crate) struct Rogue {
    task: JoinHandle<()>,
    pub(crate) host: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Rogue {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), asked.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, log) = (answer.clone(), log.clone());
                // Whoever asks may go away at any time.
                tokio::spawn(async move { drop(serve(stream, &*answer, &log).await) });
            }
        });
        Self { task, host, asked }
    }

    pub(crate) fn name(&self, rest: &str) -> ImageName {
        ImageName::parse(&format!("{}/{rest}", self.host)).unwrap()
    }

    /// Returns all requests for paths with this in them.
    pub(crate) fn asked(&self, part: &str) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.path.contains(part)).cloned().collect()
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    stream: TcpStream,
    answer: &(dyn Fn(&Asked) -> Answer + Send + Sync),
    log: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let headers: BTreeMap<String, String> = lines
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let told = {
        let mut log = log.lock().unwrap();
        let before = log.iter().filter(|asked| asked.path == path).count();
        let body = String::from_utf8(body).unwrap();
        let asked = Asked { path, headers, body, before };
        log.push(asked.clone());
        answer(&asked)
    };
    let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", told.status);
    if !told.headers.iter().any(|(name, _)| name == "content-length" || name == "transfer-encoding") {
        head += &format!("content-length: {}\r\n", told.body.len());
    }
    told.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    stream.write_all(format!("{head}\r\n").as_bytes()).await?;
    stream.write_all(&told.body[..told.sent]).await?;
    stream.flush().await?;
    if told.is_stalled {
        std::future::pending::<()>().await;
    }
    stream.shutdown().await
}
