//! `lab.toml`: what is said about a bad one, which value wins, and the files that `lab` writes.

use serde_json::Value;

use super::engine::{EMPTY, Engine};
use super::kit::Sandbox;

/// Returns what `lab validate` says about a file.
fn told(content: impl AsRef<[u8]>) -> String {
    Sandbox::new().write("lab.toml", content).lab(&["validate"]).shown()
}

#[test]
fn a_bad_file_is_told_with_its_place() {
    insta::assert_snapshot!(
        [
            "nodes = 3\nnodez = 4\n",
            "nodes = 3\nnodes = 4\n",
            "[node]\nmemory = \"1GiB\"\n[node]\ncpus = 1\n",
            "memory = \"1GiB\"\n",
            "version = 2\nroles = []\n",
            "version = 0\n",
            "nodes = 0\r\n\r\n[node]\r\nmemroy = 3\r\n",
            "\tnodes\t=\t\"3\"\n",
            "name = \"My Lab\"\n[network]\nsubnet = \"8.8.8.0/24\"\n",
            "nodes = \n",
            "nodes = 3 4\n",
        ]
        .map(told)
        .join("\n")
    );
}

#[test]
fn a_file_that_is_no_text_is_told() {
    insta::assert_snapshot!(told(b"nodes = 3\nname = \"caf\xe9\"\n"));
    let utf16: Vec<u8> = "nodes = 3\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    insta::assert_snapshot!(told([&b"\xff\xfe"[..], &utf16].concat()));
    insta::assert_snapshot!(told("\0\0\0"));
}

#[test]
fn spaces_and_line_ends_of_others_are_fine() {
    for content in [
        "",
        "\n",
        "nodes = 3",
        "\tnodes\t=\t3\t\n",
        "nodes = 3\r\n[node]\r\ncpus = 1\r\n",
        "\u{feff}nodes = 3\n",
    ] {
        assert_eq!(
            told(content),
            "! lab.toml is fine; the lab is called shop\n".replace("lab.toml", "/top/home/shop/lab.toml")
        );
    }
}

#[test]
fn what_cannot_be_read_is_told() {
    let folder = Sandbox::new();
    std::fs::create_dir(folder.path("lab.toml")).unwrap();
    let looped = Sandbox::new();
    std::os::unix::fs::symlink("lab.toml", looped.path("lab.toml")).unwrap();
    let dangling = Sandbox::new();
    std::os::unix::fs::symlink("nowhere", dangling.path("lab.toml")).unwrap();
    let forbidden = Sandbox::new().of_ordinary_user();
    forbidden.write("lab.toml", "nodes = 3\n").mode("home/shop/lab.toml", 0o000);
    let absent = Sandbox::new().lab(&["--file", "other.toml", "validate"]).shown();
    let seen = [folder, looped, dangling, forbidden].map(|sandbox| sandbox.lab(&["validate"]).shown());
    insta::assert_snapshot!(format!("{}\n{absent}", seen.join("\n")));
}

#[test]
fn the_units_of_the_stack_are_checked_too() {
    let unit = "[X-Fleet]\nMachineMetadata=disk\n";
    let project = |stack: &str| {
        let sandbox = Sandbox::new();
        std::fs::create_dir_all(sandbox.path("services/web")).unwrap();
        sandbox.write("lab.toml", format!("stack = \"{stack}\"\n"));
        sandbox.write("services/web/db.service", unit);
        sandbox
    };
    let told = |stack| project(stack).lab(&["validate"]).shown();
    insta::assert_snapshot!([told("web"), told("shop"), told("none"), told("demo")].join("\n"));
}

#[test]
fn no_file_is_needed_and_it_is_said() {
    let run = Sandbox::new().lab(&["validate"]).done();
    assert_eq!(run.shown(), "! there is no lab.toml here; `lab init` writes one\n");
}

/// Returns how many nodes `lab up` would make.
#[track_caller]
fn nodes_planned(sandbox: &Sandbox, args: &[&str]) -> usize {
    let run = sandbox.lab(&[&["up", "--dry-run", "-o", "json"], args].concat()).done();
    assert_eq!(run.stderr, "");
    let tasks = run.json()["tasks"].as_array().cloned().unwrap();
    tasks.iter().filter(|task| task.to_string().contains("create")).count()
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let engine = Engine::start(EMPTY);
    assert_eq!(nodes_planned(&engine.sandbox(), &[]), 3, "by default");
    let file = engine.sandbox();
    file.write("lab.toml", "nodes = 5\n");
    assert_eq!(nodes_planned(&file, &[]), 5);
    assert_eq!(nodes_planned(&file, &["--nodes", "7"]), 7);
    let both = file.env("LAB_NODES", "4");
    assert_eq!(nodes_planned(&both, &[]), 4);
    assert_eq!(nodes_planned(&both, &["-n", "7"]), 7);
    both.write("other.toml", "nodes = 2\n");
    assert_eq!(nodes_planned(&both.without("LAB_NODES").env("LAB_FILE", "other.toml"), &[]), 2);
}

#[test]
fn a_dry_run_asks_and_makes_nothing() {
    let engine = Engine::start(EMPTY);
    let sandbox = engine.sandbox();
    sandbox.write("lab.toml", "nodes = 4\n[node]\nprefix = \"n\"\n[network]\nsubnet = \"10.99.7.0/24\"\n");
    insta::assert_snapshot!(sandbox.lab(&["up", "--dry-run"]).shown());
    insta::assert_snapshot!(sandbox.lab(&["up", "--dry-run", "-o", "json"]).shown());
    let asked = engine.asked();
    assert!(asked.iter().all(|request| request.starts_with("GET ")), "{asked:?}");
    assert_eq!(sandbox.tree(), ["home/shop", "home/shop/lab.toml"]);
}

#[test]
fn init_writes_a_file_that_is_fine_and_replaces_none_unasked() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.transcript(&[&["init", "--nodes", "5"], &["validate"], &["init"]]));
    let written = sandbox.read("lab.toml");
    insta::assert_snapshot!(written);
    sandbox.lab(&["init", "--nodes", "1"]);
    assert_eq!(sandbox.read("lab.toml"), written, "it is still the first one");
    sandbox.lab(&["init", "--force", "--lab", "other"]).done();
    assert!(sandbox.read("lab.toml").contains("name = \"other\"\n"));
    sandbox.lab(&["--file", "sub.toml", "init"]).done();
    assert_eq!(sandbox.tree(), ["home/shop", "home/shop/lab.toml", "home/shop/sub.toml"]);
}

#[test]
fn any_folder_has_a_name_for_its_lab() {
    for (folder, name) in
        [("My Café 2", "my-caf--2"), ("___", "lab"), ("日本", "lab"), ("UPPER.case", "upper-case")]
    {
        let sandbox = Sandbox::new().inside(&format!("home/{folder}"));
        sandbox.lab(&["init"]).done();
        let run = sandbox.lab(&["validate"]).done();
        assert!(run.stderr.ends_with(&format!("the lab is called {name}\n")), "{}", run.stderr);
    }
}

#[test]
fn the_schema_is_the_one_in_the_docs() {
    let run = Sandbox::new().lab(&["validate", "--schema"]).done();
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), (include_str!("../../docs/lab.schema.json"), ""));
    assert_eq!(run.json()["properties"]["nodes"]["maximum"], Value::from(200));
}

#[test]
fn a_folder_that_takes_no_files_is_told() {
    let sandbox = Sandbox::new().of_ordinary_user();
    sandbox.mode("home/shop", 0o555);
    let init = sandbox.lab(&["init"]);
    let validate = sandbox.lab(&["validate"]);
    sandbox.mode("home/shop", 0o755);
    assert_eq!(init.code, 1, "{}", init.shown());
    insta::assert_snapshot!(init.shown());
    assert_eq!(validate.code, 0, "{}", validate.shown());
}
