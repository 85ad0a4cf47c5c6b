//! Which containers were started again, when, and whether one after the other: as the engines of the nodes tell it.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::kit::TestLab;

/// A moment, in nanoseconds, by the one clock that this host and its nodes have.
pub type Moment = u128;

/// A container that ended and was started again on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    pub node: String,
    pub stopped: Moment,
    pub started: Moment,
}

pub fn now() -> Moment {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_nanos()
}

/// Returns all restarts of a container since then, in their order.
#[track_caller]
pub fn restarts(lab: &TestLab, since: Moment, container: &str) -> Vec<Restart> {
    let mut all = Vec::new();
    for (node, events) in events(lab, since, container) {
        let mut stopped = None;
        for (what, at) in events {
            match what.as_str() {
                "die" => stopped = Some(at),
                // The first start on a node is none again.
                _ => all.extend(stopped.take().map(|stopped| Restart {
                    node: node.clone(),
                    stopped,
                    started: at,
                })),
            }
        }
        assert_eq!(stopped, None, "{container} did not come back on {node}");
    }
    all.sort_by_key(|restart| restart.stopped);
    all
}

/// Returns when a container was started for the first time, on each node where that was since then.
#[track_caller]
pub fn first_starts(lab: &TestLab, since: Moment, container: &str) -> BTreeMap<String, Moment> {
    let first = |(node, events): (String, Vec<(String, Moment)>)| {
        events.first().filter(|(what, _)| what == "start").map(|(_, at)| (node, *at))
    };
    events(lab, since, container).into_iter().filter_map(first).collect()
}

/// Returns the starts and ends of a container on each node.
#[track_caller]
fn events(lab: &TestLab, since: Moment, container: &str) -> BTreeMap<String, Vec<(String, Moment)>> {
    let line = format!(
        "docker events --since {} --until $(date +%s.%N) --filter container={container} --filter event=start \
         --filter event=die --format '{{{{.Action}}}} {{{{.TimeNano}}}}'",
        since / 1_000_000_000
    );
    let event = |line: &str| {
        let (what, at) = line.split_once(' ').expect("an event is a word and a time");
        (what.to_owned(), at.parse::<Moment>().expect("a time is a number"))
    };
    let events = |text: &str| text.lines().map(event).filter(|(_, at)| *at >= since).collect();
    lab.everywhere(&line).into_iter().map(|(node, text)| (node, events(&text))).collect()
}

/// Checks that each of these nodes did it exactly once, and none before the one before it had started.
#[track_caller]
pub fn one_at_a_time(restarts: &[Restart], nodes: &[&str]) {
    let mut seen: Vec<&str> = restarts.iter().map(|restart| restart.node.as_str()).collect();
    seen.sort_unstable();
    assert_eq!(seen, nodes, "{restarts:?}");
    for pair in restarts.windows(2) {
        assert!(pair[0].started < pair[1].stopped, "two at a time: {restarts:?}");
    }
}
