//! A server on a socket of its own, a client that says just what it is told to, and stand-ins for the engine
//! and the agents.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::fleet::api::{Api, routes};
use crate::fleet::heart::{Contact, Pulse};
use crate::fleet::metrics::Metrics;
use crate::fleet::records::{MachineId, Phase, Presence, Report, UnitRecord};
use crate::fleet::registry::{Key, MemoryRegistry, Op, Registry, delete, fsck, put};
use crate::fleet::unit::{UnitFile, UnitName};
use crate::fleet::view::View;

const LIMIT: Duration = Duration::from_secs(10);

pub struct Server {
    pub registry: MemoryRegistry,
    pub pulse: watch::Sender<Pulse>,
    pub metrics: Arc<Metrics>,
    folder: TempDir,
    task: JoinHandle<io::Result<()>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    #[track_caller]
    pub fn is(&self, status: u16) {
        assert_eq!((self.status, self.body.as_str()), (status, ""), "{self:?}");
    }

    #[track_caller]
    pub fn found(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    #[track_caller]
    pub fn refused(&self, status: u16, message: &str) {
        let want = json!({ "error": { "code": status, "message": message } });
        assert_eq!((self.status, self.json()), (status, want));
    }
}

pub fn in_contact() -> Pulse {
    let now = Instant::now();
    let contact = Some(Contact { since: now, last: now, is_regained: false });
    Pulse { lease: Some(1), sure_until: now + Duration::from_secs(3), contact }
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(|registry| registry).await
    }

    /// Serves from what `wrap` makes of a registry.
    pub async fn start_with<R: Registry>(wrap: impl FnOnce(MemoryRegistry) -> R) -> Self {
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let (pulse, told) = watch::channel(in_contact());
        let (registry, metrics) = (MemoryRegistry::new(), Arc::new(Metrics::default()));
        let (wrapped, counts) = (wrap(registry.clone()), Arc::clone(&metrics));
        let router = routes(Api { registry: wrapped, pulse: told, fence: true, metrics: counts });
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        let server = Self { registry, pulse, metrics, folder, task };
        server.join("m1", "10.0.0.1").await;
        server
    }

    /// Sends bytes as they are and hangs up; returns when the server has done so too.
    pub async fn scream(&self, bytes: &[u8]) {
        let screaming = async {
            let mut stream = self.say(bytes).await;
            let _ = stream.shutdown().await;
            listen(stream).await
        };
        timeout(LIMIT, screaming).await.expect("the server hangs up in time");
    }

    pub async fn say(&self, bytes: &[u8]) -> UnixStream {
        let mut stream = UnixStream::connect(self.folder.path().join("s")).await.unwrap();
        // The server may refuse before it has read all of it.
        let _ = stream.write_all(bytes).await;
        stream
    }

    pub async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        let talking = async { listen(self.say(&[head.as_bytes(), body].concat()).await).await };
        let answer = timeout(LIMIT, talking).await.expect("the server answers in time");
        Reply::parse(&answer).unwrap_or_else(|| panic!("no answer to {method} {path}: {answer:?}"))
    }

    pub async fn ask(&self, method: &str, path: &str) -> Reply {
        self.send(method, &format!("/fleet/v1/{path}"), "", b"").await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.put_text(path, &body.to_string()).await
    }

    pub async fn put_text(&self, path: &str, body: &str) -> Reply {
        let kind = "Content-Type: application/json\r\n";
        self.send("PUT", &format!("/fleet/v1/{path}"), kind, body.as_bytes()).await
    }

    pub async fn patch(&self, body: &Value) -> Reply {
        self.send("PATCH", "/fleet/v1/machines", "", body.to_string().as_bytes()).await
    }

    /// Makes a unit with one option.
    pub async fn create(&self, name: &str, desired: &str) {
        let body = json!({ "options": hello("a"), "desiredState": desired });
        self.put(&format!("units/{name}"), &body).await.is(201);
    }

    pub async fn write(&self, ops: Vec<Op>) {
        assert!(self.registry.commit(Vec::new(), ops).await.unwrap().succeeded);
    }

    pub async fn join(&self, id: &str, address: &str) {
        let presence = Presence {
            name: format!("node-{id}"),
            address: address.to_owned(),
            metadata: [("zone".to_owned(), "a".to_owned())].into(),
            memory_bytes: Some(1 << 30),
            version: "1".to_owned(),
        };
        self.write(vec![put(&Key::Machine(MachineId::new(id)), &presence, None)]).await;
    }

    pub async fn leave(&self, id: &str) {
        self.write(vec![delete(&Key::Machine(MachineId::new(id)))]).await;
    }

    pub fn record(&self, name: &str) -> UnitRecord {
        View::of(&self.registry.dump()).units[name].record.clone()
    }

    /// Reports a unit from a machine.
    pub async fn report(&self, name: &str, id: &str, reached: Phase) {
        let record = self.record(name);
        let (active, sub) =
            if reached == Phase::Launched { ("active", "running") } else { ("inactive", "dead") };
        let report = Report {
            load: "loaded".to_owned(),
            active: active.to_owned(),
            sub: sub.to_owned(),
            hash: UnitFile::parse(&record.text).unwrap().hash(),
            reached,
        };
        let key = Key::State(UnitName::parse(name).unwrap(), MachineId::new(id));
        self.write(vec![put(&key, &report, None)]).await;
    }

    /// Puts a unit on a machine, as the engine does, or takes it away from there.
    pub async fn assign(&self, name: &str, id: Option<&str>) {
        let old = self.record(name);
        let name = UnitName::parse(name).unwrap();
        let record = UnitRecord { machine: id.map(MachineId::new), ..old.clone() };
        let target = |machine| Key::Target(machine, name.clone());
        let mut ops = vec![put(&Key::Unit(name.clone()), &record, None)];
        let left = old.machine.filter(|machine| record.machine.as_ref() != Some(machine));
        ops.extend(left.map(|machine| delete(&target(machine))));
        ops.extend(record.machine.clone().map(|machine| put(&target(machine), &record.order(), None)));
        self.write(ops).await;
    }

    /// Does for every unit what engine and agent of `m1` would.
    pub async fn settle(&self) {
        let view = View::of(&self.registry.dump());
        for (name, reports) in &view.reports {
            let is_wanted = view.units.get(name).is_some_and(|unit| unit.record.desired != Phase::Inactive);
            for machine in reports.keys().filter(|_| !is_wanted) {
                self.write(vec![delete(&Key::State(name.clone(), machine.clone()))]).await;
            }
        }
        for (name, unit) in &view.units {
            let is_wanted = unit.record.desired != Phase::Inactive;
            if !unit.is_global() {
                self.assign(name.as_str(), is_wanted.then_some("m1")).await;
            }
            if is_wanted {
                self.report(name.as_str(), "m1", unit.record.desired).await;
            }
        }
    }

    #[track_caller]
    pub fn is_sound(&self) {
        assert_eq!(fsck(&self.registry.dump()), []);
    }
}

async fn listen(mut stream: UnixStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn option(section: &str, name: &str, value: &str) -> Value {
    json!({ "section": section, "name": name, "value": value })
}

pub fn hello(word: &str) -> Value {
    json!([option("Service", "ExecStart", &format!("/bin/echo {word}"))])
}

pub fn global() -> Value {
    json!([option("Service", "ExecStart", "/bin/true"), option("X-Fleet", "Global", "true")])
}
