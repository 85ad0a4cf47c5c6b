//! What is expected of a registry, asked of both: the one in memory and the one in etcd.

use std::time::Duration;

use super::{Compare, Error, EtcdRegistry, Event, MemoryRegistry, Op, Outcome, Registry, Watch};
use crate::etcd::contract::{Cluster, cluster};
use crate::wait::wait_until;

/// The shortest lease that etcd grants.
const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_mins(1);
const OFTEN: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(90);

fn write(key: &str, value: &str, lease: Option<u64>) -> Op {
    Op::Put { key: key.to_owned(), value: value.to_owned(), lease }
}

fn erase(key: &str) -> Op {
    Op::Delete { key: key.to_owned() }
}

fn unchanged(key: &str, is: u64) -> Compare {
    Compare::Revision { key: key.to_owned(), is }
}

fn keys(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Makes changes that depend on nothing; returns their revision.
async fn change(registry: &impl Registry, ops: Vec<Op>) -> u64 {
    let outcome = registry.commit(Vec::new(), ops).await.unwrap();
    assert!(outcome.succeeded);
    outcome.revision
}

async fn value(registry: &impl Registry, key: &str) -> Option<String> {
    registry.read(&keys(&[key])).await.unwrap().entries.first().map(|entry| entry.value.clone())
}

/// Returns what a watch tells, as `key=value` and `-key`, until it has told this much.
async fn told(watch: &mut impl Watch, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < count {
        let events = watch.next().await.unwrap();
        assert!(!events.is_empty());
        told.extend(events.iter().map(|event| match event {
            Event::Put(entry) => format!("{}={}", entry.key, entry.value),
            Event::Deleted { key, .. } => format!("-{key}"),
        }));
    }
    told
}

async fn contract(registry: &impl Registry) {
    reads_are_of_one_revision(registry).await;
    commits_are_whole_and_guarded(registry).await;
    watches_tell_everything_in_order(registry).await;
    leases_end_with_their_keys(registry).await;
    leases_that_are_gone_stay_gone(registry).await;
}

async fn reads_are_of_one_revision(registry: &impl Registry) {
    let revision = change(registry, vec![write("/r/a/1", "x", None), write("/r/b", "y", None)]).await;
    change(registry, vec![write("/r/a/1", "z", None), write("/r/bc", "no", None)]).await;
    let page = registry.read(&keys(&["/r/a/", "/r/b", "/r/none/"])).await.unwrap();
    assert_eq!(page.revision, revision + 1);
    let found: Vec<_> = page.entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
    assert_eq!(found, [("/r/a/1", "z"), ("/r/b", "y")]);
    let revisions: Vec<_> = page.entries.iter().map(|entry| (entry.created, entry.revision)).collect();
    assert_eq!(revisions, [(revision, revision + 1), (revision, revision)]);
}

async fn commits_are_whole_and_guarded(registry: &impl Registry) {
    let ops = || vec![write("/c/a", "1", None), write("/c/b", "1", None)];
    let first = registry.commit(vec![unchanged("/c/a", 0)], ops()).await.unwrap();
    assert!(first.succeeded);
    let again = registry.commit(vec![unchanged("/c/a", 0)], ops()).await.unwrap();
    assert_eq!(again, Outcome { succeeded: false, revision: first.revision });

    let other = vec![write("/c/a", "2", None), erase("/c/b"), erase("/c/none")];
    let half = vec![unchanged("/c/a", first.revision), unchanged("/c/b", 1)];
    assert!(!registry.commit(half, other.clone()).await.unwrap().succeeded);
    assert_eq!(value(registry, "/c/b").await.as_deref(), Some("1"));
    let whole = vec![unchanged("/c/a", first.revision), unchanged("/c/b", first.revision)];
    assert!(registry.commit(whole, other).await.unwrap().succeeded);
    assert_eq!(value(registry, "/c/a").await.as_deref(), Some("2"));
    assert_eq!(value(registry, "/c/b").await, None);

    // It was written since, and it is still the one that was created then.
    let created = Compare::Created { key: "/c/a".to_owned(), is: first.revision };
    let all = vec![Op::DeletePrefix { prefix: "/c/".to_owned() }];
    assert!(registry.commit(vec![created.clone()], all.clone()).await.unwrap().succeeded);
    assert_eq!(registry.read(&keys(&["/c/"])).await.unwrap().entries, []);
    assert!(!registry.commit(vec![created], all).await.unwrap().succeeded);
}

async fn watches_tell_everything_in_order(registry: &impl Registry) {
    let first = change(registry, vec![write("/w/a/1", "1", None), write("/w/c", "1", None)]).await;
    change(registry, vec![write("/w/b", "other", None)]).await;
    change(registry, vec![write("/w/a/1", "2", None), write("/w/a/2", "2", None)]).await;
    change(registry, vec![erase("/w/a/1")]).await;
    let watched = keys(&["/w/a/", "/w/c"]);
    let mut old = registry.watch(&watched, first).await.unwrap();
    let mut young = registry.watch(&watched, first + 2).await.unwrap();
    let since = ["/w/a/1=2", "/w/a/2=2", "-/w/a/1"];
    assert_eq!(told(&mut old, 5).await, [&["/w/a/1=1", "/w/c=1"][..], &since].concat());
    assert_eq!(told(&mut young, 3).await, since);
    let (_, heard) = tokio::join!(change(registry, vec![write("/w/c", "3", None)]), told(&mut old, 1));
    assert_eq!(heard, ["/w/c=3"]);
    assert_eq!(told(&mut young, 1).await, ["/w/c=3"]);
}

async fn leases_end_with_their_keys(registry: &impl Registry) {
    let (kept, left) = (registry.grant(SHORT).await.unwrap(), registry.grant(SHORT).await.unwrap());
    let ops =
        vec![write("/l/a", "x", Some(kept)), write("/l/b", "x", Some(left)), write("/l/c", "x", Some(left))];
    let revision = change(registry, ops).await;
    assert_eq!(registry.read(&keys(&["/l/b"])).await.unwrap().entries[0].lease, left);
    let mut watch = registry.watch(&keys(&["/l/"]), revision + 1).await.unwrap();
    let ended = wait_until("a lease ends", PATIENCE, OFTEN, async || {
        assert_eq!(registry.keep_alive(kept).await.unwrap(), Some(SHORT));
        value(registry, "/l/b").await.is_none().then_some(())
    });
    ended.await.unwrap();
    assert_eq!(value(registry, "/l/a").await.as_deref(), Some("x"));
    assert_eq!(told(&mut watch, 2).await, ["-/l/b", "-/l/c"]);

    // What is written without a lease is not bound to the one that it had before.
    change(registry, vec![write("/l/a", "y", None)]).await;
    registry.revoke(kept).await.unwrap();
    assert_eq!(value(registry, "/l/a").await.as_deref(), Some("y"));
}

async fn leases_that_are_gone_stay_gone(registry: &impl Registry) {
    let lease = registry.grant(LONG).await.unwrap();
    change(registry, vec![write("/g/a", "x", Some(lease))]).await;
    registry.revoke(lease).await.unwrap();
    registry.revoke(lease).await.unwrap();
    assert_eq!(value(registry, "/g/a").await, None);
    assert_eq!(registry.keep_alive(lease).await.unwrap(), None);
    let ops = vec![write("/g/b", "x", None), write("/g/a", "x", Some(lease))];
    let refused = registry.commit(Vec::new(), ops).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    assert_eq!(registry.read(&keys(&["/g/"])).await.unwrap().entries, []);
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_the_contract() {
    contract(&MemoryRegistry::new()).await;
}

#[tokio::test(start_paused = true)]
async fn memory_says_what_it_has_forgotten() {
    let registry = MemoryRegistry::new();
    let first = change(&registry, vec![write("/a", "1", None)]).await;
    let mut watch = registry.watch(&keys(&["/a"]), first).await.unwrap();
    change(&registry, vec![write("/a", "2", None)]).await;
    registry.compact();
    let forgotten = watch.next().await;
    assert!(matches!(forgotten, Err(Error::Forgotten { .. })), "{forgotten:?}");
    let mut young = registry.watch(&keys(&["/a"]), first + 2).await.unwrap();
    change(&registry, vec![write("/a", "3", None)]).await;
    assert_eq!(told(&mut young, 1).await, ["/a=3"]);
}

/// Returns a registry that knows all members, when they are well.
async fn etcd(cluster: &Cluster) -> EtcdRegistry {
    let registry = EtcdRegistry::new(cluster.endpoints());
    let ready = wait_until("the registry answers", PATIENCE, OFTEN, async || {
        registry.read(&keys(&["/none"])).await.ok()
    });
    ready.await.unwrap();
    registry
}

#[tokio::test]
async fn one_etcd_keeps_the_contract() {
    let cluster = cluster(1);
    contract(&etcd(&cluster).await).await;
}

#[tokio::test]
async fn three_etcds_keep_the_contract_and_so_do_the_two_that_are_left() {
    let mut cluster = cluster(3);
    let registry = etcd(&cluster).await;
    contract(&registry).await;
    let lease = registry.grant(LONG).await.unwrap();
    change(&registry, vec![write("/m/a", "x", Some(lease))]).await;

    cluster.kill(0).await;
    let mut last = None;
    let goes_on = wait_until("the others answer", PATIENCE, OFTEN, async || {
        registry.read(&keys(&["/m/a"])).await.map_err(|error| last = Some(error)).ok()
    });
    let page = goes_on.await;
    assert_eq!(page.unwrap_or_else(|error| panic!("{error}: {last:?}")).entries.len(), 1);
    assert_eq!(registry.keep_alive(lease).await.unwrap(), Some(LONG));
    registry.commit(vec![], vec![Op::DeletePrefix { prefix: "/".to_owned() }]).await.unwrap();
    contract(&registry).await;
}
