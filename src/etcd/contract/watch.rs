//! Watches.

use tokio::time::timeout;

use super::{Etcd, OFTEN, PATIENCE, change, cluster, delete, healthy, healthy_client, put};
use crate::etcd::{Entry, Error, Event, Watch};
use crate::http::Connection;
use crate::wait::wait_until;

async fn watch(etcd: &Etcd, keys: &[&str], from_revision: u64) -> Watch {
    healthy_client(etcd).await.watch(keys, from_revision).await.unwrap()
}

async fn next(watch: &mut Watch) -> Result<Vec<Event>, Error> {
    timeout(PATIENCE, watch.next()).await.expect("the watch says something")
}

/// Returns as many events as are wanted, which may come at once or one after the other.
async fn events(watch: &mut Watch, count: usize) -> Vec<Event> {
    let mut seen = Vec::new();
    while seen.len() < count {
        seen.extend(next(watch).await.unwrap());
    }
    seen
}

fn entry(key: &str, value: &str, created: u64, revision: u64) -> Event {
    Event::Put(Entry { key: key.to_owned(), value: value.to_owned(), created, revision, lease: 0 })
}

fn deleted(key: &str, revision: u64) -> Event {
    Event::Deleted { key: key.to_owned(), revision }
}

#[tokio::test]
async fn history_comes_in_order_over_all_keys_and_goes_on_with_what_is_new() {
    let cluster = cluster(1);
    let mut client = healthy_client(&cluster.members[0]).await;
    let first = change(&mut client, &[put("/c/1", "a"), put("/a", "b")]).await;
    change(&mut client, &[put("/b/1", "not meant"), put("/a/1", "nor this")]).await;
    change(&mut client, &[put("/a", "c")]).await;
    change(&mut client, &[delete("/c/1"), put("/c/2", "d"), delete("/never")]).await;
    let expected = [
        entry("/c/1", "a", first, first),
        entry("/a", "b", first, first),
        entry("/a", "c", first, first + 2),
        deleted("/c/1", first + 3),
        entry("/c/2", "d", first + 3, first + 3),
    ];
    let keys = ["/c/", "/a"];
    let mut all = watch(&cluster.members[0], &keys, first).await;
    assert_eq!(events(&mut all, 5).await, expected);
    let mut late = watch(&cluster.members[0], &keys, first + 3).await;
    assert_eq!(events(&mut late, 2).await, expected[3..]);
    let mut new = watch(&cluster.members[0], &keys, 0).await;

    change(&mut client, &[put("/b/1", "not meant")]).await;
    let last = change(&mut client, &[put("/c/3", "e"), delete("/c/2")]).await;
    for watch in [&mut all, &mut late, &mut new] {
        assert_eq!(next(watch).await.unwrap(), [entry("/c/3", "e", last, last), deleted("/c/2", last)]);
    }
}

#[tokio::test]
async fn a_revision_that_is_yet_to_come_is_waited_for() {
    let cluster = cluster(1);
    let mut client = healthy_client(&cluster.members[0]).await;
    let first = change(&mut client, &[put("/a", "a")]).await;
    let mut watch = watch(&cluster.members[0], &["/a"], first + 2).await;
    for value in ["b", "c"] {
        change(&mut client, &[put("/a", value)]).await;
    }
    assert_eq!(next(&mut watch).await.unwrap(), [entry("/a", "c", first, first + 2)]);
}

#[tokio::test]
async fn a_history_that_was_compacted_is_not_there() {
    let cluster = cluster(1);
    let mut client = healthy_client(&cluster.members[0]).await;
    let first = change(&mut client, &[put("/a", "a")]).await;
    let second = change(&mut client, &[put("/a", "b")]).await;
    let mut connection = Connection::over(cluster.members[0].stream().await).await.unwrap();
    let compaction = format!(r#"{{"revision":"{second}"}}"#).into_bytes();
    assert!(connection.post("/v3/kv/compaction", compaction).await.unwrap().is_success());

    let error = next(&mut watch(&cluster.members[0], &["/a"], first).await).await.unwrap_err();
    assert!(matches!(error, Error::Compacted { revision } if revision == second), "{error:?}");
    assert!(!error.may_pass());
    let mut watch = watch(&cluster.members[0], &["/a"], second).await;
    assert_eq!(next(&mut watch).await.unwrap(), [entry("/a", "b", first, second)]);
}

#[tokio::test]
async fn a_watch_outlives_another_member_and_ends_with_its_own_or_the_quorum() {
    let mut cluster = cluster(3);
    let (_, status) = healthy(&cluster.members[0]).await;
    let mut watches = Vec::new();
    for etcd in &cluster.members {
        watches.push(watch(etcd, &["/a"], 0).await);
    }
    // A follower, as an election that is tied would last longer than a watch bears.
    let killed = usize::from(status.leader == Some(status.member_id));
    cluster.members[killed].kill().await;
    let error = next(&mut watches[killed]).await.unwrap_err();
    assert!(matches!(error, Error::Connection(_)) && error.may_pass(), "{error:?}");

    let (stopped, last) = (1 - killed, 2);
    let mut client = healthy_client(&cluster.members[last]).await;
    let revision = change(&mut client, &[put("/a", "x")]).await;
    for index in [stopped, last] {
        assert_eq!(next(&mut watches[index]).await.unwrap(), [entry("/a", "x", revision, revision)]);
    }
    cluster.members[stopped].terminate();
    let error = next(&mut watches[stopped]).await.unwrap_err();
    assert!(matches!(error, Error::WatchEnded { .. }) && error.may_pass(), "{error:?}");

    let error = next(&mut watches[last]).await.unwrap_err();
    assert!(matches!(error, Error::QuorumLost), "{error:?}");
    let error = client.watch(&["/a"], 0).await.unwrap_err();
    assert!(matches!(error, Error::QuorumLost), "{error:?}");
}

#[tokio::test]
async fn a_watch_ends_when_it_is_dropped() {
    let cluster = cluster(1);
    let mut connection = Connection::over(cluster.members[0].stream().await).await.unwrap();
    let mut watchers = async || {
        let metrics = connection.get("/metrics").await.unwrap().text();
        let mut lines = metrics.lines();
        lines.find_map(|line| line.strip_prefix("etcd_debugging_mvcc_watcher_total ")).unwrap().to_owned()
    };
    let watch = watch(&cluster.members[0], &["/a"], 0).await;
    assert_eq!(watchers().await, "1");
    drop(watch);
    let gone =
        wait_until("the watch is gone", PATIENCE, OFTEN, async || (watchers().await == "0").then_some(()));
    gone.await.unwrap();
}
