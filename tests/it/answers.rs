//! What verbs say of what an engine holds, for people and for programs.

use serde_json::Value;

use super::engine::{EMPTY, Engine, WITH_LAB};
use super::kit::{Run, Sandbox};

#[test]
fn of_nothing_each_verb_says_so() {
    let engine = Engine::start(EMPTY);
    let sandbox = engine.sandbox();
    insta::assert_snapshot!(sandbox.transcript(&[
        &["ls"],
        &["ls", "-o", "json"],
        &["status"],
        &["halt"],
        &["env"],
        &["ssh-config"],
        &["exec", "--all", "--", "true"],
        &["logs", "core-01"],
        &["ssh", "core-01"],
        &["down"],
        &["down", "-y", "--lab", "other"],
    ]));
    let asked = engine.asked();
    assert!(asked.iter().all(|request| request.starts_with("GET ")), "{asked:?}");
}

#[test]
fn without_a_lab_there_are_no_units() {
    let engine = Engine::start(EMPTY);
    let want =
        "error: there is no lab `shop`\nhint: `lab up` makes it; `lab ls` lists the labs of this host\n";
    for args in [
        &["units"][..],
        &["machines"],
        &["why", "web"],
        &["plan", "--without", "core-01"],
        &["cordon", "core-01"],
        &["uncordon", "core-01"],
        &["drain", "core-01"],
        &["rebalance", "--dry-run"],
        &["unit", "ls"],
        &["unit", "start", "web"],
        &["unit", "stop", "web*"],
        &["unit", "cat", "web"],
        &["unit", "status", "web"],
        &["unit", "journal", "web"],
        &["unit", "destroy", "web"],
    ] {
        engine.sandbox().lab(args).fails(4, want);
    }
}

#[test]
fn a_unit_file_that_makes_no_sense_is_told_with_its_line() {
    let engine = Engine::start(EMPTY);
    let sandbox = engine.sandbox();
    sandbox
        .write("bad.service", "[Unit]\nDescription\n")
        .write("odd.service", "[X-Fleet]\nMachineMetadata=ssd\n");
    sandbox.write("both@.service", "[X-Fleet]\nMachineID=1\nGlobal=true\n");
    insta::assert_snapshot!(sandbox.transcript(&[
        &["unit", "start", "bad"],
        &["unit", "submit", "odd.service"],
        &["unit", "load", "both@1"],
    ]));
}

#[test]
fn nothing_to_remove_is_done_at_once_and_needs_no_yes() {
    let engine = Engine::start(EMPTY);
    let sandbox = engine.sandbox();
    sandbox.lab(&["down"]).fails(0, "there is no lab shop; nothing to do\n");
    assert!(!sandbox.path(".lab").exists());
}

#[test]
fn a_lab_is_listed_from_anywhere() {
    let engine = Engine::start(WITH_LAB);
    insta::assert_snapshot!(engine.sandbox().transcript(&[&["ls"], &["ls", "-o", "json"]]));
}

#[test]
fn a_lab_of_another_folder_is_not_touched_unless_it_is_named() {
    let engine = Engine::start(WITH_LAB);
    let sandbox = engine.sandbox();
    sandbox.write("lab.toml", "name = \"it-rec\"\n");
    let want = "error: the lab `it-rec` was made from `/p/rec`\n\
        hint: work on it from `/p/rec`, or choose another name with `--lab`\n";
    for verb in [
        &["up"][..],
        &["up", "--dry-run"],
        &["status"],
        &["halt"],
        &["env"],
        &["exec", "--all", "--", "true"],
    ] {
        sandbox.lab(verb).fails(1, want);
    }
    sandbox.lab(&["down"]).fails(1, want);
    engine
        .sandbox()
        .env("LAB_LAB", "it-rec")
        .lab(&["down"])
        .fails(8, "this removes lab it-rec: core-01, core-02 with all data; confirm with -y\n");
    let asked = engine.asked();
    assert!(asked.iter().all(|request| request.starts_with("GET ")), "{asked:?}");
}

/// Checks that stderr is a JSON object a line, and returns them.
#[track_caller]
fn talk(run: &Run) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let lines: Vec<Value> = run.stderr.lines().map(read).collect();
    assert!(lines.iter().all(|line| line["kind"].is_string()), "{}", run.stderr);
    lines
}

#[test]
fn talk_for_programs_is_json_also_when_it_is_an_error() {
    let engine = Engine::start(WITH_LAB);
    let bad_file = Sandbox::new();
    bad_file.write("lab.toml", "nodez = 3\n");
    let other = engine.sandbox();
    other.write("lab.toml", "name = \"it-rec\"\n");
    for (sandbox, args, code) in [
        (&Sandbox::new(), &["up"][..], 6),
        (&bad_file, &["up"], 2),
        (&Sandbox::new(), &["up", "--nodes", "0"], 2),
        (&Sandbox::new(), &["up", "--nodes", "x"], 2),
        (&Sandbox::new(), &["upp"], 2),
        (&other, &["status"], 1),
        (&engine.sandbox(), &["status"], 4),
        (&Sandbox::new().without("HOME"), &["up"], 1),
    ] {
        for run in [
            sandbox.lab(&[&["--progress", "json"], args].concat()),
            sandbox.lab(&[args, &["--progress=json"]].concat()),
        ] {
            let lines = talk(&run);
            let error = lines.last().unwrap_or(&Value::Null);
            assert_eq!((run.code, error["exit_code"].as_i64()), (code, Some(code.into())), "{}", run.shown());
            assert_eq!(error["kind"], "error");
            assert!(error["chain"].as_array().is_some_and(|chain| !chain.is_empty()), "{}", run.shown());
        }
    }
}

#[test]
fn a_program_is_told_that_a_yes_is_missing() {
    let engine = Engine::start(WITH_LAB);
    let run = engine.sandbox().env("LAB_LAB", "it-rec").lab(&["--progress", "json", "down"]);
    let lines = talk(&run);
    assert_eq!(run.code, 8);
    assert!(
        lines.iter().any(|line| line["text"].as_str().is_some_and(|text| text.contains("-y"))),
        "{}",
        run.shown()
    );
}

#[test]
fn data_for_programs_is_json_and_nothing_else() {
    let engine = Engine::start(WITH_LAB);
    assert!(engine.sandbox().lab(&["ls", "-o", "json"]).done().json().is_array());
    assert!(
        engine.sandbox().lab(&["up", "--dry-run", "-o", "json", "--lab", "a"]).done().json()["tasks"]
            .is_array()
    );
    let empty = Engine::start(EMPTY);
    assert_eq!(empty.sandbox().lab(&["ls", "--output=json"]).done().json(), Value::Array(Vec::new()));
    let by_variable = empty.sandbox().env("LAB_OUTPUT", "json").lab(&["up", "--dry-run"]).done();
    assert!(by_variable.json()["tasks"].is_array());
}

#[test]
fn quiet_is_quiet_but_for_errors() {
    let engine = Engine::start(EMPTY);
    let quiet = |args: &[&str]| engine.sandbox().env("LAB_PROGRESS", "quiet").lab(args);
    assert_eq!(quiet(&["ls"]).shown(), "");
    assert_eq!(quiet(&["down"]).shown(), "");
    quiet(&["status"]).fails(
        4,
        "error: there is no lab `shop`\nhint: `lab up` makes it; `lab ls` lists the labs of this host\n",
    );
}

#[test]
fn a_status_that_is_watched_comes_line_by_line_until_it_is_interrupted() {
    let engine = Engine::start(WITH_LAB);
    let sandbox = engine.sandbox().env("LAB_LAB", "it-rec");
    let mut command = sandbox.command(&["status", "--watch", "-o", "json"]);
    let mut watching = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let stdout = std::io::BufReader::new(watching.stdout.take().unwrap());
    let line = std::io::BufRead::lines(stdout).next().unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["lab"], "it-rec");
    let process = rustix::process::Pid::from_child(&watching);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert_eq!(watching.wait().unwrap().code(), Some(0));
}
