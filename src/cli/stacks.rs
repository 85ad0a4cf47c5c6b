//! How stacks are shown: their units, and the addresses at which they serve.

use super::table;
use crate::model::Answer;
use crate::ops::units::{EndpointStatus, StackStatus, UnitStatus};

/// What an answer may be long in a table.
const MOST_WORDS: usize = 60;

/// Shows all stacks, each with its units and addresses.
pub fn render(stacks: &Answer<Vec<StackStatus>>) -> String {
    match stacks {
        Answer::Down(why) => format!("stacks: {why}\n"),
        Answer::Up(stacks) => stacks.iter().map(one).collect::<Vec<_>>().join("\n"),
    }
}

/// Shows all stacks with those addresses only that answer.
pub fn render_answering(stacks: &[StackStatus]) -> String {
    let shown = |stack: &StackStatus| {
        let answering = stack.answering().cloned().collect();
        one(&StackStatus { endpoints: answering, ..stack.clone() })
    };
    stacks.iter().map(shown).collect::<Vec<_>>().join("\n")
}

fn one(stack: &StackStatus) -> String {
    let rows: Vec<Vec<String>> = stack.units.iter().map(unit).collect();
    let mut text =
        format!("{}\n{}", headline(stack), table::render(&["UNIT", "NODE", "SERVES", "SAYS"], &rows));
    if !stack.endpoints.is_empty() {
        text += &addresses(stack.endpoints.iter());
    }
    text
}

/// Says in one line whether a stack serves, and who leads.
pub fn headline(stack: &StackStatus) -> String {
    let serves = if stack.serves() { "serves" } else { "does not serve in full" };
    let leaders = stack.units.iter().filter(|unit| unit.leads);
    let leaders: Vec<String> =
        leaders.filter_map(|unit| Some(format!("{} on {}", unit.unit.stem(), unit.node.as_ref()?))).collect();
    let led = if leaders.is_empty() { String::new() } else { format!("; led by {}", leaders.join(", ")) };
    format!("stack {}: {serves}{led}", stack.stack)
}

/// Shows addresses as a table.
pub fn addresses<'a>(endpoints: impl Iterator<Item = &'a EndpointStatus>) -> String {
    let row = |endpoint: &EndpointStatus| {
        let answer = match (&endpoint.why, endpoint.is_reachable) {
            (None, true) => "yes".to_owned(),
            (None, false) => "yes, but not from here: `lab open` makes a way".to_owned(),
            (Some(why), _) => short(why),
        };
        vec![endpoint.endpoint.clone(), endpoint.address.clone(), endpoint.node.to_string(), answer]
    };
    let rows: Vec<Vec<String>> = endpoints.map(row).collect();
    table::render(&["ENDPOINT", "ADDRESS", "NODE", "ANSWERS"], &rows)
}

fn unit(unit: &UnitStatus) -> Vec<String> {
    let serves = match (unit.serves, unit.leads) {
        (true, true) => "leads",
        (true, false) => "yes",
        (false, _) => "no",
    };
    let node = unit.node.as_ref().map(ToString::to_string).unwrap_or_default();
    vec![unit.unit.to_string(), node, serves.to_owned(), short(&unit.says)]
}

fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    if line.chars().count() <= MOST_WORDS {
        return line.to_owned();
    }
    line.chars().take(MOST_WORDS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::unit::UnitName;
    use crate::model::NodeName;

    #[test]
    fn a_stack_is_shown_with_its_leader_and_what_does_not_answer() {
        let node = |name: &str| NodeName::parse(name).unwrap();
        let unit = |number: u16, on: Option<&str>, leads, says: &str| UnitStatus {
            unit: UnitName::from_argument(&format!("zookeeper@{number}")).unwrap(),
            node: on.map(node),
            serves: on.is_some(),
            leads,
            says: says.to_owned(),
        };
        let endpoint = |number: u8, why: Option<&str>, is_reachable| EndpointStatus {
            endpoint: "zookeeper".to_owned(),
            address: format!("tcp://10.77.0.1{number}:2181"),
            node: node(&format!("core-0{number}")),
            ip: [10, 77, 0, 10 + number].into(),
            port: 2181,
            answers: why.is_none(),
            why: why.map(str::to_owned),
            is_reachable,
        };
        let stack = StackStatus {
            stack: "zookeeper".to_owned(),
            description: String::new(),
            units: vec![
                unit(1, Some("core-01"), false, "Mode: follower"),
                unit(2, Some("core-02"), true, "Mode: leader"),
                unit(3, None, false, "on no machine"),
            ],
            endpoints: vec![
                endpoint(1, None, true),
                endpoint(2, None, false),
                endpoint(3, Some("connection refused"), false),
            ],
        };
        insta::assert_snapshot!(render(&Answer::Up(vec![stack])), @r"
        stack zookeeper: does not serve in full; led by zookeeper@2 on core-02
        UNIT                 NODE     SERVES  SAYS
        zookeeper@1.service  core-01  yes     Mode: follower
        zookeeper@2.service  core-02  leads   Mode: leader
        zookeeper@3.service  -        no      on no machine
        ENDPOINT   ADDRESS                NODE     ANSWERS
        zookeeper  tcp://10.77.0.11:2181  core-01  yes
        zookeeper  tcp://10.77.0.12:2181  core-02  yes, but not from here: `lab open` makes a way
        zookeeper  tcp://10.77.0.13:2181  core-03  connection refused
        ");
        assert_eq!(render(&Answer::Down("no".to_owned())), "stacks: no\n");
    }
}
