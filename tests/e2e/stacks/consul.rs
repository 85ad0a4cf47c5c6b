//! What the stack `consul` is asked: its key-value store by HTTP, and names by DNS.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use super::{NODES, all};
use crate::kit::net::http;
use crate::kit::{TestLab, wait_until};

const HTTP: u16 = 8500;
const DNS: u16 = 8600;
const LIMIT: Duration = Duration::from_secs(1);

/// What is written through one node is read through another, and each knows all servers.
pub fn serves(lab: &TestLab) {
    let status = lab.status();
    let stack = status.stack("consul");
    assert_eq!(stack.serving("consul@"), all(&NODES), "{stack:?}");
    assert_eq!(stack.answering("consul"), all(&NODES), "{stack:?}");
    put(lab, "core-01", "first", "one");
    assert_eq!(value(lab, "core-03", "first"), "one");
    is_whole(lab);
}

/// Those that are left still take writes, and name each other only.
pub fn survives(lab: &TestLab, alive: &[&str]) {
    put(lab, alive[0], "second", "two");
    for key in [("first", "one"), ("second", "two")] {
        assert_eq!(value(lab, alive[1], key.0), key.1);
    }
    knows(lab, alive[1], alive);
}

/// All servers are there, vote and are known.
pub fn is_whole(lab: &TestLab) {
    for node in NODES {
        knows(lab, node, &NODES);
    }
    let address = lab.status().node("core-02").address;
    wait_until("all servers vote", || {
        let peers = http("GET", address, HTTP, "/v1/status/peers", "")?;
        (peers.status == 200 && peers.body.matches(":8300").count() == NODES.len()).then_some(())
    });
    assert_eq!(value(lab, "core-02", "first"), "one");
}

#[track_caller]
fn put(lab: &TestLab, node: &str, key: &str, value: &str) {
    let address = lab.status().node(node).address;
    wait_until(&format!("Consul on {node} takes {key}"), || {
        let answer = http("PUT", address, HTTP, &format!("/v1/kv/{key}"), value)?;
        (answer.status == 200 && answer.body.contains("true")).then_some(())
    });
}

#[track_caller]
fn value(lab: &TestLab, node: &str, key: &str) -> String {
    let address = lab.status().node(node).address;
    wait_until(&format!("Consul on {node} tells what {key} is"), || {
        let answer = http("GET", address, HTTP, &format!("/v1/kv/{key}?raw"), "")?;
        (answer.status == 200).then_some(answer.body)
    })
}

/// Waits until the DNS of a node names exactly the servers of these.
#[track_caller]
fn knows(lab: &TestLab, node: &str, servers: &[&str]) {
    let status = lab.status();
    let wanted: BTreeSet<Ipv4Addr> = servers.iter().map(|server| status.node(server).address).collect();
    let at = status.node(node).address;
    wait_until(&format!("{node} names the servers of {servers:?}"), || {
        (addresses(at, "consul.service.consul").ok()? == wanted).then_some(())
    });
}

/// Asks a server of names for the addresses of one.
fn addresses(server: Ipv4Addr, name: &str) -> std::io::Result<BTreeSet<Ipv4Addr>> {
    // One question, and recursion is wished for.
    let mut query = vec![0x1a, 0xb1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).expect("labels are short"));
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(LIMIT))?;
    socket.send_to(&query, (server, DNS))?;
    let mut answer = [0; 1500];
    let (length, _) = socket.recv_from(&mut answer)?;
    Ok(records(&answer[..length], query.len()))
}

/// Returns the addresses that stand behind the question of an answer. Each record begins with a pointer to the name.
fn records(answer: &[u8], mut at: usize) -> BTreeSet<Ipv4Addr> {
    const HEAD: usize = 12;
    let mut found = BTreeSet::new();
    let count = answer.get(6..8).map_or(0, |count| u16::from_be_bytes([count[0], count[1]]));
    for _ in 0..count {
        let Some(head) = answer.get(at..at + HEAD) else { break };
        let length = usize::from(u16::from_be_bytes([head[10], head[11]]));
        if let (1, Some(&[a, b, c, d])) = (head[3], answer.get(at + HEAD..at + HEAD + length)) {
            found.insert(Ipv4Addr::new(a, b, c, d));
        }
        at += HEAD + length;
    }
    found
}
