//! Keys and transactions. Keys and values travel in base64; ours are text.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{Range, base64, number, signed, unbase64};

/// A key with its value, as of the revision at which it was read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawEntry")]
pub struct Entry {
    pub key: String,
    pub value: String,
    /// The revision that made the key. One that is deleted and put again has another.
    pub created: u64,
    /// The revision that wrote the value.
    pub revision: u64,
    /// The lease with which the key ends; 0 if there is none.
    pub lease: u64,
}

/// What some keys were at one revision, sorted by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub revision: u64,
    pub entries: Vec<Entry>,
}

/// What must be so for a transaction to succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The revision that wrote the key last; 0 says that the key is absent.
    Revision { key: String, is: u64 },
    /// The revision that made the key; 0 says that the key is absent.
    Created { key: String, is: u64 },
}

/// A change. Those of one transaction must not touch the same key: etcd refuses two that put it, and
/// one that puts what another deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Put { key: String, value: String, lease: Option<u64> },
    Delete { key: String },
    DeletePrefix { prefix: String },
}

/// How a transaction ended. One that did not succeed changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub succeeded: bool,
    /// The revision that it made, or that it was compared with.
    pub revision: u64,
}

#[derive(Deserialize)]
pub(super) struct RawEntry {
    #[serde(deserialize_with = "unbase64")]
    pub key: Vec<u8>,
    #[serde(default, deserialize_with = "unbase64")]
    value: Vec<u8>,
    #[serde(default, deserialize_with = "number")]
    create_revision: u64,
    #[serde(deserialize_with = "number")]
    pub mod_revision: u64,
    #[serde(default, deserialize_with = "signed")]
    lease: u64,
}

impl TryFrom<RawEntry> for Entry {
    type Error = serde_json::Error;

    fn try_from(raw: RawEntry) -> Result<Self, Self::Error> {
        let key = text(raw.key)?;
        let value = String::from_utf8(raw.value)
            .map_err(|_| serde_json::Error::custom(format!("the value of `{key}` is not text")))?;
        Ok(Self { key, value, created: raw.create_revision, revision: raw.mod_revision, lease: raw.lease })
    }
}

pub(super) fn text(key: Vec<u8>) -> Result<String, serde_json::Error> {
    String::from_utf8(key).map_err(|error| {
        let readable = String::from_utf8_lossy(error.as_bytes()).into_owned();
        serde_json::Error::custom(format!("the key `{readable}` is not text"))
    })
}

#[derive(Deserialize)]
struct Header {
    #[serde(deserialize_with = "number")]
    revision: u64,
}

#[derive(Deserialize)]
struct Found {
    header: Header,
    #[serde(default)]
    kvs: Vec<Entry>,
}

#[derive(Deserialize)]
struct Done {
    header: Header,
    #[serde(default)]
    succeeded: bool,
    #[serde(default)]
    responses: Vec<Response>,
}

/// The answer to one operation of a transaction; of no other kind than this we need one.
#[derive(Deserialize)]
struct Response {
    #[serde(default, rename = "response_range", deserialize_with = "found")]
    entries: Vec<Entry>,
}

fn found<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry>, D::Error> {
    Found::deserialize(deserializer).map(|found| found.kvs)
}

pub fn parse_page(body: &[u8]) -> Result<Page, serde_json::Error> {
    let found: Found = serde_json::from_slice(body)?;
    Ok(page(found.header.revision, found.kvs))
}

/// Returns what a transaction of nothing but ranges found. A key in several of them is there once.
pub fn parse_pages(body: &[u8]) -> Result<Page, serde_json::Error> {
    let done: Done = serde_json::from_slice(body)?;
    Ok(page(done.header.revision, done.responses.into_iter().flat_map(|response| response.entries).collect()))
}

fn page(revision: u64, mut entries: Vec<Entry>) -> Page {
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    entries.dedup_by(|a, b| a.key == b.key);
    Page { revision, entries }
}

pub fn parse_outcome(body: &[u8]) -> Result<Outcome, serde_json::Error> {
    let done: Done = serde_json::from_slice(body)?;
    Ok(Outcome { succeeded: done.succeeded, revision: done.header.revision })
}

pub fn render_range(range: &Range) -> Vec<u8> {
    range_value(range).to_string().into_bytes()
}

/// Renders a transaction that reads all of these at one revision.
pub fn render_ranges(ranges: &[Range]) -> Vec<u8> {
    let reads: Vec<Value> =
        ranges.iter().map(|range| json!({ "request_range": range_value(range) })).collect();
    json!({ "success": reads }).to_string().into_bytes()
}

pub fn render_txn(compares: &[Compare], ops: &[Op]) -> Vec<u8> {
    let compares: Vec<Value> = compares.iter().map(compare_value).collect();
    let ops: Vec<Value> = ops.iter().map(op_value).collect();
    json!({ "compare": compares, "success": ops }).to_string().into_bytes()
}

fn range_value(range: &Range) -> Value {
    json!({ "key": range.start_in_base64(), "range_end": range.end_in_base64() })
}

fn compare_value(compare: &Compare) -> Value {
    match compare {
        Compare::Revision { key, is } => {
            json!({ "key": base64(key), "target": "MOD", "mod_revision": is.to_string() })
        }
        Compare::Created { key, is } => {
            json!({ "key": base64(key), "target": "CREATE", "create_revision": is.to_string() })
        }
    }
}

fn op_value(op: &Op) -> Value {
    match op {
        Op::Put { key, value, lease } => {
            let lease = lease.unwrap_or_default().cast_signed().to_string();
            json!({ "request_put": { "key": base64(key), "value": base64(value), "lease": lease } })
        }
        Op::Delete { key } => json!({ "request_delete_range": range_value(&Range::exactly(key)) }),
        Op::DeletePrefix { prefix } => json!({ "request_delete_range": range_value(&Range::below(prefix)) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, value: &str, created: u64, revision: u64, lease: u64) -> Entry {
        Entry { key: key.to_owned(), value: value.to_owned(), created, revision, lease }
    }

    fn rendered(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn entries_are_text_with_revisions_and_perhaps_a_lease() {
        let body = br#"{"header":{"cluster_id":"1","member_id":"2","revision":"6","raft_term":"2"},"kvs":[
            {"key":"L2EvMQ==","create_revision":"2","mod_revision":"6","version":"2","value":"eg==","lease":"-5"},
            {"key":"L2EvMg==","create_revision":"3","mod_revision":"3","version":"1"}],"count":"2"}"#;
        let page = parse_page(body).unwrap();
        assert_eq!(page.revision, 6);
        assert_eq!(page.entries, [entry("/a/1", "z", 2, 6, u64::MAX - 4), entry("/a/2", "", 3, 3, 0)]);
        assert_eq!(parse_page(br#"{"header":{"revision":"6"}}"#).unwrap().entries, []);
    }

    #[test]
    fn several_ranges_make_one_page_in_order() {
        let body = br#"{"header":{"revision":"9"},"succeeded":true,"responses":[
            {"response_range":{"header":{"revision":"9"},"kvs":[
                {"key":"L2I=","create_revision":"4","mod_revision":"4","version":"1","value":"eQ=="}],"count":"1"}},
            {"response_range":{"header":{"revision":"9"}}},
            {"response_range":{"header":{"revision":"9"},"kvs":[
                {"key":"L2E=","create_revision":"2","mod_revision":"2","version":"1","value":"eA=="},
                {"key":"L2I=","create_revision":"4","mod_revision":"4","version":"1","value":"eQ=="}],"count":"2"}}]}"#;
        let page = parse_pages(body).unwrap();
        assert_eq!(page.revision, 9);
        assert_eq!(page.entries, [entry("/a", "x", 2, 2, 0), entry("/b", "y", 4, 4, 0)]);
    }

    #[test]
    fn an_outcome_without_success_is_a_failure() {
        let done = br#"{"header":{"revision":"6"},"succeeded":true,"responses":[
            {"response_put":{"header":{"revision":"6"}}},
            {"response_delete_range":{"header":{"revision":"6"},"deleted":"1"}}]}"#;
        assert_eq!(parse_outcome(done).unwrap(), Outcome { succeeded: true, revision: 6 });
        let failed = parse_outcome(br#"{"header":{"revision":"7"}}"#).unwrap();
        assert_eq!(failed, Outcome { succeeded: false, revision: 7 });
    }

    #[test]
    fn what_is_not_text_is_named() {
        let complaint = |key: &str, value: &str| {
            let body = format!(
                r#"{{"header":{{"revision":"1"}},"kvs":[{{"key":"{key}","mod_revision":"1","value":"{value}"}}]}}"#
            );
            parse_page(body.as_bytes()).unwrap_err().to_string()
        };
        assert!(complaint("L2E=", "/w==").contains("the value of `/a` is not text"));
        assert!(complaint("L/8=", "").contains("the key `/\u{fffd}` is not text"));
        assert!(complaint("L2E=", "%").contains("Invalid"), "{}", complaint("L2E=", "%"));
    }

    #[test]
    fn a_transaction_says_what_must_be_and_what_shall_be() {
        let compares = [
            Compare::Revision { key: "/a".to_owned(), is: 0 },
            Compare::Created { key: "/b".to_owned(), is: 7 },
        ];
        let ops = [
            Op::Put { key: "/a".to_owned(), value: "x".to_owned(), lease: Some(u64::MAX - 4) },
            Op::Put { key: "/b".to_owned(), value: String::new(), lease: None },
            Op::Delete { key: "/c".to_owned() },
            Op::DeletePrefix { prefix: "/d/".to_owned() },
        ];
        let want = json!({
            "compare": [
                { "key": "L2E=", "target": "MOD", "mod_revision": "0" },
                { "key": "L2I=", "target": "CREATE", "create_revision": "7" },
            ],
            "success": [
                { "request_put": { "key": "L2E=", "value": "eA==", "lease": "-5" } },
                { "request_put": { "key": "L2I=", "value": "", "lease": "0" } },
                { "request_delete_range": { "key": "L2M=", "range_end": "L2MA" } },
                { "request_delete_range": { "key": "L2Qv", "range_end": "L2Qw" } },
            ],
        });
        assert_eq!(rendered(&render_txn(&compares, &ops)), want);
    }

    #[test]
    fn ranges_are_read_alone_or_together() {
        let range = json!({ "key": "L2Qv", "range_end": "L2Qw" });
        assert_eq!(rendered(&render_range(&Range::named("/d/"))), range);
        let both = rendered(&render_ranges(&[Range::named("/d/"), Range::named("/c")]));
        let exact = json!({ "key": "L2M=", "range_end": "L2MA" });
        assert_eq!(both, json!({ "success": [{ "request_range": range }, { "request_range": exact }] }));
    }
}
