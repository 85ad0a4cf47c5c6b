//! The stack `postgres-ha`: a primary dies, and nothing is lost that a client was told is there.

use std::collections::BTreeSet;

use camino::Utf8Path;

use super::{NODES, all, bring_back, kill_leader};
use crate::kit::net::http;
use crate::kit::{TestLab, wait_until};

const WRITER: &str = "tests/data/postgres/writer.sh";
/// Far longer than it is needed; it is stopped.
const SECONDS: u32 = 600;
/// A client of the database on its node, and one of whatever the proxy there leads to.
const MEMBER: &str = "docker exec postgres psql --username=postgres";
const PRIMARY: &str = "docker exec postgres-proxy sh -c \
    'exec psql postgres://postgres:$POSTGRES_PASSWORD@$LAB_ADDRESS:6432 \"$@\"' psql";
/// Enough to be sure that writes go through.
const SOME: usize = 10;

#[test]
fn nothing_is_lost_that_postgres_said_is_committed() {
    let lab = TestLab::new("postgres");
    let up = lab.run(["up", "--nodes", "3", "--stack", "postgres-ha"]);
    up.ends_with(0).says("stack postgres-ha: serves; led by postgres@");
    let status = lab.healthy(3);
    let stack = status.stack("postgres-ha");
    assert_eq!(
        (stack.serving("postgres@"), stack.answering("postgres")),
        (all(&NODES), all(&NODES)),
        "{stack:?}"
    );
    lab.run(["up", "--stack", "postgres-ha"]).ends_with(0).says("nothing to do");

    let primary = stack.leader("postgres@").expect("one is the primary");
    let client = NODES.into_iter().find(|node| *node != primary).expect("there are others");
    start_writer(&lab, client);
    wait_until("some writes are committed", || (acknowledged(&lab, client).len() >= SOME).then_some(()));
    let (dead, _) = kill_leader(&lab, "postgres-ha", "postgres@");
    assert_eq!(dead, primary, "it had not changed meanwhile");
    let before = acknowledged(&lab, client).len();
    wait_until("writes are committed again", || {
        (acknowledged(&lab, client).len() >= before + SOME).then_some(())
    });
    has_all(&lab, client, &acknowledged(&lab, client));

    // The former primary comes back while writes go on, and follows.
    bring_back(&lab, "postgres-ha");
    stop_writer(&lab, client);
    let told = acknowledged(&lab, client);
    has_all(&lab, client, &told);
    let address = lab.status().node(&dead).address;
    wait_until("the former primary is a copy", || {
        http("GET", address, 8008, "/replica", "").filter(|answer| answer.status == 200)
    });
    wait_until("the former primary has all", || told.is_subset(&numbers(&lab, &dead, MEMBER)?).then_some(()));
}

/// Starts to write on a node, through the proxy there; what is committed is listed in a file.
fn start_writer(lab: &TestLab, node: &str) {
    let script = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join(WRITER);
    lab.ok(["cp", script.as_str(), &format!("{node}:/tmp/writer")]);
    let shell = format!("echo $$ > /tmp/writer; exec sh -s 1 {SECONDS}");
    let run = format!(
        "docker exec -i postgres-proxy sh -c '{shell}' < /tmp/writer > /tmp/committed 2> /tmp/refused"
    );
    lab.sh(node, &format!("nohup sh -c {} < /dev/null > /dev/null 2>&1 &", lab::exec::quote(&run)));
}

fn stop_writer(lab: &TestLab, node: &str) {
    lab.sh(node, "docker exec postgres-proxy sh -c 'kill $(cat /tmp/writer)'");
    wait_until("the writer has ended", || {
        (lab.try_sh(node, "pgrep --full 'docker exec -i postgres-prox[y]'").code == Some(1)).then_some(())
    });
}

/// Returns the numbers that the writer was told are committed.
fn acknowledged(lab: &TestLab, node: &str) -> BTreeSet<u64> {
    let listed = lab.sh(node, "cut -d ' ' -f 1 /tmp/committed");
    listed.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Checks that the primary has these numbers.
#[track_caller]
fn has_all(lab: &TestLab, node: &str, told: &BTreeSet<u64>) {
    let listed = wait_until("the primary lists its numbers", || numbers(lab, node, PRIMARY));
    let lost: Vec<&u64> = told.difference(&listed).collect();
    assert!(!told.is_empty() && lost.is_empty(), "committed and lost: {lost:?} of {}", told.len());
}

/// Asks a database for its numbers.
fn numbers(lab: &TestLab, node: &str, client: &str) -> Option<BTreeSet<u64>> {
    let line = format!("{client} --tuples-only --no-align --command='select number from numbers'");
    let run = lab.try_sh(node, &line);
    (run.code == Some(0)).then(|| run.stdout.lines().filter_map(|line| line.trim().parse().ok()).collect())
}
