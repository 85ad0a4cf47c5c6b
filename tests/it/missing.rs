//! A host that lacks something: an engine, a new enough one, a home.

use super::engine::{EMPTY, Engine, NO_ENGINE, OLD};
use super::kit::Sandbox;

/// Verbs that need an engine, as short as they can be typed.
const NEEDY: [&[&str]; 10] = [
    &["up"],
    &["up", "--dry-run"],
    &["status"],
    &["down", "-y"],
    &["halt"],
    &["ls"],
    &["env"],
    &["ssh-config"],
    &["logs", "core-01"],
    &["exec", "--all", "--", "true"],
];

#[test]
fn without_an_engine_nothing_is_made_and_the_cure_is_told() {
    let want = "error: no Docker engine answers at `unix:///no/engine.sock`\n\
        because: Socket not found: /no/engine.sock\n\
        hint: start the engine (`sudo systemctl start docker`, or Docker Desktop), or name another with DOCKER_HOST\n";
    for verb in NEEDY {
        let sandbox = Sandbox::new();
        sandbox.lab(verb).fails(6, want);
        assert_eq!(sandbox.tree(), ["home/shop"], "{verb:?}");
    }
}

#[test]
fn an_engine_that_is_silent_too_old_or_none_at_all_is_told() {
    let dead = Sandbox::new();
    // A socket whose process is gone.
    drop(std::os::unix::net::UnixListener::bind(dead.path("engine.sock")).unwrap());
    let host = format!("unix://{}", dead.path("engine.sock"));
    let dead = dead.env("DOCKER_HOST", &host).lab(&["status"]);
    assert_eq!(dead.code, 6, "{}", dead.shown());
    insta::assert_snapshot!(dead.shown());
    for (answers, name) in [(OLD, "old"), (NO_ENGINE, "none")] {
        let engine = Engine::start(answers);
        let sandbox = engine.sandbox();
        let socket = sandbox.env_value("DOCKER_HOST");
        let run = sandbox.lab(&["up"]);
        assert_eq!(run.code, 6, "{}", run.shown());
        insta::assert_snapshot!(name, run.shown().replace(&socket, "unix:///engine.sock"));
        assert_eq!(sandbox.tree(), ["home/shop"]);
    }
    let elsewhere = Sandbox::new().env("DOCKER_HOST", "tcp://127.0.0.1:1").lab(&["up"]);
    assert_eq!(elsewhere.code, 6, "{}", elsewhere.shown());
}

#[test]
fn an_engine_that_may_not_be_used_is_told_with_its_cure() {
    let engine = Engine::start(EMPTY);
    engine.forbid();
    let run = engine.sandbox().of_ordinary_user().lab(&["status"]);
    assert_eq!(run.code, 6, "{}", run.shown());
    assert!(run.stderr.contains("hint: you may not use the engine's socket"), "{}", run.stderr);
}

#[test]
fn without_a_home_it_is_told_what_to_set() {
    let want = "error: there is no folder for the cache: neither `XDG_CACHE_HOME` nor `HOME` is an absolute path\n\
        hint: set `HOME` to your home folder, or `XDG_CACHE_HOME` to any folder that is yours\n";
    for sandbox in
        [Sandbox::new().without("HOME"), Sandbox::new().env("HOME", ""), Sandbox::new().env("HOME", "rel")]
    {
        sandbox.lab(&["up"]).fails(1, want);
        assert_eq!(sandbox.tree(), ["home/shop"]);
    }
    let engine = Engine::start(EMPTY);
    let xdg = engine.sandbox().without("HOME").env("XDG_CACHE_HOME", "/c").env("XDG_STATE_HOME", "/s");
    xdg.lab(&["up", "--dry-run"]).done();
}

#[test]
fn the_doctor_finds_that_the_engine_is_missing_and_names_the_cure() {
    let run = Sandbox::new().lab(&["doctor", "-o", "json"]);
    assert_eq!(run.code, 6, "{}", run.shown());
    let findings = run.json();
    let docker = findings.as_array().unwrap().iter().find(|finding| finding["check"] == "docker").unwrap();
    assert_eq!(docker["verdict"], "problem");
    assert!(docker["cure"].as_str().is_some_and(|cure| !cure.is_empty()), "{docker}");
}
