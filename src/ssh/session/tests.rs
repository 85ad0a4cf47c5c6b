//! Sessions, with a real sshd and with peers that hang up, stay silent or are somebody else.

use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use crate::fs;
use crate::ssh::fixture::{Sshd, free_address, target};
use crate::ssh::{Event, KeyPair};

use super::*;

/// Tries to connect to what is no ssh server.
async fn refused_by(address: SocketAddr) -> Error {
    let user = KeyPair::generate("user");
    let identity = Identity::parse(&user.private, &user.public).unwrap();
    let patience = Patience { login: Duration::from_millis(300), ..Patience::default() };
    Session::connect_within(&target(address, "core"), &identity, patience).await.err().unwrap()
}

#[track_caller]
fn check(error: &Error, message: &str, is_not_ready: bool) {
    assert_eq!(error.to_string(), message);
    assert_eq!(error.is_not_ready(), is_not_ready, "{error:?}");
}

#[tokio::test]
async fn a_node_that_does_not_listen_is_not_ready() {
    let error = refused_by(free_address()).await;
    check(&error, "`core-01` does not take ssh connections yet", true);
}

#[tokio::test]
async fn a_node_that_hangs_up_is_not_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (error, accepted) = tokio::join!(refused_by(address), async { listener.accept().await.map(drop) });
    accepted.unwrap();
    check(&error, "`core-01` does not take ssh connections yet", true);
}

#[tokio::test]
async fn a_node_that_hangs_up_after_its_greeting_is_not_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let greet = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await.unwrap();
    };
    let (error, ()) = tokio::join!(refused_by(address), greet);
    check(&error, "`core-01` does not take ssh connections yet", true);
}

#[tokio::test]
async fn a_node_that_never_speaks_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = refused_by(listener.local_addr().unwrap()).await;
    check(&error, "`core-01` did not let us in within 0.3 s", false);
    assert!(error.hint().unwrap().contains("paused"));
}

#[tokio::test]
async fn a_foreign_host_key_is_refused() {
    let sshd = Sshd::start().await;
    let identity = Identity::parse(&sshd.user_key.private, &KeyPair::generate("other").public).unwrap();
    let error = Session::connect(&sshd.target(), &identity).await.err().unwrap();
    let address = sshd.address;
    check(
        &error,
        &format!("what answers for `core-01` at `{address}` does not hold this lab's host key"),
        false,
    );
    assert!(error.hint().unwrap().contains(&address.to_string()));
}

#[tokio::test]
async fn a_foreign_user_key_is_rejected() {
    let sshd = Sshd::start().await;
    let identity = Identity::parse(&KeyPair::generate("other").private, &sshd.host_key.public).unwrap();
    let error = Session::connect(&sshd.target(), &identity).await.err().unwrap();
    let user = &sshd.user;
    check(&error, &format!("`core-01` rejected this lab's key for the user `{user}`"), false);
}

/// Answers every connection with what it sends, once it has sent all.
async fn echo(mut socket: impl AsyncReadExt + AsyncWriteExt + Unpin) {
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.unwrap();
    socket.write_all(&bytes).await.unwrap();
    socket.shutdown().await.unwrap();
}

async fn ask(mut stream: Stream, question: &[u8]) {
    stream.write_all(b"").await.unwrap();
    stream.write_all(question).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer == question, "{} of {} bytes came back", answer.len(), question.len());
}

#[tokio::test]
async fn streams_reach_sockets_of_both_kinds() {
    let sshd = Sshd::start().await;
    let path = sshd.dir().join("echo.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    tokio::spawn(async move { echo(unix.accept().await.unwrap().0).await });
    tokio::spawn(async move { echo(tcp.accept().await.unwrap().0).await });
    let session = sshd.session().await;
    let megabytes = vec![7; 5_000_000];
    ask(session.unix(path.as_str()).await.unwrap(), b"a small question").await;
    ask(session.tcp("127.0.0.1", port).await.unwrap(), &megabytes).await;
}

#[tokio::test]
async fn a_socket_without_a_listener_is_refused_and_the_session_lives_on() {
    let sshd = Sshd::start().await;
    let session = sshd.session().await;
    let error = session.unix("/nowhere.sock").await.err().unwrap();
    assert_eq!(error.to_string(), "`core-01` did not open a stream to `/nowhere.sock`");
    assert!(error.is_refused());
    assert!(session.tcp("127.0.0.1", free_address().port()).await.err().unwrap().is_refused());
    assert_eq!(session.run_line("echo on", b"").await.unwrap().text(), "on");
}

#[tokio::test]
async fn a_closed_session_says_so() {
    let sshd = Sshd::start().await;
    let session = sshd.session().await;
    let twin = session.clone();
    let mut running = twin.start("cat", &b"up\n"[..]).await.unwrap();
    assert_eq!(running.next().await.unwrap(), Event::Stdout(b"up\n".to_vec()));
    session.close().await;
    assert!(twin.run_line("true", b"").await.unwrap_err().is_lost());
    assert!(twin.is_closed());
}

#[tokio::test]
async fn a_node_that_falls_silent_is_noticed() {
    let sshd = Sshd::start().await;
    let patience = Patience { keepalive: Duration::from_millis(300), ..Patience::default() };
    let session = sshd.session_within(patience).await.unwrap();
    let began = Instant::now();
    // The shell stops the server process that serves this very connection.
    let pid = sshd.dir().join("pid");
    let line = format!("echo $PPID > {pid}; kill -STOP $PPID; cat");
    let error = session.run_line(&line, b"").await.unwrap_err();
    let stopped = fs::read_to_string(&pid).unwrap().trim().parse().ok().and_then(Pid::from_raw).unwrap();
    kill_process(stopped, Signal::KILL).unwrap();
    assert_eq!(error.to_string(), "lost the connection to `core-01`");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "it gave no sign of life");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
