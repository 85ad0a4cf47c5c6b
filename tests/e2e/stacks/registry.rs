//! What the stack `registry` is asked: pushes and pulls of nodes, as `localhost:5000`.

use super::{NODES, all};
use crate::kit::{TestLab, wait_until};

const IMAGE: &str = "localhost:5000/e2e/app";

/// What one node pushes, another pulls; who has no password gets nothing.
pub fn serves(lab: &TestLab) {
    let status = lab.status();
    let stack = status.stack("registry");
    assert_eq!(stack.serving("registry-door"), all(&NODES), "{stack:?}");
    lab.sh("core-01", &format!("tar -cP /usr/local/bin/labd | docker import - {IMAGE}:first"));
    lab.sh("core-01", &format!("docker push --quiet {IMAGE}:first"));
    runs(lab, "core-03", "first");
    let stranger = lab.try_sh("core-02", &format!("docker --config /tmp/nobody pull {IMAGE}:first"));
    stranger.ends_with(1);
    let door = lab.try_sh(
        "core-02",
        "docker --config /tmp/nobody login --username lab --password wrong localhost:5000",
    );
    door.ends_with(1);
    has_all(lab, "first");
}

/// Those that are left give what was pushed before, and take more.
pub fn survives(lab: &TestLab, alive: &[&str]) {
    runs(lab, alive[1], "first");
    lab.sh(alive[1], &format!("docker tag {IMAGE}:first {IMAGE}:{}", alive[1]));
    wait_until("a push goes through", || {
        (lab.try_sh(alive[1], &format!("docker push --quiet {IMAGE}:{}", alive[1])).code == Some(0))
            .then_some(())
    });
    runs(lab, alive[0], alive[1]);
}

/// A member that came back has what was pushed while it was away, and its node can use the registry.
pub fn has_all_on(lab: &TestLab, node: &str) {
    let pushed_by = NODES.into_iter().rfind(|other| *other != node).expect("there are others");
    has_all(lab, pushed_by);
    runs(lab, node, pushed_by);
}

/// Waits until a node gets an image from the registry, and runs it.
#[track_caller]
fn runs(lab: &TestLab, node: &str, tag: &str) {
    let run = format!(
        "docker rmi --force {IMAGE}:{tag}; docker run --rm {IMAGE}:{tag} /usr/local/bin/labd version"
    );
    let said = wait_until(&format!("{node} gets {tag}"), || {
        Some(lab.try_sh(node, &run)).filter(|run| run.code == Some(0))
    });
    assert!(said.stdout.lines().any(|line| line.starts_with("labd ")), "{said}");
}

/// Waits until every member has an image. Links are put in their place after what they lead to.
#[track_caller]
fn has_all(lab: &TestLab, tag: &str) {
    let link = format!("/data/docker/registry/v2/repositories/e2e/app/_manifests/tags/{tag}/current/link");
    wait_until(&format!("all members have {tag}"), || {
        let found = lab.everywhere(&format!("docker exec registry cat {link} || echo none"));
        found.values().all(|link| link.starts_with("sha256:")).then_some(())
    });
}
