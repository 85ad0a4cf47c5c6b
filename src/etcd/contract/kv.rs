//! Keys and transactions.

use tokio::time::Instant;

use super::{absent, change, cluster, delete, healthy, healthy_client, put};
use crate::etcd::{Compare, Error, Op, Page};

fn keys(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| entry.key.as_str()).collect()
}

#[tokio::test]
async fn what_is_put_is_found_until_it_is_deleted() {
    let cluster = cluster(1);
    let mut client = healthy_client(&cluster.members[0]).await;
    let (before, nothing) = client.range("/a/1").await.unwrap();
    assert_eq!(nothing, None);

    let made = change(&mut client, &[put("/a/1", "ü\n\0"), put("/a/2", "")]).await;
    assert_eq!(made, before + 1);
    let (revision, entry) = client.range("/a/1").await.unwrap();
    let entry = entry.unwrap();
    assert_eq!((revision, entry.value.as_str()), (made, "ü\n\0"));
    assert_eq!((entry.created, entry.revision, entry.lease), (made, made, 0));

    let again = change(&mut client, &[put("/a/1", "z")]).await;
    let entry = client.range("/a/1").await.unwrap().1.unwrap();
    assert_eq!((entry.created, entry.revision), (made, again));

    change(&mut client, &[delete("/a/1"), delete("/never")]).await;
    assert_eq!(client.range("/a/1").await.unwrap().1, None);
    assert_eq!(client.range("/a/2").await.unwrap().1.unwrap().value, "");
}

#[tokio::test]
async fn pages_are_in_order_and_of_one_revision() {
    let cluster = cluster(1);
    let mut client = healthy_client(&cluster.members[0]).await;
    for key in ["/b/2", "/a", "/b/10", "/b", "/b/1", "/c/1", "/b0"] {
        change(&mut client, &[put(key, "x")]).await;
    }
    assert_eq!(keys(&client.prefix("/b/").await.unwrap()), ["/b/1", "/b/10", "/b/2"]);
    assert_eq!(keys(&client.prefix("/b").await.unwrap()), ["/b", "/b/1", "/b/10", "/b/2", "/b0"]);
    assert_eq!(client.prefix("").await.unwrap().entries.len(), 7);

    let page = client.prefixes(&["/c/", "/b", "/a", "/b/", "/b/1", "/none/"]).await.unwrap();
    assert_eq!(keys(&page), ["/a", "/b", "/b/1", "/b/10", "/b/2", "/c/1"]);
    assert_eq!(page.revision, client.prefixes(&[]).await.unwrap().revision);

    change(&mut client, &[Op::DeletePrefix { prefix: "/b/".to_owned() }, put("/b1", "")]).await;
    assert_eq!(keys(&client.prefix("/").await.unwrap()), ["/a", "/b", "/b0", "/b1", "/c/1"]);
}

#[tokio::test]
async fn a_transaction_does_all_or_nothing() {
    let cluster = cluster(1);
    let mut client = healthy_client(&cluster.members[0]).await;
    let first = client.txn(&[absent("/a"), absent("/b")], &[put("/a", "1"), put("/b", "1")]).await.unwrap();
    assert!(first.succeeded);

    let both = [Compare::Created { key: "/b".to_owned(), is: first.revision }, absent("/a")];
    let failed = client.txn(&both, &[put("/b", "2"), delete("/a")]).await.unwrap();
    assert_eq!((failed.succeeded, failed.revision), (false, first.revision));
    assert_eq!(client.range("/b").await.unwrap().1.unwrap().value, "1");

    let is_first = |key: &str| Compare::Revision { key: key.to_owned(), is: first.revision };
    let second = client.txn(&[is_first("/a"), is_first("/b")], &[put("/b", "2")]).await.unwrap();
    assert!(second.succeeded);
    assert!(!client.txn(&[is_first("/b")], &[delete("/b")]).await.unwrap().succeeded);
    let created = Compare::Created { key: "/b".to_owned(), is: first.revision };
    assert!(client.txn(&[created], &[delete("/b")]).await.unwrap().succeeded);
    assert!(client.txn(&[Compare::Created { key: "/b".to_owned(), is: 0 }], &[]).await.unwrap().succeeded);
}

#[tokio::test]
async fn changes_of_one_key_do_not_go_together_and_there_is_a_limit() {
    let cluster = cluster(1);
    let mut client = healthy_client(&cluster.members[0]).await;
    let folder = Op::DeletePrefix { prefix: "/a/".to_owned() };
    for ops in [[put("/a/1", ""), put("/a/1", "")], [folder, put("/a/1", "")]] {
        let error = client.txn(&[], &ops).await.unwrap_err();
        assert_eq!(error.to_string(), "etcd refused: duplicate key given in txn request");
    }
    change(&mut client, &[delete("/a/1"), delete("/a/1"), Op::DeletePrefix { prefix: "/a/".to_owned() }])
        .await;

    let many: Vec<Op> = (0..129).map(|index| put(&format!("/a/{index}"), "")).collect();
    change(&mut client, &many[..128]).await;
    let error = client.txn(&[], &many).await.unwrap_err();
    assert_eq!(error.to_string(), "etcd refused: too many operations in txn request");
    let error = client.txn(&[], &[put("", "x")]).await.unwrap_err();
    assert_eq!(error.to_string(), "etcd refused: key is not provided");
}

#[tokio::test]
async fn a_page_may_be_larger_than_a_change() {
    let cluster = cluster(1);
    let mut client = healthy_client(&cluster.members[0]).await;
    let large = "v".repeat(1_000_000);
    for index in 0..5 {
        change(&mut client, &[put(&format!("/a/{index}"), &large)]).await;
    }
    let page = client.prefix("/a/").await.unwrap();
    assert!(page.entries.len() == 5 && page.entries.iter().all(|entry| entry.value == large));
    let error = client.txn(&[], &[put("/a/6", &large.repeat(2))]).await.unwrap_err();
    assert_eq!(error.to_string(), "etcd refused: request is too large");
}

#[tokio::test]
async fn without_a_quorum_etcd_says_so_within_the_limit_and_again_on_the_same_connection() {
    let mut cluster = cluster(3);
    let (mut client, _) = healthy(&cluster.members[0]).await;
    change(&mut client, &[put("/a", "1")]).await;
    cluster.members[1].kill().await;
    cluster.members[2].kill().await;

    for _ in 0..3 {
        let asked = Instant::now();
        let error = client.txn(&[absent("/a")], &[put("/a", "2")]).await.unwrap_err();
        assert!(matches!(error, Error::QuorumLost), "{error:?}");
        let error = client.range("/a").await.unwrap_err();
        assert!(matches!(error, Error::QuorumLost) && error.may_pass(), "{error:?}");
        assert!(asked.elapsed() < 2 * client.connection.limit());
    }
}
