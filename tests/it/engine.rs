//! An engine that only answers: a socket with what a real engine said once, see `tests/data/engine`.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use super::kit::Sandbox;

/// What an engine of one kind has to say, by path.
type Answers = &'static [(&'static str, &'static str)];

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../data/engine/", $name, ".json"))
    };
}

/// An engine that holds nothing of ours.
pub const EMPTY: Answers = &[
    ("/version", recorded!("version")),
    ("/info", recorded!("info")),
    ("/containers/json", "[]"),
    ("/volumes", r#"{"Volumes":[],"Warnings":null}"#),
    ("/networks", recorded!("networks")),
];

/// An engine with a lab of two nodes, `it-rec`, that was made from `/p/rec`; one of them is stopped.
pub const WITH_LAB: Answers = &[
    ("/version", recorded!("version")),
    ("/info", recorded!("info")),
    ("/containers/json", recorded!("lab-containers")),
    ("/volumes", recorded!("lab-volumes")),
    ("/networks", recorded!("lab-networks")),
    ("/containers/lab-it-rec-core-01/json", recorded!("lab-core-01")),
    ("/containers/lab-it-rec-core-02/json", recorded!("lab-core-02")),
];

/// Docker 19.03.
pub const OLD: Answers = &[("/version", recorded!("version-1.40"))];

/// Something else that speaks HTTP.
pub const NO_ENGINE: Answers = &[("/version", "\"hello\"")];

pub struct Engine {
    socket: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Engine {
    pub fn start(answers: Answers) -> Self {
        let socket = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket.path().join("engine.sock")).unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        // It ends with the test's process; each connection has a thread of its own, as requests overlap.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let log = Arc::clone(&log);
                std::thread::spawn(move || serve(&stream, answers, &log));
            }
        });
        Self { socket, asked }
    }

    /// Lets nobody use its socket; root still may.
    pub fn forbid(&self) {
        let nobody = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(self.socket.path().join("engine.sock"), nobody).unwrap();
    }

    /// Returns what it was asked, as `GET /version`, sorted; each request once.
    pub fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked.dedup();
        asked
    }

    pub fn sandbox(&self) -> Sandbox {
        let socket = self.socket.path().join("engine.sock");
        Sandbox::new().env("DOCKER_HOST", &format!("unix://{}", socket.display()))
    }
}

fn serve(stream: &UnixStream, answers: Answers, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader) {
        let (method, path) = request.split_once(' ').unwrap();
        let answer = answers.iter().find(|(known, _)| method == "GET" && *known == path);
        let (status, body) = match answer {
            Some((_, body)) => ("200 OK", *body),
            None => ("404 Not Found", r#"{"message":"page not found"}"#),
        };
        log.lock().unwrap().push(request);
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        let mut stream = stream;
        if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}

/// Returns the method and the path, without the version of the API and what is asked for in particular.
fn read_request(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    std::io::copy(&mut reader.take(length.unwrap_or(0)), &mut std::io::sink()).ok()?;
    let mut words = head.split_whitespace();
    let method = words.next()?;
    let path = words.next()?.split('?').next()?;
    let versioned = path.strip_prefix("/v1.").and_then(|rest| rest.find('/').map(|at| &rest[at..]));
    Some(format!("{method} {}", versioned.unwrap_or(path)))
}
