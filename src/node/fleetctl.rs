//! What `fleetctl` does on a node: it joins a client that came through ssh with the fleet's socket. For all else
//! there are `lab` and the client that fleet came with, on the host.

use std::io;

use tokio::io::{AsyncWriteExt, copy};
use tokio::net::UnixStream;
use tokio::time::{Duration, sleep};

/// How long the answer to what was asked last may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

const HELP: &str = "\
fleetctl forwards clients of fleet to the socket of this node.

usage:
  fleetctl fd-forward SOCKET   copy standard input to a socket, and what it answers to standard output
  fleetctl version             print the version

Units are seen and changed from the host: `lab units`, or fleetctl with --tunnel.
";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such command on a node; `fleetctl help` tells more")]
    Usage,
    #[error("could not reach `{socket}`")]
    Connect { socket: String, source: io::Error },
    #[error("the connection to `{socket}` broke")]
    Forward { socket: String, source: io::Error },
}

/// Does what `fleetctl` was called for, and returns what it prints.
pub async fn fleetctl(words: &[&str]) -> Result<String, Error> {
    match words {
        ["fd-forward", socket] => forward(socket).await.map(|()| String::new()),
        ["version" | "--version" | "-v"] => {
            Ok(format!("fleetctl version 1.0.0 (lab {})\n", env!("CARGO_PKG_VERSION")))
        }
        [] | ["help" | "--help" | "-h"] => Ok(HELP.to_owned()),
        _ => Err(Error::Usage),
    }
}

/// Ends when the server closes its connection. A client that has said all is still answered.
async fn forward(socket: &str) -> Result<(), Error> {
    let broken = |source| Error::Forward { socket: socket.to_owned(), source };
    let connecting = UnixStream::connect(socket).await;
    let server = connecting.map_err(|source| Error::Connect { socket: socket.to_owned(), source })?;
    let (mut answers, mut questions) = server.into_split();
    let (mut stdin, mut stdout) = (tokio::io::stdin(), tokio::io::stdout());
    let asking = async {
        let copied = copy(&mut stdin, &mut questions).await;
        // A server takes the end of what it reads for the end of the connection, and answers no more.
        sleep(ANSWER_LIMIT).await;
        copied.map(drop)
    };
    let answering = async {
        copy(&mut answers, &mut stdout).await?;
        stdout.flush().await
    };
    tokio::select! {
        answered = answering => answered.map_err(broken),
        asked = asking => asked.map_err(broken),
    }
}
