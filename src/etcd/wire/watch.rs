//! What a watch says, line by line.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::kv::{Entry, RawEntry, text};
use super::{Range, number};

/// What became of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Put(Entry),
    /// Deleted by someone, or with its lease.
    Deleted {
        key: String,
        revision: u64,
    },
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub enum Notice {
    /// The watch is there, and nothing from its revision on will be missed.
    Created,
    /// Perhaps none, as etcd says from time to time that it is still there.
    Events(Vec<Event>),
    /// The history begins at this revision now, which is later than the watch.
    Compacted {
        revision: u64,
    },
    Canceled {
        reason: String,
    },
    /// The line is a complaint.
    Failed,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Result(Answer),
    Error(IgnoredAny),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    created: bool,
    #[serde(default)]
    canceled: bool,
    #[serde(default)]
    cancel_reason: String,
    #[serde(default, deserialize_with = "number")]
    compact_revision: u64,
    #[serde(default)]
    events: Vec<RawEvent>,
}

#[derive(Deserialize)]
struct RawEvent {
    #[serde(default, rename = "type")]
    kind: Kind,
    kv: RawEntry,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    #[default]
    Put,
    Delete,
}

/// Reads a line, of which only events of these keys are kept: what others write there need not be text.
pub fn parse_notice(line: &[u8], keys: &[Range]) -> Result<Notice, serde_json::Error> {
    let result = match serde_json::from_slice(line)? {
        Line::Result(result) => result,
        Line::Error(IgnoredAny) => return Ok(Notice::Failed),
    };
    if result.compact_revision > 0 {
        return Ok(Notice::Compacted { revision: result.compact_revision });
    }
    // A watch that could not be made is both created and canceled.
    if result.canceled {
        return Ok(Notice::Canceled { reason: result.cancel_reason });
    }
    if result.created {
        return Ok(Notice::Created);
    }
    let is_meant = |event: &RawEvent| keys.iter().any(|range| range.contains(&event.kv.key));
    let events = result.events.into_iter().filter(is_meant).map(event);
    events.collect::<Result<_, _>>().map(Notice::Events)
}

fn event(raw: RawEvent) -> Result<Event, serde_json::Error> {
    match raw.kind {
        Kind::Put => Entry::try_from(raw.kv).map(Event::Put),
        Kind::Delete => Ok(Event::Deleted { revision: raw.kv.mod_revision, key: text(raw.kv.key)? }),
    }
}

pub fn render_watch(range: &Range, from_revision: u64) -> Vec<u8> {
    let create = json!({
        "key": range.start_in_base64(),
        "range_end": range.end_in_base64(),
        "start_revision": from_revision.to_string(),
    });
    json!({ "create_request": create }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(result: &str, want: &Notice) {
        let line = format!(r#"{{"result":{{"header":{{"revision":"6","raft_term":"2"}}{result}}}}}"#);
        let keys = [Range::named("/a/"), Range::named("/b/1")];
        assert_eq!(&parse_notice(line.as_bytes(), &keys).unwrap(), want, "{line}");
    }

    #[test]
    fn a_watch_begins_and_ends() {
        check(r#","watch_id":"1","created":true"#, &Notice::Created);
        check("", &Notice::Events(Vec::new()));
        check(r#","canceled":true,"compact_revision":"5""#, &Notice::Compacted { revision: 5 });
        let reason = "mvcc: watcher range is empty".to_owned();
        check(
            r#","watch_id":"-1","created":true,"canceled":true,"cancel_reason":"mvcc: watcher range is empty""#,
            &Notice::Canceled { reason },
        );
    }

    #[test]
    fn events_keep_their_order_and_those_of_others_are_left_out() {
        let put = Entry { key: "/a/1".to_owned(), value: "z".to_owned(), created: 2, revision: 6, lease: 0 };
        let deleted = Event::Deleted { key: "/b/1".to_owned(), revision: 6 };
        check(
            r#","events":[
            {"kv":{"key":"L2EvMQ==","create_revision":"2","mod_revision":"6","version":"2","value":"eg=="}},
            {"kv":{"key":"L2H/","create_revision":"2","mod_revision":"6","version":"2","value":"/w=="}},
            {"type":"DELETE","kv":{"key":"L2IvMQ==","mod_revision":"6"}}]"#,
            &Notice::Events(vec![Event::Put(put), deleted]),
        );
    }

    #[test]
    fn a_line_that_says_nothing_is_refused() {
        for line in ["", "{}", "Not Found", r#"{"result":7}"#] {
            assert!(parse_notice(line.as_bytes(), &[]).is_err(), "{line}");
        }
        let complaint = br#"{"error":{"grpc_code":14,"message":"etcdserver: no leader"}}"#;
        assert_eq!(parse_notice(complaint, &[]).unwrap(), Notice::Failed);
    }

    #[test]
    fn a_watch_is_of_a_range_from_a_revision_on() {
        let want = json!({"create_request": {"key": "L2Ev", "range_end": "L2Ew", "start_revision": "7"}});
        let rendered: serde_json::Value =
            serde_json::from_slice(&render_watch(&Range::named("/a/"), 7)).unwrap();
        assert_eq!(rendered, want);
    }
}
