//! The client against a server that says what upstream's fleetd says, from `tests/data/fleet`, and against ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};

use super::*;

const UPSTREAM: &str = "fleetd/1.0.0";
const OURS: &str = "fleetd/1.0.0 (lab 0.1.0)";

/// A server that is asked what stands in a script, in this order, over as many connections as there are.
struct Script {
    steps: Vec<Value>,
    next: AtomicUsize,
    server: &'static str,
}

/// A way to a script.
struct Scripted(Arc<Script>);

impl Dial for Scripted {
    async fn dial(&self) -> Result<Connection, Box<dyn StdError + Send + Sync>> {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        tokio::spawn(serve(theirs, Arc::clone(&self.0)));
        Ok(Connection::over(ours).await?)
    }
}

fn client(steps: &str, server: &'static str) -> Client<Scripted> {
    let steps = serde_json::from_str(steps).unwrap();
    Client::new(Scripted(Arc::new(Script { steps, next: AtomicUsize::new(0), server })))
}

impl Client<Scripted> {
    #[track_caller]
    fn assert_at_end(&self) {
        let script = &self.dial().0;
        assert_eq!(script.next.load(Ordering::Relaxed), script.steps.len(), "not all was asked");
    }
}

async fn serve(stream: DuplexStream, script: Arc<Script>) {
    let mut stream = BufReader::new(stream);
    while let Some((asked, body)) = request(&mut stream).await {
        let step = &script.steps[script.next.fetch_add(1, Ordering::Relaxed)];
        // A panic here closes the connection, which the test sees.
        assert_eq!(asked, step["ask"]);
        if let Some(want) = step.get("body") {
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), *want);
        }
        let answer = match step.get("answer") {
            Some(answer) => answer.to_string(),
            None => step["text"].as_str().unwrap_or_default().to_owned(),
        };
        let length = match step["status"].as_u64().unwrap() {
            204 => String::new(),
            _ => format!("Content-Length: {}\r\n", answer.len()),
        };
        let head = format!("HTTP/1.1 {} X\r\nServer: {}\r\n{length}\r\n", step["status"], script.server);
        stream.get_mut().write_all(format!("{head}{answer}").as_bytes()).await.unwrap();
    }
}

/// Reads a request; `None` at the end of the connection.
async fn request(stream: &mut BufReader<DuplexStream>) -> Option<(String, Vec<u8>)> {
    let mut first = String::new();
    if stream.read_line(&mut first).await.ok()? == 0 {
        return None;
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((first.trim().strip_suffix(" HTTP/1.1")?.to_owned(), body))
}

fn name(name: &str) -> UnitName {
    UnitName::parse(name).unwrap()
}

#[tokio::test]
async fn an_upstream_server_starts_and_stops_units_by_the_plain_protocol() {
    let client = client(include_str!("../../../tests/data/fleet/start.json"), UPSTREAM);
    let web = name("web@1.service");
    assert_eq!(client.units().await.unwrap(), []);
    assert_eq!(client.states().await.unwrap(), []);
    let machines = client.nodes().await.unwrap();
    assert_eq!((machines.len(), machines[0].present), (2, None));
    assert_eq!(client.engine().to_string(), "fleetd 1.0.0");

    let text = "# Hello.\n[Service]\nExecStart=/web\n";
    let file = crate::fleet::unit::UnitFile::parse(text).unwrap();
    let unit = Unit {
        name: web.to_string(),
        options: file.options().to_vec(),
        desired_state: Some(Phase::Launched),
        text: Some(text.to_owned()),
        ..Unit::default()
    };
    client.put(&unit).await.unwrap();
    assert_eq!(client.units().await.unwrap()[0].machine_id, None);
    let placed = client.units().await.unwrap().remove(0);
    assert_eq!(placed.machine_id.as_ref().map(MachineId::short), Some("10000000"));
    assert_eq!(file_of(&placed).unwrap().hash(), file.hash());
    assert_eq!(client.states().await.unwrap()[0].systemd_active_state, "active");

    client.set_desired(&web, Phase::Loaded).await.unwrap();
    client.destroy(&web).await.unwrap();
    client.destroy(&web).await.unwrap();
    assert_eq!(client.unit(&web).await.unwrap(), None);
    client.assert_at_end();
}

#[tokio::test]
async fn all_pages_are_read_and_the_empty_one_behind_the_last_too() {
    let client = client(include_str!("../../../tests/data/fleet/pages.json"), UPSTREAM);
    let ids: Vec<String> = client.machines().await.unwrap().into_iter().map(|machine| machine.id).collect();
    assert_eq!(ids, ["10", "20", "30", "40"]);
    client.assert_at_end();
}

#[tokio::test]
async fn a_server_that_remembers_no_machines_lists_those_that_are_there() {
    let steps = r#"[
        {"ask": "GET /fleet/v1/nodes", "status": 404, "answer": {"error": {"code": 404, "message": ""}}},
        {"ask": "GET /fleet/v1/machines", "status": 200, "answer": {"machines": [{"id": "10"}]}},
        {"ask": "GET /fleet/v1/machines", "status": 200, "answer": {}}
    ]"#;
    let client = client(steps, UPSTREAM);
    assert_eq!(client.nodes().await.unwrap().len(), 1);
    assert_eq!(client.nodes().await.unwrap(), []);
    client.assert_at_end();
}

#[tokio::test]
async fn a_server_that_goes_round_in_circles_is_left() {
    let page = r#"{"status": 200, "answer": {"machines": [{"id": "1"}], "nextPageToken": "a"}, "ask": "#;
    let first = format!(r#"{page}"GET /fleet/v1/machines"}}"#);
    let again = format!(r#"{page}"GET /fleet/v1/machines?nextPageToken=a"}}"#);
    let client = client(&format!("[{first},{again}]"), UPSTREAM);
    assert_eq!(client.machines().await.unwrap().len(), 1);
}

#[tokio::test]
async fn refusals_are_told_in_the_servers_words() {
    let client = client(include_str!("../../../tests/data/fleet/refusals.json"), UPSTREAM);
    let refused = client.set_desired(&name("t@.service"), Phase::Launched).await.unwrap_err();
    assert_eq!(refused.to_string(), "fleet refused: cannot activate template \"t@.service\"");
    assert!(!refused.is_passing());
    let silent = client.units().await.unwrap_err();
    assert_eq!(silent.to_string(), "fleet refused with code 500 and gave no reason");
    assert!(silent.is_passing());
    let cut_off = client.units().await.unwrap_err();
    assert_eq!(
        cut_off.to_string(),
        "fleet answers and cannot work: fleet server unable to communicate with etcd"
    );
    assert!(cut_off.is_passing());
    assert!(matches!(client.units().await, Err(Error::Unreadable { .. })));
    let told = |error: Error| error.to_string();
    let machine = MachineId::new("10");
    assert_eq!(
        client.set_scheduling(&machine, Scheduling::Cordoned).await.map_err(told),
        Err("this engine, fleetd 1.0.0, cannot cordon machines".to_owned())
    );
    assert_eq!(
        client.move_unit(&name("a.service"), &machine).await.map_err(told),
        Err("this engine, fleetd 1.0.0, cannot move units".to_owned())
    );
    assert!(matches!(client.fsck().await, Err(Error::Unsupported { .. })));
    client.assert_at_end();
}

#[tokio::test]
async fn our_server_tells_more_and_is_told_apart() {
    let steps = r#"[
        {"ask": "GET /fleet/v1/nodes", "status": 200, "answer": {"machines": [
            {"id": "10", "name": "core-01", "present": true, "scheduling": "cordoned"},
            {"id": "20", "name": "core-02", "present": false}]}},
        {"ask": "PUT /fleet/v1/machines/10", "status": 204, "body": {"scheduling": "open"}},
        {"ask": "PUT /fleet/v1/machines/30", "status": 404,
         "answer": {"error": {"code": 404, "message": "machine does not exist"}}},
        {"ask": "PUT /fleet/v1/units/a.service/machine", "status": 204, "body": {"machineID": "20"}},
        {"ask": "GET /fleet/v1/fsck", "status": 200, "answer": {"findings": [{"key": "k", "what": "w"}]}}
    ]"#;
    let client = client(steps, OURS);
    let machines = client.nodes().await.unwrap();
    assert_eq!(machines[0].scheduling, Some(Scheduling::Cordoned));
    assert_eq!(machines[1].present, Some(false));
    assert_eq!(client.engine(), Engine::Lab { version: "0.1.0".to_owned() });
    client.set_scheduling(&MachineId::new("10"), Scheduling::Open).await.unwrap();
    let unknown = client.set_scheduling(&MachineId::new("30"), Scheduling::Open).await.unwrap_err();
    assert_eq!(unknown.to_string(), "fleet refused: machine does not exist");
    client.move_unit(&name("a.service"), &MachineId::new("20")).await.unwrap();
    assert_eq!(client.fsck().await.unwrap()[0].what, "w");
    client.assert_at_end();
}

/// A server whose connections end after one answer each.
struct Forgetful(Scripted, AtomicUsize);

impl Dial for Forgetful {
    async fn dial(&self) -> Result<Connection, Box<dyn StdError + Send + Sync>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let script = Arc::clone(&self.0.0);
        tokio::spawn(async move {
            let mut stream = BufReader::new(theirs);
            request(&mut stream).await;
            script.next.fetch_add(1, Ordering::Relaxed);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
            stream.get_mut().write_all(answer).await.unwrap();
        });
        Ok(Connection::over(ours).await?)
    }
}

#[tokio::test]
async fn a_connection_that_ended_is_made_anew() {
    let script = Script { steps: Vec::new(), next: AtomicUsize::new(0), server: UPSTREAM };
    let client = Client::new(Forgetful(Scripted(Arc::new(script)), AtomicUsize::new(0)));
    for _ in 0..3 {
        assert_eq!(client.units().await.unwrap(), []);
    }
    assert_eq!(client.dial().1.load(Ordering::Relaxed), 3);
    assert_eq!(client.engine(), Engine::Unknown);
}

#[test]
fn names_become_parts_of_paths_as_older_clients_write_them() {
    assert_eq!(escape(r"a\x2d:b@1.service"), "a%5Cx2d:b%401.service");
    assert_eq!(escape("AgADAA=="), "AgADAA%3D%3D");
}
