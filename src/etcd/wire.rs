//! What etcd's JSON gateway says, as our own types. Numbers of 64 bits travel as strings, and whatever is
//! zero, empty or false is left out.

use serde::{Deserialize, Deserializer};
use serde_json::json;

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
    error: String,
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
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
    serde_json::from_slice::<Complaint>(body).map_or_else(
        |_| String::from_utf8_lossy(body).trim().to_owned(),
        |complaint| complaint.error.trim_start_matches("etcdserver: ").to_owned(),
    )
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
        assert_eq!(parse_complaint(b"Not Found\n"), "Not Found");
    }
}
