//! `labd await`: waits until a role serves, for units that need it and start without anybody's help.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use super::{init, serve};
use crate::checks;
use crate::model::{Check, Duty, Member, NodeConfig, NodeName, Outcome, machine_id};

/// How long a member is left alone after it has answered.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] init::Error),
    #[error(transparent)]
    NoConfig(serve::Error),
    #[error("the lab has no role `{role}`; it has {roles}")]
    NoRole { role: String, roles: String },
    #[error("the role `{role}` cannot be awaited from elsewhere: nothing of it is asked over the network")]
    NotFromElsewhere { role: String },
    #[error("the role `{role}` does not serve after {} s: {trouble}", limit.as_secs())]
    TimedOut { role: String, limit: Duration, trouble: String },
}

/// Waits until a quorum of a role's members pass all checks that can be asked from here, without a limit unless
/// there is one. `tell` hears whenever it is something else that is waited for.
pub async fn await_role(
    role: &str,
    limit: Option<Duration>,
    mut tell: impl FnMut(&str),
) -> Result<(), Error> {
    let mut trouble = "no member has answered yet".to_owned();
    let waiting = watch(role, load, |news| {
        news.clone_into(&mut trouble);
        tell(&format!("{role}: {news}"));
    });
    match limit {
        None => waiting.await,
        Some(limit) => match timeout(limit, waiting).await {
            Ok(ended) => ended,
            Err(_) => Err(Error::TimedOut { role: role.to_owned(), limit, trouble }),
        },
    }
}

fn load() -> Result<NodeConfig, Error> {
    init::load_config()?.ok_or(Error::NoConfig(serve::Error::NoConfig))
}

/// Asks each member again and again, on its own: one that hangs does not hold up the others. What the role is, is
/// looked up after every answer, as the lab may have changed.
async fn watch(
    role: &str,
    load: impl Fn() -> Result<NodeConfig, Error>,
    mut tell: impl FnMut(&str),
) -> Result<(), Error> {
    let mut asking = FuturesUnordered::new();
    let mut asked = BTreeSet::new();
    let mut seen = Seen::default();
    let mut last = String::new();
    loop {
        let config = load()?;
        let (duty, checks) = find(&config, role)?;
        seen.0.retain(|node, _| duty.members.iter().any(|member| member.node == *node));
        if seen.serving() >= duty.quorum() {
            tell(&format!("serves on {}", seen.names()));
            return Ok(());
        }
        let shape = seen.shape();
        if seen.0.len() == duty.members.len() && shape != last {
            tell(&seen.story(duty));
            last = shape;
        }
        for member in &duty.members {
            if asked.insert(member.node.clone()) {
                let pause = if seen.0.contains_key(&member.node) { PAUSE } else { Duration::ZERO };
                asking.push(ask(member.clone(), checks.clone(), at(&config, member), pause));
            }
        }
        let (node, outcome) = asking.next().await.expect("a role has members");
        asked.remove(&node);
        seen.0.insert(node, outcome);
    }
}

/// Returns what to know of a role, and what can be asked of its members from here.
fn find<'a>(config: &'a NodeConfig, role: &str) -> Result<(&'a Duty, Vec<Check>), Error> {
    let Some(duty) = config.duties.iter().find(|duty| duty.role.as_str() == role) else {
        let roles: Vec<&str> = config.duties.iter().map(|duty| duty.role.as_str()).collect();
        let roles = if roles.is_empty() { "none".to_owned() } else { roles.join(", ") };
        return Err(Error::NoRole { role: role.to_owned(), roles });
    };
    let checks: Vec<Check> = duty.checks.iter().filter(|check| check.port().is_some()).cloned().collect();
    if checks.is_empty() || duty.members.is_empty() {
        return Err(Error::NotFromElsewhere { role: role.to_owned() });
    }
    Ok((duty, checks))
}

/// Returns the variables as they are on a member.
fn at(config: &NodeConfig, member: &Member) -> BTreeMap<String, String> {
    let there = NodeConfig {
        node: member.node.clone(),
        address: member.address,
        machine_id: machine_id(&config.lab_id, &member.node),
        ..config.clone()
    };
    there.variables().into_iter().collect()
}

async fn ask(
    member: Member,
    all: Vec<Check>,
    variables: BTreeMap<String, String>,
    pause: Duration,
) -> (NodeName, Outcome) {
    sleep(pause).await;
    let mut outcome = Ok(String::new());
    for check in &all {
        outcome = checks::ask(check, member.address, &variables).await;
        if outcome.is_err() {
            break;
        }
    }
    (member.node, outcome)
}

/// How the members answered last.
#[derive(Default)]
struct Seen(BTreeMap<NodeName, Outcome>);

impl Seen {
    fn serving(&self) -> usize {
        self.0.values().filter(|outcome| outcome.is_ok()).count()
    }

    fn names(&self) -> String {
        let serving = self.0.iter().filter(|(_, outcome)| outcome.is_ok());
        serving.map(|(node, _)| node.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Returns what makes a difference: what exactly a service said may be another thing each time.
    fn shape(&self) -> String {
        let head = |why: &str| why.split_once(": ").map_or(why, |(head, _)| head).to_owned();
        let shapes = self.0.iter().map(|(node, outcome)| match outcome {
            Ok(_) => format!("{node} serves\n"),
            Err(why) => format!("{node}: {}\n", head(why)),
        });
        shapes.collect()
    }

    fn story(&self, duty: &Duty) -> String {
        let not = self.0.iter().filter_map(|(node, outcome)| Some((node, outcome.as_ref().err()?)));
        let not: Vec<String> = not.map(|(node, why)| format!("{node}: {why}")).collect();
        let (serving, of, quorum) = (self.serving(), duty.members.len(), duty.quorum());
        format!("{serving} of {of} serve, {quorum} have to; {}", not.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;
    use crate::model::{Ask, RoleName};
    use crate::node::samples;

    fn member(number: u8) -> Member {
        let node = NodeName::parse(&format!("core-{number:02}")).unwrap();
        Member { node, number: number.into(), address: Ipv4Addr::new(127, 0, 0, number) }
    }

    fn config(members: &[u8], checks: Vec<Check>) -> NodeConfig {
        let members = members.iter().copied().map(member).collect();
        let duty = Duty { role: RoleName::parse("zookeeper").unwrap(), members, port: None, checks };
        NodeConfig { duties: vec![duty], ..samples::config() }
    }

    fn run(command: &str) -> Check {
        Check { ask: Ask::Run { command: command.to_owned() }, answer: None }
    }

    async fn listen(number: u8, port: u16) -> TcpListener {
        TcpListener::bind((member(number).address, port)).await.unwrap()
    }

    #[tokio::test]
    async fn a_quorum_is_waited_for_and_changes_are_told() {
        let first = listen(1, 0).await;
        let port = first.local_addr().unwrap().port();
        // What can be asked on the member only is left out.
        let config = config(&[1, 2, 3], vec![run("false"), Check::connect(port)]);
        let (mut told, later) = (Vec::new(), RefCell::new(None));
        let waiting = watch(
            "zookeeper",
            || Ok(config.clone()),
            |news| {
                told.push(news.to_owned());
                if told.len() == 1 {
                    let listener = std::net::TcpListener::bind((member(3).address, port)).unwrap();
                    *later.borrow_mut() = Some(listener);
                }
            },
        );
        waiting.await.unwrap();
        let refused = "connection refused";
        let want = [
            format!("1 of 3 serve, 2 have to; core-02: {refused}; core-03: {refused}"),
            "serves on core-01, core-03".to_owned(),
        ];
        assert_eq!(told, want);
    }

    #[tokio::test]
    async fn the_lab_may_change_while_it_is_waited_for() {
        let first = listen(1, 0).await;
        let check = || vec![Check::connect(first.local_addr().unwrap().port())];
        let looks = RefCell::new(0);
        let load = || {
            *looks.borrow_mut() += 1;
            let members: &[u8] = if *looks.borrow() < 5 { &[1, 2, 3] } else { &[1] };
            Ok(config(members, check()))
        };
        let mut told = Vec::new();
        watch("zookeeper", load, |news| told.push(news.to_owned())).await.unwrap();
        assert_eq!(told.last().unwrap(), "serves on core-01");
    }

    #[tokio::test]
    async fn what_cannot_be_awaited_is_told_at_once() {
        let end = async |role, config: NodeConfig| {
            watch(role, || Ok(config.clone()), |_| {}).await.unwrap_err().to_string()
        };
        let with = |checks| config(&[1], checks);
        assert_eq!(end("web", with(Vec::new())).await, "the lab has no role `web`; it has zookeeper");
        assert_eq!(end("web", samples::config()).await, "the lab has no role `web`; it has none");
        for checks in [Vec::new(), vec![run("true")]] {
            let error = end("zookeeper", with(checks)).await;
            assert!(error.contains("`zookeeper` cannot be awaited from elsewhere"), "{error}");
        }
    }

    #[test]
    fn variables_are_those_of_the_member() {
        let variables = at(&config(&[1, 2], Vec::new()), &member(2));
        let has = |name: &str, value: &str| assert_eq!(variables[name], value);
        has("LAB_NODE", "core-02");
        has("LAB_ADDRESS", "127.0.0.2");
        has("LAB_ZOOKEEPER_NUMBER", "2");
    }

    #[test]
    fn what_a_service_says_is_no_change_but_how_it_fails_is() {
        let shape = |why: &str| Seen([(member(1).node, Err(why.to_owned()))].into()).shape();
        assert_eq!(shape("its answer has no `x`: 1"), shape("its answer has no `x`: 2"));
        assert_ne!(shape("connection refused"), shape("answered 503"));
    }
}
