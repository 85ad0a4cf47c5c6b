//! Services that answer in one way or another, asked over real sockets.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::model::Statuses;

const HOME: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Answers the first question with `answer`, then hangs up, or not. Returns the port, and what it will have been
/// asked.
async fn service(answer: impl Into<Vec<u8>>, hangs_up: bool) -> (u16, tokio::task::JoinHandle<String>) {
    let answer = answer.into();
    let listener = TcpListener::bind((HOME, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut question = vec![0; 1024];
        let count = stream.read(&mut question).await.unwrap();
        // Whoever has heard enough closes the connection.
        drop(stream.write_all(&answer).await);
        if !hangs_up {
            drop(stream.read(&mut [0; 16]).await);
        }
        String::from_utf8(question[..count].to_vec()).unwrap()
    });
    (port, serving)
}

fn page(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).into()
}

fn with_answer(ask: Ask, answer: &str) -> Check {
    Check { ask, answer: Some(answer.to_owned()).filter(|answer| !answer.is_empty()) }
}

fn variables() -> BTreeMap<String, String> {
    [("LAB_NODE".to_owned(), "core-02".to_owned())].into()
}

async fn ask_soon(check: &Check) -> Outcome {
    ask_within(Duration::from_millis(200), check, HOME, &variables()).await
}

async fn closed_port() -> u16 {
    TcpListener::bind((HOME, 0)).await.unwrap().local_addr().unwrap().port()
}

#[track_caller]
fn is(outcome: &Outcome, want: Result<&str, &str>) {
    assert_eq!(outcome.as_deref().map_err(String::as_str), want);
}

#[tokio::test]
async fn a_port_takes_connections_or_not() {
    let listener = TcpListener::bind((HOME, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    is(&ask(&Check::connect(port), HOME, &variables()).await, Ok("takes connections"));
    is(&ask(&Check::connect(closed_port().await), HOME, &variables()).await, Err("connection refused"));
}

#[tokio::test]
async fn pages_are_judged_by_status_and_content() {
    let all = [
        (page("200 OK", "a\nmode: x\n"), "", Ok("answered 200")),
        (page("200 OK", "a\nmode: x\n"), "mode: ", Ok("mode: x")),
        (page("200 OK", "a\nmode: x\n"), "Mode: ", Err("its answer has no `Mode: `: a")),
        (page("200 OK", "on core-02"), "on ${LAB_NODE}", Ok("on core-02")),
        (page("204 No Content", ""), "x", Err("its answer is empty; wanted is `x`")),
        (page("302 Found", ""), "", Ok("answered 302")),
        (page("503 Service Unavailable", "no leader\n"), "x", Err("answered 503: no leader")),
        (page("404 Not Found", ""), "", Err("answered 404")),
        (b"HTTP/1.0 200 OK\r\n\r\nold mode: x".to_vec(), "mode", Ok("old mode: x")),
        (b"SSH-2.0-x\r\n".to_vec(), "", Err("gives no HTTP answer")),
        (Vec::new(), "", Err("gives no HTTP answer")),
    ];
    for (answer, wanted, want) in all {
        let (port, asked) = service(answer, true).await;
        let ask_for = Ask::Http { port, path: "/${LAB_NODE}?a=b".to_owned(), status: Statuses::GOOD };
        is(&ask(&with_answer(ask_for, wanted), HOME, &variables()).await, want);
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("GET /core-02?a=b HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{asked}");
    }
    let nowhere = Ask::Http { port: closed_port().await, path: "/".to_owned(), status: Statuses::GOOD };
    is(&ask(&with_answer(nowhere, ""), HOME, &variables()).await, Err("connection refused"));
}

#[tokio::test]
async fn a_page_without_an_end_is_read_as_far_as_it_is_wanted() {
    let endless = b"HTTP/1.1 200 OK\r\n\r\nmode: x\nand".to_vec();
    let large = page("200 OK", &("x".repeat(2 * MOST) + "end"));
    let all = [
        (endless.clone(), "", Ok("answered 200".to_owned())),
        (endless.clone(), "mode", Ok("mode: x".to_owned())),
        (endless, "none", Err("its answer has no `none`: mode: x".to_owned())),
        (large, "end", Err(format!("its answer has no `end`: {}…", "x".repeat(100)))),
        (b"HTTP/1.1 200 OK\r\n".to_vec(), "", Err("no answer within 0.2 s".to_owned())),
    ];
    for (answer, wanted, want) in all {
        let (port, _) = service(answer, false).await;
        let ask = Ask::Http { port, path: "/".to_owned(), status: Statuses::GOOD };
        assert_eq!(ask_soon(&with_answer(ask, wanted)).await, want);
    }
}

#[tokio::test]
async fn a_line_of_text_is_answered() {
    let all = [
        ("Version\nMode: leader\n", true, "Mode: ", Ok("Mode: leader")),
        ("+PONG\r\n", false, "PONG", Ok("+PONG")),
        ("+PONG\r\n", false, "", Ok("+PONG")),
        ("on core-02", false, "on ${LAB_NODE}", Ok("on core-02")),
        ("-ERR no\r\n", false, "PONG", Err("its answer has no `PONG`: -ERR no")),
        ("not yet", true, "PONG", Err("its answer has no `PONG`: not yet")),
        ("", true, "", Err("hung up without an answer")),
        ("", false, "x", Err("no answer within 0.2 s")),
    ];
    for (answer, hangs_up, wanted, want) in all {
        let (port, asked) = service(answer, hangs_up).await;
        let ask = Ask::Send { port, text: "ask ${LAB_NODE}".to_owned() };
        is(&ask_soon(&with_answer(ask, wanted)).await, want);
        assert_eq!(asked.await.unwrap(), "ask core-02\n");
    }
    let port = closed_port().await;
    let ask = Ask::Send { port, text: String::new() };
    is(&ask_soon(&with_answer(ask, "")).await, Err("connection refused"));
}

#[tokio::test]
async fn an_answer_in_pieces_is_found_and_a_large_one_is_cut() {
    let mut heard = network::Heard::default();
    for (piece, want) in [("a Mo", false), ("", false), ("de", true), ("x", true)] {
        heard.add(piece.as_bytes());
        assert_eq!(heard.is_enough(Some("Mode")), want, "{piece}");
    }
    let (port, _) = service("x".repeat(MOST + 1) + "end", false).await;
    let ask = Ask::Send { port, text: String::new() };
    let outcome = ask_soon(&with_answer(ask, "end")).await;
    assert!(outcome.unwrap_err().starts_with("its answer has no `end`: xxx"));
}

#[tokio::test]
async fn a_command_is_judged_by_its_end_and_its_output() {
    let all = [
        ("true", "", Ok("")),
        ("echo on $LAB_NODE", "on ${LAB_NODE}", Ok("on core-02")),
        ("echo off", "on", Err("its answer has no `on`: off")),
        ("echo why >&2; echo no room >&2; exit 3", "", Err("ended with code 3: no room")),
        ("echo off; exit 1", "", Err("ended with code 1: off")),
        ("exit 7", "", Err("ended with code 7")),
    ];
    for (command, wanted, want) in all {
        let check = with_answer(Ask::Run { command: command.to_owned() }, wanted);
        is(&ask(&check, HOME, &variables()).await, want);
    }
    let check = with_answer(Ask::Run { command: "sleep 1000".to_owned() }, "");
    is(&ask_soon(&check).await, Err("did not end within 0.2 s"));
}
