//! Services on nodes, asked from this host over their own ports.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::fleet::{Answer, speak};

/// Who serves answers in a fraction of this.
const LIMIT: Duration = Duration::from_secs(2);

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Said(String),
    /// Nobody listens there.
    Refused,
    /// No answer in time, which may be this host's fault.
    Nothing,
}

/// Connects to a port, if it takes connections.
pub fn connect(address: Ipv4Addr, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((address, port)), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// Sends a line, and reads whatever is said until the other side hangs up.
pub fn ask(address: Ipv4Addr, port: u16, line: &str) -> Heard {
    let asked = connect(address, port).and_then(|mut stream| {
        stream.write_all(format!("{line}\n").as_bytes())?;
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes) {
            // Who hangs up before it has read everything resets the connection.
            Err(error) if bytes.is_empty() => Err(error),
            _ => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        }
    });
    match asked {
        Ok(text) => Heard::Said(text),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Heard::Refused,
        Err(_) => Heard::Nothing,
    }
}

/// Speaks one request of HTTP, and returns what is answered, if anything is.
pub fn http(method: &str, address: Ipv4Addr, port: u16, path: &str, body: &str) -> Option<Answer> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    speak(&mut connect(address, port).ok()?, &request).ok()
}
