//! Leases.

use std::time::Duration;

use super::{OFTEN, PATIENCE, cluster, healthy, healthy_client};
use crate::etcd::{Client, Error, Event, Op};
use crate::wait::wait_until;

/// The shortest that etcd grants.
const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_mins(1);

async fn put_with(client: &mut Client, key: &str, lease: u64) -> Result<(), Error> {
    let op = Op::Put { key: key.to_owned(), value: "x".to_owned(), lease: Some(lease) };
    client.txn(&[], &[op]).await.map(drop)
}

#[tokio::test]
async fn a_key_ends_with_its_lease_unless_that_is_kept_alive() {
    let cluster = cluster(1);
    let mut client = healthy_client(&cluster.members[0]).await;
    let watching = healthy_client(&cluster.members[0]).await;
    let mut watch = watching.watch(&["/a/"], 0).await.unwrap();
    let kept = client.grant(SHORT).await.unwrap();
    let left = client.grant(SHORT).await.unwrap();
    put_with(&mut client, "/a/kept", kept).await.unwrap();
    put_with(&mut client, "/a/left", left).await.unwrap();
    assert_eq!(client.range("/a/left").await.unwrap().1.unwrap().lease, left);

    let ended = wait_until("one lease ends", PATIENCE, OFTEN, async || {
        assert_eq!(client.keep_alive(kept).await.unwrap(), Some(SHORT));
        let (revision, entry) = client.range("/a/left").await.unwrap();
        entry.is_none().then_some(revision)
    });
    let revision = ended.await.unwrap();
    assert!(client.range("/a/kept").await.unwrap().1.is_some());
    for key in ["/a/kept", "/a/left"] {
        let events = watch.next().await.unwrap();
        assert!(matches!(&events[..], [Event::Put(entry)] if entry.key == key), "{events:?}");
    }
    assert_eq!(watch.next().await.unwrap(), [Event::Deleted { key: "/a/left".to_owned(), revision }]);
    assert_eq!(client.keep_alive(left).await.unwrap(), None);
}

#[tokio::test]
async fn a_revoked_lease_is_gone_with_its_keys_and_may_be_revoked_again() {
    let cluster = cluster(1);
    let mut client = healthy_client(&cluster.members[0]).await;
    let lease = client.grant(LONG).await.unwrap();
    assert_eq!(client.keep_alive(lease).await.unwrap(), Some(LONG));
    put_with(&mut client, "/a", lease).await.unwrap();

    client.revoke(lease).await.unwrap();
    client.revoke(lease).await.unwrap();
    assert_eq!(client.range("/a").await.unwrap().1, None);
    assert_eq!(client.keep_alive(lease).await.unwrap(), None);
    let error = put_with(&mut client, "/a", lease).await.unwrap_err();
    assert!(matches!(error, Error::LeaseGone), "{error:?}");
}

#[tokio::test]
async fn etcd_has_a_shortest_lease() {
    let cluster = cluster(1);
    let mut client = healthy_client(&cluster.members[0]).await;
    for wish in [Duration::ZERO, Duration::from_millis(1), SHORT] {
        let lease = client.grant(wish).await.unwrap();
        assert_eq!(client.keep_alive(lease).await.unwrap(), Some(SHORT), "{wish:?}");
    }
}

#[tokio::test]
async fn without_a_leader_no_lease_is_granted_kept_or_revoked() {
    let mut cluster = cluster(3);
    let (mut client, _) = healthy(&cluster.members[0]).await;
    let lease = client.grant(LONG).await.unwrap();
    cluster.members[1].kill().await;
    cluster.members[2].kill().await;

    // A leader believes in itself for a while.
    let lost = wait_until("the lease is not kept any more", PATIENCE, OFTEN, async || {
        client.keep_alive(lease).await.err()
    });
    let errors = [
        lost.await.unwrap(),
        client.grant(SHORT).await.unwrap_err(),
        client.revoke(lease).await.unwrap_err(),
    ];
    assert!(errors.iter().all(|error| matches!(error, Error::QuorumLost)), "{errors:?}");
}
