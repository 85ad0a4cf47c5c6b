//! What is understood of all that Vagrant was recorded to say.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vagrant");

/// Runs that fail by a mistake in what they were given, for which nobody knows a cure but to mend it.
const MISTAKES: [&str; 4] =
    ["docker-create-args", "docker-partial", "vagrantfile-", "virtualbox-customization"];

/// A recorded run: lines of news and whatever else was printed.
struct Recorded {
    name: String,
    text: String,
    stderr: String,
}

fn all() -> Vec<Recorded> {
    let mut names = fs::list(RECORDED.into()).unwrap();
    names.retain(|name| name.split_once('.').is_some_and(|(_, rest)| rest == "log"));
    names.sort();
    let text = |name: &str| fs::read_if_present(&Utf8Path::new(RECORDED).join(name)).unwrap();
    let read = |name: String| {
        let stderr = text(&name.replace(".log", ".stderr.log")).unwrap_or_default();
        Recorded { text: text(&name).unwrap_or_default(), name, stderr }
    };
    names.into_iter().map(read).collect()
}

impl Recorded {
    fn news(&self) -> impl Iterator<Item = News> {
        self.text.lines().filter_map(|line| line.parse().ok())
    }

    /// Returns what was done; a command that did nothing to a machine is one that asked.
    fn verb(&self) -> &'static str {
        let began = self.news().find_map(|news| match news.what {
            What::Began { action } => Some(action),
            _ => None,
        });
        let known = ["up", "halt", "destroy", "resume"].into_iter();
        known.into_iter().find(|verb| began.as_deref() == Some(verb)).unwrap_or("ssh-config")
    }

    fn nodes(&self) -> Vec<NodeName> {
        let mut nodes: Vec<NodeName> =
            self.news().filter_map(|news| NodeName::parse(&news.machine?).ok()).collect();
        nodes.sort();
        nodes.dedup();
        nodes
    }

    fn heard(&self) -> Heard {
        let mut heard = Heard { verb: self.verb(), ..Heard::default() };
        self.news().for_each(|news| heard.note(&news));
        heard
    }

    fn failure(&self) -> Option<Error> {
        let heard = self.heard();
        let has_failed = heard.failure.is_some() || !self.stderr.is_empty();
        let fail = || heard.failure(&self.nodes(), 1, self.stderr.as_bytes(), "/log".into());
        let failure = has_failed.then(fail)?;
        Some(Error::Failed(Box::new(failure)))
    }

    fn understood(&self) -> String {
        let states: BTreeMap<String, String> = self
            .news()
            .filter_map(|news| match news.what {
                What::State { state } => Some((news.machine?, state)),
                _ => None,
            })
            .collect();
        let heard = self.heard();
        let mut told = format!("{}: {} of {:?}\n", self.name, self.verb(), words(&self.nodes()));
        if !states.is_empty() {
            writeln!(told, "  states {states:?}").unwrap();
        }
        if !heard.ended.is_empty() {
            writeln!(told, "  ended {:?}", heard.ended).unwrap();
        }
        if let Some((class, _)) = &heard.failure {
            writeln!(told, "  class {class}").unwrap();
        }
        if let Some(error) = self.failure() {
            let cure = error.hint().unwrap_or_else(|| "none".to_owned());
            writeln!(told, "  missing: {}\n  cure: {cure}", error.is_something_missing()).unwrap();
        }
        told
    }
}

fn words(nodes: &[NodeName]) -> Vec<&str> {
    nodes.iter().map(NodeName::as_str).collect()
}

#[test]
fn each_recorded_run_is_understood() {
    let all: String = all().iter().map(Recorded::understood).collect();
    insta::assert_snapshot!(all);
}

#[test]
fn what_went_wrong_is_told_in_vagrants_own_words() {
    let told: Vec<String> =
        all().iter().filter_map(|run| Some(format!("{}\n{}\n", run.name, run.failure()?))).collect();
    assert!(!told.is_empty());
    insta::assert_snapshot!(told.join("\n"));
}

/// Whoever records another failure has to give it a cure.
#[test]
fn each_failure_that_was_recorded_has_its_cure() {
    for run in all() {
        let Some(error) = run.failure() else { continue };
        let is_mistake = MISTAKES.iter().any(|mistake| run.name.starts_with(mistake));
        assert_eq!(error.hint().is_none(), is_mistake, "{}: {error}", run.name);
    }
}

#[test]
fn only_a_port_that_is_taken_is_chosen_anew() {
    for run in all() {
        let is_port_taken = run.failure().is_some_and(|error| error.is_port_taken());
        assert_eq!(is_port_taken, run.name.contains("port-collision"), "{}", run.name);
    }
}

#[test]
fn what_vagrant_says_before_it_can_speak_to_machines_is_told() {
    let node = [NodeName::parse("core-01").unwrap()];
    let failure = |heard: Heard, stderr: &[u8]| heard.failure(&node, 1, stderr, "/log".into());
    let early = failure(Heard::default(), b"\nVagrant failed to initialize at a very early stage:\n\nx\n");
    assert_eq!((early.class.as_str(), early.nodes.len()), ("", 1));
    assert_eq!(early.text, "Vagrant failed to initialize at a very early stage:\n\nx");
    let complaint = Heard { complaint: Some("no".to_owned()), ..Heard::default() };
    assert_eq!(failure(complaint, b" \n").text, "no");
}

#[test]
fn a_node_that_came_up_is_not_among_those_that_did_not() {
    let mut heard = Heard { verb: "up", ..Heard::default() };
    for line in [
        "1,core-01,action,up,start",
        "1,core-02,action,up,start",
        "2,core-01,action,up,end",
        "2,core-02,action,halt,end",
        "3,,error-exit,Vagrant::Errors::BatchMultiError,two",
    ] {
        heard.note(&line.parse().unwrap());
    }
    let nodes = ["core-01", "core-02"].map(|name| NodeName::parse(name).unwrap());
    let failure = heard.failure(&nodes, 1, b"", "/log".into());
    assert_eq!(words(&failure.nodes), ["core-02"]);
}

#[test]
fn what_ruby_says_is_told_without_its_trace() {
    let trace = "wait_for.rb:9:in `call': The timeout was exceeded (Fog::Errors::TimeoutError)\n";
    let said = format!("{trace}{}", "\tfrom /usr/share/warden.rb:48:in `call'\n".repeat(200));
    assert_eq!(without_trace(&said), trace.trim());
    assert_eq!(without_trace(&"ä".repeat(LAST_WORDS)).len(), LAST_WORDS);
}
