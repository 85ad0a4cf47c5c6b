//! The few requests to the Docker engine that the stand-in needs, over its socket. The client's start alone would
//! take longer than most of them.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::settings::Settings;

/// Far more than any request takes.
const LIMIT: Duration = Duration::from_mins(2);

pub struct Engine {
    socket: String,
}

pub struct Reply {
    pub status: u16,
    /// Nothing, if it is not JSON.
    pub body: Value,
    pub text: String,
}

/// What the engine says of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub id: String,
    pub status: Status,
    /// How the machine was set up when the container was made.
    pub made_of: String,
    pub volumes: Vec<String>,
    pub networks: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Created,
    Running,
    Paused,
    Exited { code: i64 },
}

impl Engine {
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let host = settings.docker_host.as_deref().unwrap_or("unix:///var/run/docker.sock");
        let socket = host.strip_prefix("unix://").with_context(|| format!("`{host}` is no unix socket"))?;
        Ok(Self { socket: socket.to_owned() })
    }

    /// Asks for something that has to work.
    pub fn must(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let reply = self.ask(method, path, body)?;
        if reply.status >= 400 {
            bail!("docker: {}", reply.body["message"].as_str().unwrap_or("no reason is given"));
        }
        Ok(reply.body)
    }

    /// Asks for something that need not be there.
    pub fn may(&self, method: &str, path: &str) -> anyhow::Result<Option<Value>> {
        let reply = self.ask(method, path, None)?;
        match reply.status {
            404 => Ok(None),
            400.. => bail!("docker: {}", reply.body["message"].as_str().unwrap_or("no reason is given")),
            _ => Ok(Some(reply.body)),
        }
    }

    pub fn container(&self, name: &str) -> anyhow::Result<Option<Seen>> {
        let found = self.may("GET", &format!("/containers/{name}/json"))?;
        Ok(found.as_ref().map(seen))
    }

    /// Starts the container, and does nothing if it runs already.
    pub fn start(&self, id: &str) -> anyhow::Result<()> {
        self.must("POST", &format!("/containers/{id}/start"), None).map(drop)
    }

    pub fn pause(&self, id: &str) -> anyhow::Result<()> {
        self.must("POST", &format!("/containers/{id}/pause"), None).map(drop)
    }

    pub fn unpause(&self, id: &str) -> anyhow::Result<()> {
        self.must("POST", &format!("/containers/{id}/unpause"), None).map(drop)
    }

    /// Sends a signal; one that has ended already is not asked again.
    pub fn kill(&self, id: &str, signal: &str) -> anyhow::Result<()> {
        let reply = self.ask("POST", &format!("/containers/{id}/kill?signal={signal}"), None)?;
        match reply.status {
            404 | 409 => Ok(()),
            400.. => bail!("docker: {}", reply.body["message"]),
            _ => Ok(()),
        }
    }

    pub fn wait_until_stopped(&self, id: &str) -> anyhow::Result<()> {
        self.may("POST", &format!("/containers/{id}/wait")).map(drop)
    }

    /// Removes the container; its volumes stay.
    pub fn remove(&self, id: &str) -> anyhow::Result<()> {
        self.may("DELETE", &format!("/containers/{id}?force=1")).map(drop)
    }

    pub fn remove_volume(&self, name: &str) -> anyhow::Result<()> {
        self.may("DELETE", &format!("/volumes/{name}?force=1")).map(drop)
    }

    /// Removes an image that no longer serves; one that another is built on stays, as a layer of that.
    pub fn remove_image(&self, name: &str) -> anyhow::Result<()> {
        self.ask("DELETE", &format!("/images/{name}?force=1"), None).map(drop)
    }

    /// Keeps the disk of a container as an image, and returns its identity.
    pub fn commit(&self, id: &str, labels: &Value) -> anyhow::Result<String> {
        let body = json!({ "Labels": labels });
        let made = self.must("POST", &format!("/commit?container={id}&pause=1"), Some(&body))?;
        Ok(made["Id"].as_str().context("docker gave no identity")?.to_owned())
    }

    pub fn connect(&self, id: &str, network: &str) -> anyhow::Result<()> {
        let body = json!({ "Container": id });
        self.must("POST", &format!("/networks/{network}/connect"), Some(&body)).map(drop)
    }

    pub fn disconnect(&self, id: &str, network: &str) -> anyhow::Result<()> {
        let body = json!({ "Container": id, "Force": true });
        self.must("POST", &format!("/networks/{network}/disconnect"), Some(&body)).map(drop)
    }

    /// Runs a script in a container, and returns what it says.
    pub fn run(&self, id: &str, script: &str) -> anyhow::Result<String> {
        let body = json!({ "Cmd": ["sh", "-c", script], "AttachStdout": true, "Tty": true });
        let made = self.must("POST", &format!("/containers/{id}/exec"), Some(&body))?;
        let exec = made["Id"].as_str().context("docker gave no identity")?;
        let body = json!({ "Detach": false, "Tty": true });
        Ok(self.ask("POST", &format!("/exec/{exec}/start"), Some(&body))?.text)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Reply> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!(
            "{method} /v1.41{path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let failed = || format!("the Docker engine at `{}` does not answer", self.socket);
        let mut stream = UnixStream::connect(&self.socket).with_context(failed)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all((head + &body).as_bytes()).with_context(failed)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).with_context(failed)?;
        parse(&String::from_utf8_lossy(&answer))
            .with_context(|| format!("docker's answer to {method} {path}"))
    }
}

/// Reads an answer in HTTP/1.0, which ends with the connection.
fn parse(answer: &str) -> Option<Reply> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, body: serde_json::from_str(body).unwrap_or(Value::Null), text: body.to_owned() })
}

fn seen(container: &Value) -> Seen {
    let state = &container["State"];
    let status = match state["Status"].as_str().unwrap_or_default() {
        "running" | "restarting" => Status::Running,
        "paused" => Status::Paused,
        "created" => Status::Created,
        _ => Status::Exited { code: state["ExitCode"].as_i64().unwrap_or_default() },
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mounts = container["Mounts"].as_array().into_iter().flatten();
    Seen {
        id: text(&container["Id"]),
        status,
        made_of: text(&container["Config"]["Labels"][crate::container::MADE_OF]),
        networks: container["NetworkSettings"]["Networks"]
            .as_object()
            .map(|networks| networks.keys().cloned().collect())
            .unwrap_or_default(),
        volumes: mounts.filter(|mount| mount["Type"] == "volume").map(|mount| text(&mount["Name"])).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_perhaps_a_body() {
        let reply =
            parse("HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n{\"message\":\"no such container\"}\n").unwrap();
        assert_eq!((reply.status, reply.body["message"].as_str()), (404, Some("no such container")));
        let reply = parse("HTTP/1.0 204 No Content\r\n\r\n").unwrap();
        assert_eq!((reply.status, reply.body), (204, Value::Null));
        assert!(parse("").is_none());
    }

    #[test]
    fn a_container_says_how_it_ended_and_what_it_keeps() {
        let container = json!({
            "Id": "abc", "State": {"Status": "exited", "ExitCode": 137},
            "Config": {"Labels": {"lab.standin.made-of": "x"}},
            "NetworkSettings": {"Networks": {"bridge": {}}},
            "Mounts": [{"Type": "volume", "Name": "v"}, {"Type": "tmpfs"}],
        });
        let want = Seen {
            id: "abc".to_owned(),
            status: Status::Exited { code: 137 },
            made_of: "x".to_owned(),
            volumes: vec!["v".to_owned()],
            networks: vec!["bridge".to_owned()],
        };
        assert_eq!(seen(&container), want);
    }
}
