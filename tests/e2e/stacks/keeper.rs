//! A client of ZooKeeper that can do just enough, and says at once what went wrong.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, TcpStream};

use crate::kit::net::connect;

pub const PORT: u16 = 2181;
/// After this time without its client, in milliseconds, a server forgets a session.
const SESSION: i32 = 4000;
const EXISTS: i32 = -110;
const NO_NODE: i32 = -101;

/// A session with one server.
pub struct Keeper {
    stream: TcpStream,
    requests: i32,
}

impl Keeper {
    pub fn connect(server: Ipv4Addr) -> Result<Self> {
        let mut keeper = Self { stream: connect(server, PORT)?, requests: 0 };
        let mut hello = [&0_i32.to_be_bytes()[..], &0_i64.to_be_bytes(), &SESSION.to_be_bytes()].concat();
        hello.extend(0_i64.to_be_bytes());
        hello.extend(buffer(&[0; 16]));
        keeper.send(&hello)?;
        keeper.receive()?;
        Ok(keeper)
    }

    /// Makes an entry that stays; one that is there already is as good.
    pub fn create(&mut self, path: &str, data: &str) -> Result<()> {
        let may_all =
            [&1_i32.to_be_bytes()[..], &31_i32.to_be_bytes(), &buffer(b"world"), &buffer(b"anyone")];
        let lasts = 0_i32.to_be_bytes();
        let request =
            [&buffer(path.as_bytes()), &buffer(data.as_bytes()), &may_all.concat()[..], &lasts].concat();
        match self.ask(1, &request)? {
            (0 | EXISTS, _) => Ok(()),
            (error, _) => Err(told(error)),
        }
    }

    /// Returns what an entry holds, as the leader has it now.
    pub fn get(&mut self, path: &str) -> Result<Option<String>> {
        self.catch_up(path)?;
        match self.ask(4, &[&buffer(path.as_bytes())[..], &[0]].concat())? {
            (0, body) => Ok(Some(split(&body)?.0)),
            (NO_NODE, _) => Ok(None),
            (error, _) => Err(told(error)),
        }
    }

    /// Names all entries below a path, as the leader has them now.
    pub fn children(&mut self, path: &str) -> Result<Vec<String>> {
        self.catch_up(path)?;
        let (error, body) = self.ask(8, &[&buffer(path.as_bytes())[..], &[0]].concat())?;
        let mut rest = body.get(4..).filter(|_| error == 0).ok_or_else(|| told(error))?.to_vec();
        let mut names = Vec::new();
        while !rest.is_empty() {
            let (name, after) = split(&rest)?;
            names.push(name);
            rest = after;
        }
        Ok(names)
    }

    fn catch_up(&mut self, path: &str) -> Result<()> {
        self.ask(9, &buffer(path.as_bytes())).map(drop)
    }

    /// Returns the error, which is 0 if all is well, and what follows it.
    fn ask(&mut self, kind: i32, body: &[u8]) -> Result<(i32, Vec<u8>)> {
        self.requests += 1;
        self.send(&[&self.requests.to_be_bytes()[..], &kind.to_be_bytes(), body].concat())?;
        let reply = self.receive()?;
        let error = reply.get(12..16).and_then(|bytes| bytes.try_into().ok()).ok_or_else(short)?;
        Ok((i32::from_be_bytes(error), reply[16..].to_vec()))
    }

    fn send(&mut self, body: &[u8]) -> Result<()> {
        self.stream.write_all(&buffer(body))
    }

    fn receive(&mut self) -> Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut body = vec![0; usize::try_from(i32::from_be_bytes(length)).map_err(|_| short())?];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }
}

/// Does something on the first of several servers that can.
pub fn on_any<T>(servers: &[Ipv4Addr], work: impl Fn(&mut Keeper) -> Result<T>) -> Option<T> {
    servers.iter().find_map(|server| Keeper::connect(*server).and_then(|mut keeper| work(&mut keeper)).ok())
}

fn buffer(bytes: &[u8]) -> Vec<u8> {
    let length = i32::try_from(bytes.len()).expect("what tests write is small");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// Takes one text from the beginning of several.
fn split(body: &[u8]) -> Result<(String, Vec<u8>)> {
    let length: [u8; 4] = body.get(..4).and_then(|bytes| bytes.try_into().ok()).ok_or_else(short)?;
    let end = 4 + usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
    let text = body.get(4..end).ok_or_else(short)?;
    Ok((String::from_utf8_lossy(text).into_owned(), body[end..].to_vec()))
}

fn short() -> Error {
    Error::new(ErrorKind::InvalidData, "an answer that is too short")
}

fn told(error: i32) -> Error {
    Error::other(format!("ZooKeeper says {error}"))
}
