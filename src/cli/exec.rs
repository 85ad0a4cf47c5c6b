//! `lab exec`

use std::collections::BTreeMap;

use clap::Args as ClapArgs;
use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::args::Output;
use super::complete;
use super::context::Context;
use super::exit::Exit;
use super::hint;
use crate::exec::quote;
use crate::model::NodeName;
use crate::ops::{self, NodeOutput};

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Each line is preceded by the name of its node. Ends with the highest code of all, 255 standing\n\
    for a node that cannot be reached.\n\n\
    Examples:\n  lab exec --all -- uptime\n  lab exec core-01 core-02 -- sudo systemctl restart docker\n  \
    lab exec --all -- 'df -h / | tail -1'"
)]
pub struct Args {
    /// Run it on every node of the lab
    #[arg(short, long, env = "LAB_ALL", conflicts_with = "nodes")]
    all: bool,
    /// The nodes to run it on
    #[arg(value_name = "NODE", required_unless_present = "all", add = ArgValueCandidates::new(complete::nodes))]
    nodes: Vec<NodeName>,
    /// What to run; one word may be a whole line of shell
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// How a command ended on one node.
#[derive(Debug, Default, Serialize)]
struct Ended {
    node: String,
    code: Option<i32>,
    error: Option<String>,
    stdout: String,
    stderr: String,
}

impl Args {
    pub async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bench = context.open_existing().await?;
        let lab = bench.lab();
        let line = shell_line(&self.command);
        let is_json = self.output.is_json();
        let mut kept: BTreeMap<NodeName, (Vec<u8>, Vec<u8>)> = BTreeMap::new();
        let mut prefixer = Prefixer::default();
        let ended = ops::run(&lab, &self.nodes, &line, |node, output| match output {
            NodeOutput::Stdout(bytes) if is_json => kept.entry(node.clone()).or_default().0.extend(bytes),
            NodeOutput::Stderr(bytes) if is_json => kept.entry(node.clone()).or_default().1.extend(bytes),
            NodeOutput::Stdout(bytes) => context.ui.write(&prefixer.lines(node.as_str(), false, &bytes)),
            NodeOutput::Stderr(bytes) => context.ui.write_talk(&prefixer.lines(node.as_str(), true, &bytes)),
        });
        let ended = ended.await?;
        for (is_error, rest) in prefixer.rest() {
            if is_error { context.ui.write_talk(&rest) } else { context.ui.write(&rest) }
        }
        let code = ended.iter().map(|(_, result)| exit_code(result)).max().unwrap_or(0);
        if is_json {
            let all: Vec<Ended> =
                ended.into_iter().map(|(node, result)| describe(&node, &result, &mut kept)).collect();
            context.ui.print_json(&all)?;
        } else {
            for (node, error) in
                ended.iter().filter_map(|(node, result)| Some((node, result.as_ref().err()?)))
            {
                context.ui.say(&format!("{node}: {}", hint::whole(error)));
            }
        }
        Ok(if code == 0 { Exit::Done } else { Exit::Command(code) })
    }
}

fn exit_code(result: &Result<i32, ops::Error>) -> u8 {
    result.as_ref().map_or(255, |code| u8::try_from(*code).unwrap_or(255))
}

fn describe(
    node: &NodeName,
    result: &Result<i32, ops::Error>,
    kept: &mut BTreeMap<NodeName, (Vec<u8>, Vec<u8>)>,
) -> Ended {
    let (stdout, stderr) = kept.remove(node).unwrap_or_default();
    Ended {
        node: node.to_string(),
        code: result.as_ref().ok().copied(),
        error: result.as_ref().err().map(hint::whole),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// Returns the line for the node's shell: one word is taken as it is, several are quoted.
pub fn shell_line(command: &[String]) -> String {
    match command {
        [line] => line.clone(),
        words => words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
    }
}

/// Cuts streams into lines and puts before each whose it is.
#[derive(Default)]
pub struct Prefixer {
    unfinished: BTreeMap<(String, bool), Vec<u8>>,
}

impl Prefixer {
    pub fn lines(&mut self, whose: &str, is_error: bool, bytes: &[u8]) -> Vec<u8> {
        let buffer = self.unfinished.entry((whose.to_owned(), is_error)).or_default();
        buffer.extend(bytes);
        let end = buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = buffer.drain(..end).collect();
        whole.split_inclusive(|byte| *byte == b'\n').flat_map(|line| prefixed(whose, line)).collect()
    }

    /// Returns the last lines of those that ended without a line's end.
    pub fn rest(self) -> Vec<(bool, Vec<u8>)> {
        let rest = self.unfinished.into_iter().filter(|(_, bytes)| !bytes.is_empty());
        rest.map(|((whose, is_error), mut bytes)| {
            bytes.push(b'\n');
            (is_error, prefixed(&whose, &bytes))
        })
        .collect()
    }
}

fn prefixed(whose: &str, line: &[u8]) -> Vec<u8> {
    [whose.as_bytes(), b"  ", line].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_prefixed_however_they_are_cut() {
        let node = "core-01";
        let mut prefixer = Prefixer::default();
        assert_eq!(prefixer.lines(node, false, b"a\nb"), b"core-01  a\n");
        assert_eq!(prefixer.lines(node, true, b"oops\n"), b"core-01  oops\n");
        assert_eq!(prefixer.lines(node, false, b"c\n\n"), b"core-01  bc\ncore-01  \n");
        assert_eq!(prefixer.lines(node, false, b"end"), b"");
        assert_eq!(prefixer.rest(), [(false, b"core-01  end\n".to_vec())]);
    }

    #[test]
    fn one_word_is_a_line_and_several_are_words() {
        let words =
            |words: &[&str]| shell_line(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        assert_eq!(words(&["df -h | tail -1"]), "df -h | tail -1");
        assert_eq!(words(&["echo", "a b", "$HOME"]), "echo 'a b' '$HOME'");
    }

    #[test]
    fn the_code_of_a_node_that_is_not_reached_is_the_highest() {
        let node = NodeName::parse("core-01").unwrap();
        assert_eq!(exit_code(&Ok(3)), 3);
        assert_eq!(exit_code(&Ok(-1)), 255);
        assert_eq!(exit_code(&Err(ops::Error::NotRunning { node })), 255);
    }
}
