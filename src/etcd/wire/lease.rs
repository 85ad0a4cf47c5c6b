//! Leases. Their numbers have a sign on the wire, which means nothing.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::signed;

#[derive(Deserialize)]
struct Granted {
    #[serde(rename = "ID", deserialize_with = "signed")]
    id: u64,
}

#[derive(Deserialize)]
struct Kept {
    result: Left,
}

#[derive(Deserialize)]
struct Left {
    /// Left out if the lease is gone.
    #[serde(rename = "TTL", default, deserialize_with = "signed")]
    seconds: u64,
}

pub fn parse_granted(body: &[u8]) -> Result<u64, serde_json::Error> {
    serde_json::from_slice::<Granted>(body).map(|granted| granted.id)
}

/// Returns how long a lease lasts from now on; `None` if it is gone.
pub fn parse_kept(body: &[u8]) -> Result<Option<Duration>, serde_json::Error> {
    let Kept { result } = serde_json::from_slice(body)?;
    let is_left = result.seconds.cast_signed() > 0;
    Ok(is_left.then(|| Duration::from_secs(result.seconds)))
}

/// Renders the wish for a lease, in whole seconds and never shorter than wished.
pub fn render_grant(ttl: Duration) -> Vec<u8> {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    json!({ "TTL": seconds.to_string() }).to_string().into_bytes()
}

pub fn render_lease(id: u64) -> Vec<u8> {
    json!({ "ID": id.cast_signed().to_string() }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_keeps_its_number_whatever_its_sign() {
        let granted = |id: &str| parse_granted(format!(r#"{{"ID":"{id}","TTL":"2"}}"#).as_bytes()).unwrap();
        assert_eq!(granted("4390624895285239050"), 4_390_624_895_285_239_050);
        assert_eq!(render_lease(granted("-5")), br#"{"ID":"-5"}"#);
        assert!(parse_granted(b"{}").is_err());
    }

    #[test]
    fn a_lease_without_time_is_gone() {
        let kept = |rest: &str| parse_kept(format!(r#"{{"result":{{"ID":"7"{rest}}}}}"#).as_bytes()).unwrap();
        assert_eq!(kept(r#","TTL":"30""#), Some(Duration::from_secs(30)));
        assert_eq!(kept(""), None);
        assert_eq!(kept(r#","TTL":"-1""#), None);
    }

    #[test]
    fn a_wish_is_rounded_up_to_seconds() {
        assert_eq!(render_grant(Duration::from_secs(5)), br#"{"TTL":"5"}"#);
        assert_eq!(render_grant(Duration::from_millis(1001)), br#"{"TTL":"2"}"#);
    }
}
