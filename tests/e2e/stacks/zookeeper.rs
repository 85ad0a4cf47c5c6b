//! The stack `zookeeper`: an ensemble, and what announces it in etcd.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::Value;

use super::keeper::{Keeper, PORT, on_any};
use super::restarts::{Moment, Restart, first_starts, now, one_at_a_time, restarts};
use super::{NODES, all, bring_back, kill_leader};
use crate::kit::images::reload;
use crate::kit::net::{Heard, ask};
use crate::kit::{TestLab, Watch, wait_until};

const FIVE: [&str; 5] = ["core-01", "core-02", "core-03", "core-04", "core-05"];

/// One ensemble from its first `up` to five servers; what was written first is there in the end.
#[test]
fn an_ensemble_serves_whatever_happens_to_it() {
    let lab = TestLab::new("zookeeper");
    it_serves_when_up_ends(&lab);
    it_is_found(&lab);
    sidekicks_die_alone(&lab);
    the_node_of_its_leader_dies(&lab);
    another_image_goes_round(&lab);
    it_is_halted(&lab);
    it_grows(&lab);
}

fn it_serves_when_up_ends(lab: &TestLab) {
    let up = lab.run(["up", "--nodes", "3", "--stack", "zookeeper"]);
    up.ends_with(0).says("stack zookeeper: serves; led by zookeeper@").says("zookeeper://");
    let status = lab.healthy(3);
    let stack = status.stack("zookeeper");
    assert_eq!(stack.serving("zookeeper@"), all(&NODES), "{stack:?}");
    assert_eq!(stack.serving("zookeeper-sidekick@"), all(&NODES), "{stack:?}");
    assert!(stack.leader("zookeeper@").is_some(), "{stack:?}");
    is_joined_by(lab, 3);

    lab.sh("core-01", "docker exec zookeeper zkcli create /e2e one");
    wait_until("another node has what was written", || {
        lab.sh("core-03", "docker exec zookeeper zkcli get /e2e")
            .lines()
            .any(|line| line == "one")
            .then_some(())
    });
    is_announced_by(lab, &NODES);
    lab.run(["up", "--stack", "zookeeper"]).ends_with(0).says("nothing to do");
}

/// Whoever wants to use it is told where it is.
fn it_is_found(lab: &TestLab) {
    let servers = servers(lab);
    let hosts: Vec<String> = servers.values().map(|server| format!("{server}:{PORT}")).collect();
    let opened = lab.ok(["open", "zookeeper", "--print"]);
    assert!(hosts.iter().any(|host| opened == format!("zookeeper://{host}")), "{opened}");
    let listed = lab.ok(["open"]);
    assert!(hosts.iter().all(|host| listed.contains(host.as_str())), "{listed}");
    lab.run(["open", "nonsense"]).ends_with(1).says("it has zookeeper");
    let exported: Value = serde_json::from_str(&lab.ok(["env", "--output=json"])).expect("it is JSON");
    assert_eq!(exported["LAB_ZOOKEEPER_HOSTS"], hosts.join(","));
    let endpoint = exported["LAB_ENDPOINT_ZOOKEEPER"].as_str().unwrap_or_default();
    assert!(hosts.iter().any(|host| endpoint == format!("zookeeper://{host}")), "{exported}");
    assert!(lab.ok(["stack", "check"]).contains("it is fine"), "what runs is sound");
}

/// Nothing happens to a server whose sidekick ends; the sidekick comes back.
fn sidekicks_die_alone(lab: &TestLab) {
    let (servers, before) = (containers(lab), sidekicks(lab));
    assert_eq!((servers.len(), before.len()), (3, 3));
    lab.everywhere("sudo systemctl kill --signal=KILL 'zookeeper-sidekick@*.service'");
    wait_until("all sidekicks are back", || {
        let is_new = |(node, process): (&String, &String)| *process != "0" && *process != before[node];
        sidekicks(lab).iter().all(is_new).then_some(())
    });
    is_announced_by(lab, &NODES);
    assert_eq!(containers(lab), servers, "a server was started again");
}

fn the_node_of_its_leader_dies(lab: &TestLab) {
    let servers = servers(lab);
    let (dead, _) = kill_leader(lab, "zookeeper", "zookeeper@");
    let others: Vec<&str> = NODES.into_iter().filter(|node| *node != dead).collect();
    let alive: Vec<Ipv4Addr> = others.iter().map(|node| servers[*node]).collect();
    wait_until("the others take a write", || on_any(&alive, |keeper| keeper.create("/after", "two")));
    let status = lab.status();
    assert_eq!(status.stack("zookeeper").serving("zookeeper@"), others.iter().copied().collect());
    wait_until("the dead server is not announced any more", || {
        (announced(lab, others[0]).len() == 2).then_some(())
    });

    bring_back(lab, "zookeeper");
    assert_eq!(lab.status().stack("zookeeper").serving("zookeeper@"), all(&NODES));
    holds(lab, &dead, "/after", "two");
    holds(lab, &dead, "/e2e", "one");
    is_joined_by(lab, 3);
    is_announced_by(lab, &NODES);
}

/// A copy of the stack in the project is the same stack, until its image is changed. Then its servers alone are
/// started again, one at a time and the leader last.
fn another_image_goes_round(lab: &TestLab) {
    lab.ok(["stack", "new", "zookeeper", "--from", "zookeeper"]);
    lab.run(["up", "--stack", "zookeeper"]).ends_with(0).says("nothing to do");
    let dockerfile = "services/zookeeper/image/Dockerfile";
    let text = lab::fs::read_to_string(&lab.project().join(dockerfile)).expect("the copy has it");
    lab.write(dockerfile, text + "LABEL e2e=again\n");

    let untouched = sidekicks(lab);
    let (watch, since) = (watch(&servers(lab)), now());
    let reloaded = reload(lab, &[]);
    let seen = watch.end();
    assert_eq!(reloaded.made.keys().collect::<Vec<_>>(), ["zookeeper"]);
    let mut units = reloaded.restarted;
    units.sort();
    assert_eq!(units, ["zookeeper@1.service", "zookeeper@2.service", "zookeeper@3.service"]);
    let restarts = restarts(lab, since, "zookeeper");
    one_at_a_time(&restarts, &NODES);
    seen.never_without_a_quorum();
    seen.leader_was_last(&restarts);
    assert_eq!(sidekicks(lab), untouched, "sidekicks run no image");
    let label = "docker inspect --format '{{index .Config.Labels \"e2e\"}}' zookeeper";
    assert!(lab.everywhere(label).values().all(|label| label == "again"));
    for node in NODES {
        holds(lab, node, "/after", "two");
    }
    is_joined_by(lab, 3);
    assert!(reload(lab, &[]).restarted.is_empty(), "nothing changed since");
    lab.run(["up", "--stack", "zookeeper"]).ends_with(0).says("nothing to do");
}

fn it_is_halted(lab: &TestLab) {
    lab.ok(["halt"]);
    lab.run(["status"]).ends_with(3);
    bring_back(lab, "zookeeper");
    assert_eq!(lab.status().stack("zookeeper").serving("zookeeper@"), all(&NODES));
    for node in NODES {
        holds(lab, node, "/after", "two");
    }
    is_joined_by(lab, 3);
}

/// Five nodes have five servers: each of the old ones learns that by one restart, and writes go on between these.
fn it_grows(lab: &TestLab) {
    let servers = servers(lab);
    let addresses: Vec<Ipv4Addr> = servers.values().copied().collect();
    wait_until("there is a place to write to", || on_any(&addresses, |keeper| keeper.create("/loop", "")));
    let (writer, watch, since) = (writer(addresses), watch(&servers), now());
    lab.ok(["up", "--nodes", "5", "--stack", "zookeeper"]);
    let seen = watch.end();
    lab.healthy(5);
    let restarts = restarts(lab, since, "zookeeper");
    one_at_a_time(&restarts, &NODES);
    seen.never_without_a_quorum();
    seen.leader_was_last(&restarts);
    // With one old server that knows of them the new ones would be a majority of five, and the other two are one of three.
    let first = restarts.first().expect("there were some").stopped;
    let new = first_starts(lab, since, "zookeeper");
    assert_eq!(new.keys().collect::<Vec<_>>(), ["core-04", "core-05"]);
    assert!(new.values().all(|start| *start < first), "{new:?} after {restarts:?}");

    let status = lab.status();
    let stack = status.stack("zookeeper");
    assert_eq!(stack.serving("zookeeper@"), all(&FIVE));
    is_joined_by(lab, 5);
    is_announced_by(lab, &FIVE);
    let variables =
        lab.everywhere("grep ^LAB_ZOOKEEPER_ /etc/lab/env | grep -v ^LAB_ZOOKEEPER_NUMBER= | sort");
    for (node, variables) in variables {
        for line in [
            "LAB_ZOOKEEPER_COUNT=5",
            "LAB_ZOOKEEPER_MEMBERS=core-01,core-02,core-03,core-04,core-05",
            "LAB_ZOOKEEPER_NUMBERS=1,2,3,4,5",
            "LAB_ZOOKEEPER_QUORUM=3",
        ] {
            assert!(variables.lines().any(|other| other == line), "{node} has no {line}: {variables}");
        }
    }
    let own = lab.everywhere("grep ^LAB_ZOOKEEPER_NUMBER= /etc/lab/env");
    assert_eq!(own["core-04"], "LAB_ZOOKEEPER_NUMBER=4");

    let written = writer.end();
    written.went_on_between(&restarts);
    for node in &status.nodes {
        let kept = wait_until("a server tells what it has", || {
            Keeper::connect(node.address).ok()?.children("/loop").ok()
        });
        let lost: Vec<&String> =
            written.0.iter().map(|(_, name)| name).filter(|name| !kept.contains(name)).collect();
        assert!(lost.is_empty(), "{} has lost {lost:?}", node.node);
        holds(lab, &node.node, "/e2e", "one");
    }
    lab.run(["up", "--stack", "zookeeper"]).ends_with(0).says("nothing to do");
}

fn servers(lab: &TestLab) -> BTreeMap<String, Ipv4Addr> {
    lab.status().nodes.into_iter().map(|node| (node.node, node.address)).collect()
}

/// Returns on each node which container is ZooKeeper's, and since when it runs.
fn containers(lab: &TestLab) -> BTreeMap<String, String> {
    lab.everywhere("docker inspect --format '{{.Id}} {{.State.StartedAt}} {{.State.Pid}}' zookeeper")
}

/// Returns the process of each node's sidekick.
fn sidekicks(lab: &TestLab) -> BTreeMap<String, String> {
    lab.everywhere("systemctl show --property=MainPID --value 'zookeeper-sidekick@*.service'")
}

/// Waits until the server of a node has an entry.
#[track_caller]
fn holds(lab: &TestLab, node: &str, path: &str, data: &str) {
    let address = lab.status().node(node).address;
    let held = wait_until(&format!("ZooKeeper on {node} tells what {path} is"), || {
        Keeper::connect(address).ok()?.get(path).ok()
    });
    assert_eq!(held.as_deref(), Some(data), "{path} on {node}");
}

/// Waits until so many servers have the same data: the leader counts those that follow it.
#[track_caller]
fn is_joined_by(lab: &TestLab, count: usize) {
    let servers = servers(lab);
    let followers = format!("zk_synced_followers\t{}", count - 1);
    wait_until(&format!("{count} servers have the same data"), || {
        let heard = servers.values().map(|server| ask(*server, PORT, "mntr"));
        heard
            .into_iter()
            .find(|heard| matches!(heard, Heard::Said(text) if text.contains(&followers)))
            .map(drop)
    });
}

/// Waits until exactly the servers of these nodes are announced in etcd, each by a key that goes with who wrote it.
#[track_caller]
fn is_announced_by(lab: &TestLab, nodes: &[&str]) {
    let servers = servers(lab);
    let number = |node: &str| node.trim_start_matches("core-0").to_owned();
    let key = |node: &&str| format!("/services/zookeeper/server.{}", number(node));
    let wanted: BTreeMap<String, String> =
        nodes.iter().map(|node| (key(node), format!("{}:2888:3888", servers[*node]))).collect();
    wait_until(&format!("{nodes:?} are announced"), || (announced(lab, nodes[0]) == wanted).then_some(()));
    let fields = lab.sh(nodes[0], "etcdctl get --prefix /services/zookeeper/ --write-out=fields");
    let leases: Vec<&str> = fields.lines().filter_map(|line| line.strip_prefix("\"Lease\" : ")).collect();
    assert!(leases.len() == nodes.len() && leases.iter().all(|lease| *lease != "0"), "{fields}");
}

fn announced(lab: &TestLab, node: &str) -> BTreeMap<String, String> {
    let listed = lab.sh(node, "etcdctl get --prefix /services/zookeeper/");
    let lines: Vec<&str> = listed.lines().collect();
    lines
        .chunks(2)
        .map(|pair| (pair[0].to_owned(), pair.get(1).copied().unwrap_or_default().to_owned()))
        .collect()
}

/// What servers said while something was done to them.
#[derive(Default)]
struct Seen {
    /// When which node's server said that it leads.
    leads: Vec<(Moment, String)>,
    /// Nodes whose servers were away at one moment.
    away: Vec<Vec<String>>,
}

/// Asks servers again and again what they are.
fn watch(servers: &BTreeMap<String, Ipv4Addr>) -> Watch<Seen> {
    let servers = servers.clone();
    Watch::start(Seen::default(), move |seen| {
        let away = |node: &&String| ask(servers[*node], PORT, "srvr") == Heard::Refused;
        for (node, address) in &servers {
            let at = now();
            if matches!(ask(*address, PORT, "srvr"), Heard::Said(text) if text.contains("Mode: leader")) {
                seen.leads.push((at, node.clone()));
            }
        }
        let gone: Vec<&String> = servers.keys().filter(away).collect();
        // The first may have come back before the second went: both are away only if it still is.
        if gone.len() > 1 && away(&gone[0]) {
            seen.away.push(gone.into_iter().cloned().collect());
        }
    })
}

impl Seen {
    #[track_caller]
    fn never_without_a_quorum(&self) {
        assert!(self.away.is_empty(), "of three servers only one was there: {:?}", self.away);
        assert!(!self.leads.is_empty(), "somebody was asked");
    }

    /// Checks that the last one to be started again had led until then.
    #[track_caller]
    fn leader_was_last(&self, restarts: &[Restart]) {
        let last = restarts.last().expect("there were some");
        let led = self.leads.iter().rfind(|(at, _)| *at < last.stopped);
        assert_eq!(led.map(|(_, node)| node), Some(&last.node), "{restarts:?}");
    }
}

/// What a client was told is written, and when.
struct Written(Vec<(Moment, String)>);

/// Writes one entry after the other below `/loop`, each tried once, through whichever server takes it.
fn writer(servers: Vec<Ipv4Addr>) -> Watch<Written> {
    let mut session: Option<Keeper> = None;
    let mut number = 0;
    Watch::start(Written(Vec::new()), move |written| {
        number += 1;
        if session.is_none() {
            session = servers.iter().find_map(|server| Keeper::connect(*server).ok());
        }
        let Some(keeper) = &mut session else { return };
        let name = format!("{number:05}");
        match keeper.create(&format!("/loop/{name}"), "") {
            Ok(()) => written.0.push((now(), name)),
            Err(_) => session = None,
        }
    })
}

impl Written {
    /// Checks that something was written before, between and after restarts.
    #[track_caller]
    fn went_on_between(&self, restarts: &[Restart]) {
        let was_written = |from: Moment, to: Moment| self.0.iter().any(|(at, _)| (from..to).contains(at));
        let begins = [0].into_iter().chain(restarts.iter().map(|restart| restart.started));
        let ends = restarts.iter().map(|restart| restart.stopped).chain([Moment::MAX]);
        for (from, to) in begins.zip(ends) {
            assert!(was_written(from, to), "nothing was written between {from} and {to}: {restarts:?}");
        }
    }
}
