//! What etcd's JSON gateway says, as our own types. Numbers of 64 bits travel as strings, and whatever is
//! zero, empty or false is left out.

mod kv;
mod lease;
mod range;
mod watch;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::json;

pub use kv::{Compare, Entry, Op, Outcome, Page};
pub(super) use kv::{parse_outcome, parse_page, parse_pages, render_range, render_ranges, render_txn};
pub(super) use lease::{parse_granted, parse_kept, render_grant, render_lease};
pub(super) use range::Range;
pub use watch::Event;
pub(super) use watch::{Notice, parse_notice, render_watch};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    #[serde(rename = "ID", deserialize_with = "number")]
    pub id: u64,
    /// Empty until the member has started for the first time.
    #[serde(default)]
    pub name: String,
    #[serde(rename = "peerURLs", default)]
    pub peer_urls: Vec<String>,
    #[serde(rename = "clientURLs", default)]
    pub client_urls: Vec<String>,
}

impl Member {
    pub fn has_started(&self) -> bool {
        !self.name.is_empty()
    }
}

/// What one member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub version: String,
    pub member_id: u64,
    /// Absent while there is no leader.
    pub leader: Option<u64>,
    pub database_bytes: u64,
}

#[derive(Deserialize)]
struct Header {
    #[serde(deserialize_with = "number")]
    member_id: u64,
}

#[derive(Deserialize)]
struct Members {
    #[serde(default)]
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Added {
    member: Member,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawStatus {
    header: Header,
    version: String,
    #[serde(default, deserialize_with = "number")]
    leader: u64,
    #[serde(default, deserialize_with = "number")]
    db_size: u64,
}

#[derive(Deserialize)]
struct Complaint {
    error: Trouble,
}

/// An answer that could have been a stream has more to say.
#[derive(Deserialize)]
#[serde(untagged)]
enum Trouble {
    Plain(String),
    Streamed { message: String },
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

/// Reads a number that has a sign on the wire, and none for us: all that counts is that it comes back.
fn signed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(i64::cast_unsigned).map_err(D::Error::custom)
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

fn unbase64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(D::Error::custom)
}

pub(super) fn parse_members(body: &[u8]) -> Result<Vec<Member>, serde_json::Error> {
    serde_json::from_slice::<Members>(body).map(|answer| answer.members)
}

pub(super) fn parse_added(body: &[u8]) -> Result<Member, serde_json::Error> {
    serde_json::from_slice::<Added>(body).map(|answer| answer.member)
}

pub(super) fn parse_status(body: &[u8]) -> Result<Status, serde_json::Error> {
    let raw: RawStatus = serde_json::from_slice(body)?;
    Ok(Status {
        version: raw.version,
        member_id: raw.header.member_id,
        leader: (raw.leader != 0).then_some(raw.leader),
        database_bytes: raw.db_size,
    })
}

/// Returns what etcd complains of, whatever form the complaint has.
pub(super) fn parse_complaint(body: &[u8]) -> String {
    match serde_json::from_slice::<Complaint>(body) {
        Ok(Complaint { error: Trouble::Plain(text) | Trouble::Streamed { message: text } }) => {
            text.trim_start_matches("etcdserver: ").to_owned()
        }
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

pub(super) fn render_remove(id: u64) -> Vec<u8> {
    json!({ "ID": id.to_string() }).to_string().into_bytes()
}

pub(super) fn render_add(peer_url: &str) -> Vec<u8> {
    json!({ "peerURLs": [peer_url] }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_64_bit_ids_and_perhaps_no_name_yet() {
        let body = br#"{"header":{"cluster_id":"6660360254337417718","member_id":"1","raft_term":"2"},"members":[
            {"ID":"15803648178628663679","name":"n1","peerURLs":["http://a:2380"],"clientURLs":["http://a:2379"]},
            {"ID":"7","peerURLs":["http://b:2380"]}]}"#;
        let members = parse_members(body).unwrap();
        assert_eq!(members[0].id, 15_803_648_178_628_663_679);
        assert_eq!(members[0].client_urls, ["http://a:2379"]);
        assert!(members[0].has_started());
        assert!(!members[1].has_started());
        assert_eq!(parse_members(b"{}").unwrap(), []);
    }

    #[test]
    fn a_status_without_a_leader_has_none() {
        let status = |rest: &str| {
            let body = format!(r#"{{"header":{{"member_id":"5"}},"version":"3.4.23"{rest}}}"#);
            parse_status(body.as_bytes()).unwrap()
        };
        assert_eq!(status("").leader, None);
        let led = status(r#","leader":"9","dbSize":"20480","raftIndex":"9""#);
        assert_eq!((led.member_id, led.leader, led.database_bytes), (5, Some(9), 20480));
    }

    #[test]
    fn nonsense_is_refused() {
        for body in ["", "Not Found", r#"{"members":[{"ID":7}]}"#, r#"{"members":[{"ID":"x"}]}"#] {
            assert!(parse_members(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_complaint_is_read_in_any_form() {
        let json = br#"{"error":"etcdserver: unhealthy cluster","message":"x","code":14}"#;
        assert_eq!(parse_complaint(json), "unhealthy cluster");
        let streamed = br#"{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader",
            "http_status":"Service Unavailable"}}"#;
        assert_eq!(parse_complaint(streamed), "no leader");
        assert_eq!(parse_complaint(b"Not Found\n"), "Not Found");
    }
}
