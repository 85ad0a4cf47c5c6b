//! What we rely on, asked of the real etcd.

mod kv;
mod lease;
mod watch;

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;

use super::{Client, Compare, Error, Member, Op, Status};
use crate::wait::wait_until;

const PROGRAM: &str = "/usr/bin/etcd";
const OFTEN: Duration = Duration::from_millis(20);
/// etcd counts a member as connected after 5 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// An etcd that is killed when this goes out of scope.
struct Etcd {
    process: Child,
    port: u16,
    peer_url: String,
}

impl Etcd {
    async fn stream(&self) -> TcpStream {
        let connected = wait_until("etcd listens", PATIENCE, OFTEN, async || {
            TcpStream::connect(("127.0.0.1", self.port)).await.ok()
        });
        connected.await.unwrap()
    }

    async fn client(&self) -> Client {
        Client::over(self.stream().await).await.unwrap()
    }

    async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Asks it to stop, which takes it a while.
    fn terminate(&self) {
        let id = self.process.id().expect("it has not ended yet");
        kill_process(Pid::from_raw(id.cast_signed()).unwrap(), Signal::TERM).unwrap();
    }
}

pub(crate) struct Cluster {
    members: Vec<Etcd>,
    _data: TempDir,
}

impl Cluster {
    /// Returns `host:port` of every member.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("127.0.0.1:{}", member.port)).collect()
    }

    pub(crate) async fn kill(&mut self, index: usize) {
        self.members[index].kill().await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a test needs the process itself, to kill it")]
fn start(args: &[String]) -> Child {
    assert!(std::path::Path::new(PROGRAM).exists(), "{PROGRAM} is missing: `apt-get install etcd-server`");
    tokio::process::Command::new(PROGRAM)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Returns ports that were free a moment ago, all different.
fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// Starts so many members, which have yet to find each other.
pub(crate) fn cluster(count: usize) -> Cluster {
    let data = tempfile::tempdir().unwrap();
    let ports = free_ports(2 * count);
    let (clients, peers) = ports.split_at(count);
    let peer_url = |index: usize| format!("http://127.0.0.1:{}", peers[index]);
    let all = (0..count).map(|index| format!("n{index}={}", peer_url(index))).collect::<Vec<_>>().join(",");
    let member = |index: usize| {
        let client_url = format!("http://127.0.0.1:{}", clients[index]);
        let process = start(&[
            format!("--name=n{index}"),
            format!("--data-dir={}/{index}", data.path().display()),
            format!("--listen-peer-urls={}", peer_url(index)),
            format!("--initial-advertise-peer-urls={}", peer_url(index)),
            format!("--listen-client-urls={client_url}"),
            format!("--advertise-client-urls={client_url}"),
            format!("--initial-cluster={all}"),
        ]);
        Etcd { process, port: clients[index], peer_url: peer_url(index) }
    };
    let members = (0..count).map(member).collect();
    Cluster { members, _data: data }
}

/// Returns a connection over which etcd has said that it is healthy. One that ran into a limit is of no
/// more use, so each question has its own.
async fn healthy(etcd: &Etcd) -> (Client, Status) {
    let asking = wait_until("etcd is healthy", PATIENCE, OFTEN, async || {
        let mut client = etcd.client().await;
        let status = client.health().await.ok()?;
        Some((client, status))
    });
    asking.await.unwrap()
}

async fn healthy_client(etcd: &Etcd) -> Client {
    healthy(etcd).await.0
}

fn put(key: &str, value: &str) -> Op {
    Op::Put { key: key.to_owned(), value: value.to_owned(), lease: None }
}

fn delete(key: &str) -> Op {
    Op::Delete { key: key.to_owned() }
}

fn absent(key: &str) -> Compare {
    Compare::Revision { key: key.to_owned(), is: 0 }
}

/// Makes changes and returns their revision.
async fn change(client: &mut Client, ops: &[Op]) -> u64 {
    let outcome = client.txn(&[], ops).await.unwrap();
    assert!(outcome.succeeded);
    outcome.revision
}

fn names(members: &[Member]) -> Vec<&str> {
    let mut names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_single_member_leads_itself() {
    let cluster = cluster(1);
    let (mut client, status) = healthy(&cluster.members[0]).await;
    assert_eq!(status.leader, Some(status.member_id));
    assert!(status.version.starts_with("3."), "{}", status.version);
    assert!(status.database_bytes > 0);

    let members = client.members().await.unwrap();
    assert_eq!(names(&members), ["n0"]);
    assert_eq!(members[0].id, status.member_id);
    assert_eq!(members[0].peer_urls, [cluster.members[0].peer_url.clone()]);
}

#[tokio::test]
async fn a_member_is_added_once_and_removed_for_good() {
    let cluster = cluster(1);
    let (mut client, _) = healthy(&cluster.members[0]).await;
    let added = client.add_member("http://127.0.0.1:1").await.unwrap();
    assert!(!added.has_started());
    // One of two is no majority, and yet the question whether it is known already can be answered.
    assert_eq!(client.add_member("http://127.0.0.1:1").await.unwrap().id, added.id);

    let error = client.add_member("nonsense").await.unwrap_err();
    assert!(error.to_string().contains("refused: given member URLs are invalid"), "{error}");
    assert!(!error.may_pass());
}

#[tokio::test]
async fn three_members_become_two_and_the_removed_one_may_be_removed_again() {
    let mut cluster = cluster(3);
    let (mut client, _) = healthy(&cluster.members[0]).await;
    let members = client.members().await.unwrap();
    assert_eq!(names(&members), ["n0", "n1", "n2"]);

    cluster.members[2].kill().await;
    let gone = members.iter().find(|member| member.name == "n2").unwrap().id;
    let removed = wait_until("the member is removed", PATIENCE, OFTEN, async || {
        // An answer may come too late while the others notice the loss; its connection is then of no use.
        cluster.members[0].client().await.remove_member(gone).await.ok()
    });
    removed.await.unwrap();
    let (mut client, _) = healthy(&cluster.members[0]).await;
    client.remove_member(gone).await.unwrap();
    assert_eq!(names(&client.members().await.unwrap()), ["n0", "n1"]);
    healthy(&cluster.members[0]).await;
}

#[tokio::test]
async fn a_lost_quorum_is_told_with_its_cure_and_members_are_still_known() {
    let mut cluster = cluster(3);
    healthy(&cluster.members[0]).await;
    cluster.members[1].kill().await;
    cluster.members[2].kill().await;

    let lost = wait_until("the quorum is lost", PATIENCE, OFTEN, async || {
        let mut client = cluster.members[0].client().await;
        client.health().await.err().filter(|error| matches!(error, Error::QuorumLost))
    });
    let error = lost.await.unwrap();
    assert!(error.hint().unwrap().contains("`lab up`"));
    let mut client = cluster.members[0].client().await;
    assert_eq!(client.members().await.unwrap().len(), 3);
    let error = client.add_member("http://127.0.0.1:1").await.unwrap_err();
    assert!(matches!(error, Error::Unsettled), "{error}");
}

#[tokio::test]
async fn a_gateway_answers_like_a_member_and_breaks_off_when_there_is_none() {
    let mut cluster = cluster(1);
    healthy(&cluster.members[0]).await;
    let port = free_ports(1)[0];
    let gateway = Etcd {
        process: start(&[
            "gateway".to_owned(),
            "start".to_owned(),
            format!("--listen-addr=127.0.0.1:{port}"),
            format!("--endpoints=127.0.0.1:{}", cluster.members[0].port),
        ]),
        port,
        peer_url: String::new(),
    };
    let mut client = gateway.client().await;
    assert_eq!(client.health().await.unwrap().leader, Some(client.members().await.unwrap()[0].id));

    cluster.members[0].kill().await;
    let error = client.health().await.unwrap_err();
    assert!(matches!(error, Error::Connection(_)) && error.may_pass(), "{error}");
}
