//! The fleet of a lab, spoken to as its clients of old did: plain HTTP over a socket that ssh forwards, in the
//! order in which they ask. It shares no code with `lab`'s own client.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use camino::Utf8PathBuf;
use lab::exec::Cmd;
use serde_json::{Value, json};

use super::wait::try_until;
use super::{Running, TestLab, wait_until};

/// What clients wait for before they give up; the tests of old have the same.
pub const PATIENCE: Duration = Duration::from_secs(15);

static TUNNELS: AtomicU32 = AtomicU32::new(0);

pub struct Fleet<'a> {
    lab: &'a TestLab,
    socket: Utf8PathBuf,
    _tunnel: Running,
}

/// An answer: its status and what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl TestLab {
    /// Reaches the fleet through a node.
    #[track_caller]
    pub fn fleet(&self, node: &str) -> Fleet<'_> {
        let config = self.ok(["ssh-config", "--path"]);
        let socket = self.file(&format!("fleet-{}.sock", TUNNELS.fetch_add(1, Ordering::Relaxed)));
        let forward = format!("{socket}:/var/run/fleet.sock");
        let ssh =
            Cmd::new("ssh").args(["-F", &config, "-N", "-o", "ExitOnForwardFailure=yes", "-L", &forward]);
        let tunnel = Running::start(&self.in_lab(ssh.arg(node)), self.project().as_std_path());
        let fleet = Fleet { lab: self, socket, _tunnel: tunnel };
        wait_until("the fleet answers", || {
            fleet.try_ask("GET", "/fleet/v1/machines", None).filter(|answer| answer.status == 200)
        });
        fleet
    }
}

/// Speaks one request over any stream and reads the answer to its end.
pub fn speak(stream: &mut (impl Read + Write), request: &str) -> std::io::Result<Answer> {
    stream.write_all(request.as_bytes())?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let (headers, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = headers.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("no answer: {text}")))?;
    Ok(Answer { status, headers: headers.to_owned(), body: body.to_owned() })
}

/// Writes a request as the client of old does.
pub fn request(method: &str, path: &str, body: Option<&Value>) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    let body = body.map(Value::to_string);
    let content = body.map_or_else(String::new, |body| {
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    });
    let end = if content.is_empty() { "\r\n" } else { &content };
    format!(
        "{method} {path}{separator}alt=json HTTP/1.1\r\nHost: x\r\nUser-Agent: google-api-go-client/0.5\r\n\
         Connection: close\r\n{end}"
    )
}

/// A unit as fleet's API has it.
pub fn options(text: &str) -> Value {
    let mut section = "";
    let mut options = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match line.split_once('=') {
            _ if line.starts_with('[') => section = line.trim_matches(['[', ']']),
            Some((name, value)) => options.push(json!({ "section": section, "name": name, "value": value })),
            None => panic!("`{line}` is no option"),
        }
    }
    json!(options)
}

/// A unit that runs until it is stopped.
pub fn sleeper(lines: &str) -> String {
    format!("[Unit]\nDescription=test\n[Service]\nExecStart=/bin/sleep infinity\n[X-Fleet]\n{lines}\n")
}

fn path(unit: &str) -> String {
    format!("/fleet/v1/units/{}", unit.replace('@', "%40"))
}

impl Fleet<'_> {
    pub fn try_ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        speak(&mut stream, &request(method, path, body)).ok()
    }

    /// Asks as often as the server says that it cannot serve now, which passes.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        wait_until(&format!("{method} {path} is answered"), || {
            self.try_ask(method, path, body).filter(|answer| answer.status != 503)
        })
    }

    #[track_caller]
    pub fn unit(&self, unit: &str) -> Value {
        let answer = self.ask("GET", &path(unit), None);
        if answer.status == 404 { Value::Null } else { answer.is(200).json() }
    }

    #[track_caller]
    pub fn put(&self, unit: &str, body: &Value) -> Answer {
        self.ask("PUT", &path(unit), Some(body))
    }

    /// Creates a unit and waits until it is known.
    #[track_caller]
    pub fn submit(&self, unit: &str, text: &str) {
        self.put(unit, &json!({ "name": unit, "options": options(text) })).is(201);
        self.reaches(unit, "inactive");
    }

    #[track_caller]
    pub fn set(&self, unit: &str, state: &str) {
        self.put(unit, &json!({ "name": unit, "desiredState": state })).is(204);
    }

    #[track_caller]
    pub fn reaches(&self, unit: &str, state: &str) {
        wait_until(&format!("{unit} is {state}"), || {
            (self.unit(unit)["currentState"] == state).then_some(())
        });
    }

    /// Starts a unit that is new, and waits until systemd says that it runs.
    #[track_caller]
    pub fn start(&self, unit: &str, text: &str) {
        self.launch(unit, text);
        self.reaches(unit, "launched");
        self.is_active(unit);
    }

    /// Starts a unit that is new without waiting.
    #[track_caller]
    pub fn launch(&self, unit: &str, text: &str) {
        self.submit(unit, text);
        self.set(unit, "launched");
    }

    #[track_caller]
    pub fn is_active(&self, unit: &str) {
        wait_until(&format!("{unit} is active"), || self.active().contains_key(unit).then_some(()));
    }

    #[track_caller]
    pub fn destroy(&self, unit: &str) {
        self.ask("DELETE", &path(unit), None).is(204);
    }

    /// Destroys every unit, and waits until nothing is said of any.
    #[track_caller]
    pub fn clear(&self) {
        for unit in self.names() {
            self.destroy(&unit);
        }
        wait_until("all units are gone", || self.states().is_empty().then_some(()));
    }

    #[track_caller]
    pub fn list(&self, what: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let page = self.ask("GET", &format!("/fleet/v1/{what}?nextPageToken={token}"), None);
            let page = page.is(200).json();
            all.extend(
                page[what.split('?').next().unwrap_or(what)].as_array().into_iter().flatten().cloned(),
            );
            all.extend(page["states"].as_array().into_iter().flatten().filter(|_| what == "state").cloned());
            match page["nextPageToken"].as_str() {
                Some(next) if !next.is_empty() => next.clone_into(&mut token),
                _ => return all,
            }
        }
    }

    #[track_caller]
    pub fn names(&self) -> Vec<String> {
        self.list("units").iter().map(|unit| unit["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    #[track_caller]
    pub fn states(&self) -> Vec<Value> {
        self.list("state")
    }

    /// Returns the machines by id, each with the node's name.
    #[track_caller]
    pub fn machines(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.list("machines").iter().map(|machine| (text(&machine["id"]), text(&machine["name"]))).collect()
    }

    /// Returns on which nodes each unit is active, as the fleet says it.
    #[track_caller]
    pub fn active(&self) -> BTreeMap<String, BTreeSet<String>> {
        let machines = self.machines();
        let mut active: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for state in self.states().iter().filter(|state| state["systemdActiveState"] == "active") {
            let id = state["machineID"].as_str().unwrap_or_default();
            let node = machines.get(id).cloned().unwrap_or_else(|| id.to_owned());
            active.entry(state["name"].as_str().unwrap_or_default().to_owned()).or_default().insert(node);
        }
        active
    }

    /// Waits until exactly these units are active, each on one node, and returns where.
    #[track_caller]
    pub fn settled(&self, units: &[&str]) -> BTreeMap<String, String> {
        wait_until(&format!("{units:?} are active"), || {
            let active = self.active();
            let is_whole = active.len() == units.len()
                && units.iter().all(|unit| active.get(*unit).is_some_and(|nodes| nodes.len() == 1));
            is_whole.then(|| {
                let first = |nodes: BTreeSet<String>| nodes.into_iter().next().unwrap_or_default();
                active.into_iter().map(|(unit, nodes)| (unit, first(nodes))).collect()
            })
        })
    }

    /// Looks for a while whether something stays as it is.
    #[track_caller]
    pub fn stays<T: PartialEq + std::fmt::Debug>(&self, span: Duration, look: impl Fn() -> T) -> T {
        let before = look();
        let changed = try_until(span, || Some(look()).filter(|now| *now != before));
        assert_eq!(changed, None, "it was {before:?}");
        before
    }

    /// Returns what systemd itself says on a node.
    #[track_caller]
    pub fn systemd(&self, node: &str, unit: &str) -> String {
        self.lab.try_sh(node, &format!("systemctl is-active {unit}")).stdout.trim().to_owned()
    }

    /// Checks that the registry holds nothing that leads nowhere.
    #[track_caller]
    pub fn is_sound(&self) {
        let found = self.ask("GET", "/fleet/v1/fsck", None);
        assert_eq!(found.is(200).json()["findings"].as_array().map_or(0, Vec::len), 0, "{found:?}");
    }
}
