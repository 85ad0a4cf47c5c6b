//! Verbs on a lab that lives: they look and change nothing.

use lab::exec::Cmd;
use serde_json::Value;

use crate::kit::{Check, Run, TestLab, suite};

const CHECKS: [Check; 12] = [
    ("exec shows whose line is whose", exec_prefixes),
    ("exec ends with the highest code", exec_codes),
    ("exec prints JSON", exec_json),
    ("ssh runs a command and ends as it does", ssh_runs),
    ("logs shows as much of a unit as asked", logs_of_a_unit),
    ("env leads other programs to the lab", env_leads),
    ("ssh-config leads ssh to every node", ssh_config_leads),
    ("ls lists the lab", ls_lists),
    ("a dry run tells and does nothing", dry_run),
    ("names of nodes are completed", completion),
    ("status and up take their flags from the environment", environment),
    ("a halted node is reached by the console only", halted_node),
];

#[test]
fn verbs_work_on_a_living_lab() {
    let lab = TestLab::with_nodes("verbs", 3);
    suite(&lab, &CHECKS);
}

fn sorted_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn exec_prefixes(lab: &TestLab) {
    let run = lab.run(["exec", "--all", "--", "hostname; echo oops >&2; printf end"]);
    let want =
        ["core-01", "core-02", "core-03"].map(|node| [format!("{node}  {node}"), format!("{node}  end")]);
    assert_eq!(sorted_lines(&run.ok()), want.concat());
    assert_eq!(sorted_lines(&run.stderr), ["core-01  oops", "core-02  oops", "core-03  oops"]);
    let words = lab.ok(["exec", "core-02", "--", "echo", "a  b", "$HOME;"]);
    assert_eq!(words, "core-02  a  b $HOME;");
}

fn exec_codes(lab: &TestLab) {
    lab.run(["exec", "--all", "--", "exit $((10 + ${HOSTNAME#core-0}))"]).ends_with(13);
    lab.run(["exec", "core-01", "core-02", "--", "exit $((10 + ${HOSTNAME#core-0}))"]).ends_with(12);
    lab.run(["exec", "--all", "--", "test $(hostname) != core-02"]).ends_with(1);
    lab.run(["exec", "core-07", "--", "true"]).ends_with(4).says("it has core-01, core-02, core-03");
}

fn exec_json(lab: &TestLab) {
    let run = lab.run(["exec", "--all", "-o", "json", "--", "hostname; echo oops >&2; exit 3"]);
    let ended: Vec<Value> = serde_json::from_str(&run.ends_with(3).stdout).expect("stdout is JSON");
    let want = ["core-01", "core-02", "core-03"].map(|node| {
        serde_json::json!({ "node": node, "code": 3, "error": null, "stdout": format!("{node}\n"), "stderr": "oops\n" })
    });
    assert_eq!(ended, want);
}

fn ssh_runs(lab: &TestLab) {
    assert_eq!(lab.ok(["ssh", "core-02", "--", "hostname; id -un"]), "core-02\ncore");
    assert_eq!(lab.ok(["ssh", "core-02", "--", "echo", "a  b"]), "a  b");
    lab.run(["ssh", "core-02", "--", "exit 42"]).ends_with(42);
    lab.run(["ssh", "core-09"]).ends_with(4);
}

fn logs_of_a_unit(lab: &TestLab) {
    lab.sh(
        "core-01",
        "seq 20 | systemd-cat -t e2e; sudo systemd-run --quiet --wait --unit=e2e-unit echo from-the-unit",
    );
    let last = lab.ok(["logs", "core-01", "-n", "5"]);
    assert_eq!(last.lines().filter(|line| !line.starts_with("-- ")).count(), 5, "{last}");
    let unit = lab.ok(["logs", "core-01", "-u", "e2e-unit"]);
    assert!(unit.contains("from-the-unit") && !unit.contains("e2e["), "{unit}");
    lab.ok(["logs", "core-01", "--console"]);
}

fn env_leads(lab: &TestLab) {
    let sh = |script: &str| {
        let script =
            format!("set -e; eval \"$({} env --node core-02)\"; {script}", env!("CARGO_BIN_EXE_lab"));
        lab.run_cmd(&lab.in_lab(Cmd::new("sh").arg("-c").arg(script))).ok()
    };
    let health = sh(
        "for at in $(echo $ETCDCTL_ENDPOINTS | tr , ' '); do curl -fsS --max-time 10 $at/health; echo; done",
    );
    assert_eq!(health, ["{\"health\":\"true\"}"; 3].join("\n"));
    let host = sh("ssh -F /dev/null -o IdentityAgent=none -i \"$LAB_SSH_KEY\" \
                   -o UserKnownHostsFile=\"$FLEETCTL_KNOWN_HOSTS_FILE\" -o StrictHostKeyChecking=yes \
                   -p \"${FLEETCTL_TUNNEL##*:}\" \"$FLEETCTL_SSH_USERNAME@${FLEETCTL_TUNNEL%:*}\" hostname");
    assert_eq!(host, "core-02");
    assert_eq!(sh("echo $DOCKER_HOST"), format!("ssh://core-02.{}", lab.name()));
    let json: Value = serde_json::from_str(&lab.ok(["env", "-o", "json"])).expect("stdout is JSON");
    assert_eq!(json["ETCDCTL_API"], "3");
}

fn ssh_config_leads(lab: &TestLab) {
    let path = lab.ok(["ssh-config", "--path"]);
    for node in ["core-01", "core-02", "core-03"] {
        for alias in [node.to_owned(), format!("{node}.{}", lab.name())] {
            let cmd = lab.in_lab(Cmd::new("ssh").args(["-F", &path, &alias, "hostname"]));
            assert_eq!(lab.run_cmd(&cmd).ok(), node);
        }
    }
    assert_eq!(lab.ok(["ssh-config"]).matches("\n  Port ").count(), 3);
}

fn ls_lists(lab: &TestLab) {
    let labs: Vec<Value> = serde_json::from_str(&lab.ok(["ls", "-o", "json"])).expect("stdout is JSON");
    let ours = labs.iter().find(|found| found["lab"] == lab.name()).expect("the lab is listed");
    assert_eq!(
        (&ours["nodes"], &ours["running"], &ours["provider"]),
        (&3.into(), &3.into(), &"container".into())
    );
    assert_eq!(
        (&ours["project"], ours["subnet"].as_str()),
        (&lab.project().as_str().into(), lab.status().subnet.as_deref())
    );
    assert!(lab.ok(["ls"]).contains(lab.name()));
}

fn dry_run(lab: &TestLab) {
    let (files, before) = (lab.files(), lab.engine().left_of(lab.name()));
    let remembered = files.load().expect("what is remembered can be read");
    let tasks = lab.ok(["up", "--nodes", "4", "--dry-run"]);
    assert!(tasks.lines().any(|task| task.starts_with("make ") && task.contains("core-04")), "{tasks}");
    let fewer = lab.ok(["up", "--nodes", "1", "--dry-run", "-o", "json"]);
    let fewer: Value = serde_json::from_str(&fewer).expect("stdout is JSON");
    let removed = fewer["tasks"].as_array().into_iter().flatten().filter(|task| task["action"] == "remove");
    assert_eq!(
        removed.map(|task| task["node"].as_str()).collect::<Vec<_>>(),
        [Some("core-03"), Some("core-02")]
    );
    assert_eq!(lab.engine().left_of(lab.name()), before);
    assert_eq!(files.load().expect("what is remembered can be read"), remembered);
    lab.run(["up", "--dry-run"]).ends_with(0).says("nothing to do");
    lab.healthy(3);
}

/// Asks for what a shell would offer as the last of these words.
fn complete(lab: &TestLab, words: &[&str]) -> Run {
    let cmd = lab.cmd(["--", "lab"].iter().chain(words).copied()).env("COMPLETE", "bash");
    let cmd = cmd.env("_CLAP_COMPLETE_INDEX", words.len().to_string()).env("_CLAP_COMPLETE_COMP_TYPE", "9");
    lab.run_cmd(&cmd.env("_CLAP_COMPLETE_SPACE", "true").env("_CLAP_IFS", "\n"))
}

fn completion(lab: &TestLab) {
    for words in [&["ssh", "core"][..], &["exec", "core"], &["halt", "core"], &["logs", "core"]] {
        assert_eq!(complete(lab, words).ok(), "core-01\ncore-02\ncore-03", "{words:?}");
    }
    assert!(complete(lab, &["cp", "core-02"]).ok().contains("core-02:"));
    assert!(complete(lab, &["sta"]).ok().contains("status"));
    assert_eq!(complete(lab, &["--lab", "e2e"]).ok(), lab.name());
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(lab.ok(["completions", shell]).contains("COMPLETE"), "{shell}");
    }
}

fn environment(lab: &TestLab) {
    let status = lab.run_cmd(&lab.cmd(["status"]).env("LAB_OUTPUT", "json"));
    assert!(serde_json::from_str::<Value>(&status.ok()).is_ok(), "{status}");
    let tasks = lab.run_cmd(&lab.cmd(["up"]).env("LAB_NODES", "4").env("LAB_DRY_RUN", "true"));
    assert!(tasks.ok().contains("core-04"), "{tasks}");
}

fn halted_node(lab: &TestLab) {
    lab.ok(["halt", "core-03"]);
    lab.run(["exec", "--all", "--", "true"]).ends_with(255).says("core-03: `core-03` does not run");
    lab.run(["ssh", "core-03", "--", "true"]).ends_with(1).says("`lab up` starts it");
    lab.run(["logs", "core-03"]).ends_with(1).says("does not run");
    lab.ok(["logs", "core-03", "--console"]);
    lab.run(["env", "--node", "core-03"]).ends_with(1).says("does not run");
    lab.ok(["up"]);
    lab.healthy(3);
}
