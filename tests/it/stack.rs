//! `lab stack`: stacks are listed, shown, begun and thought through without an engine.

use std::os::unix::fs::PermissionsExt;

use super::kit::Sandbox;

const SHIPPED: [&str; 6] = ["consul", "demo", "mesos-ha", "postgres-ha", "registry", "zookeeper"];
const UNIT: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

/// Writes files of a stack of the project.
fn with_stack(name: &str, files: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::new();
    let folder = format!("services/{name}");
    std::fs::create_dir_all(sandbox.path(&folder)).unwrap();
    for (file, content) in files {
        sandbox.write(&format!("{folder}/{file}"), content);
    }
    sandbox
}

/// Returns what is said of a stack that has one unit, `web`, and this file.
fn told(stack: &str) -> String {
    with_stack("web", &[("stack.toml", stack), ("web.service", UNIT)]).lab(&["stack", "check", "web"]).shown()
}

#[test]
fn stacks_of_the_project_and_of_lab_are_listed() {
    let sandbox = with_stack("web", &[("web.service", UNIT)]);
    std::fs::create_dir_all(sandbox.path("services/broken")).unwrap();
    sandbox.write("services/broken/stack.toml", "description = \"x\"\nunit = []\n");
    sandbox.write("lab.toml", "stack = [\"web\", \"demo\"]\n");
    let listed = sandbox.lab(&["stack", "ls", "-o", "json"]).done().json();
    let row =
        |name: &str| listed.as_array().unwrap().iter().find(|row| row["stack"] == name).unwrap().clone();
    for name in SHIPPED {
        assert_eq!(
            (row(name)["from"].as_str(), row(name)["used"].as_bool()),
            (Some("lab"), Some(name == "demo"))
        );
    }
    assert_eq!((row("web")["from"].as_str(), row("web")["used"].as_bool()), (Some("project"), Some(true)));
    assert!(row("broken")["description"].as_str().unwrap().starts_with("cannot be read: "));
    let table = sandbox.lab(&["stack", "ls"]).done().stdout;
    assert_eq!(table.lines().count(), SHIPPED.len() + 3, "{table}");
    assert!(table.lines().any(|line| line.starts_with("web ") && line.contains("project  yes")), "{table}");
}

#[test]
fn a_stack_is_begun_shown_and_checked() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.transcript(&[
        &["stack", "new", "web", "--image", "example/web:1", "--port", "8080"],
        &["stack", "show", "web"],
        &["stack", "check", "web"],
        &["stack", "check", "web", "--nodes", "5"],
        &["stack", "new", "web"],
        &["stack", "new", "Web Site"],
        &["stack", "new", "site", "--from", "nonsense"],
        &["stack", "show", "nonsense"],
    ]));
    let shown = sandbox.lab(&["stack", "show", "web", "-o", "json"]).done().json();
    assert_eq!((&shown["stack"], &shown["units"][0]["unit"]), (&"web".into(), &"web@.service".into()));
    let checked = sandbox.lab(&["stack", "check", "web", "-o", "json"]).done().json();
    assert_eq!(checked["web"]["roles"]["web"], serde_json::json!(["core-01", "core-02", "core-03"]));
    assert_eq!(checked["web"]["problems"], serde_json::json!([]));
}

#[test]
fn a_copy_has_all_files_and_is_the_projects_own() {
    let sandbox = Sandbox::new();
    let told = sandbox.lab(&["stack", "new", "zookeeper", "--from", "zookeeper"]).done();
    let root = camino::Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("services/zookeeper");
    for file in ["stack.toml", "zookeeper@.service", "image/Dockerfile", "image/serve"] {
        let path = sandbox.path("services/zookeeper").join(file);
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(root.join(file)).unwrap(), "{file}");
        assert!(told.stdout.contains(&format!("services/zookeeper/{file}\n")), "{}", told.stdout);
    }
    let mode = |file: &str| {
        std::fs::metadata(sandbox.path("services/zookeeper").join(file)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("image/serve"), mode("image/Dockerfile")), (0o755, 0o644));
    let listed = sandbox.lab(&["stack", "ls", "-o", "json"]).done().json();
    let own: Vec<_> = listed.as_array().unwrap().iter().filter(|row| row["from"] == "project").collect();
    assert_eq!((own.len(), &own[0]["stack"]), (1, &"zookeeper".into()));
}

#[test]
fn what_comes_with_lab_is_sound_in_labs_of_every_size() {
    let sandbox = Sandbox::new();
    for name in SHIPPED {
        for nodes in ["1", "3", "4", "9"] {
            let checked = sandbox.lab(&["stack", "check", name, "--nodes", nodes]).done();
            assert!(checked.stdout.ends_with("it is fine\n"), "{}", checked.shown());
        }
    }
    sandbox.lab(&["stack", "check", "consul", "registry", "postgres-ha"]).done();
}

#[test]
fn what_is_wrong_with_a_stack_is_told_with_its_place() {
    let stacks = [
        "description = \"x\"\n[[units]]\nname = \"web\"\nrol = \"web\"\n",
        "[[units]]\nname = \"web\"\n",
        "description = \"x\"\n",
        "description = \"x\"\n[[units]]\nname = \"db\"\n",
        "description = \"x\"\n[[units]]\nname = \"web\"\ninstances = 2\n",
        "description = \"x\"\n[[units]]\nname = \"web\"\nrole = \"nobody\"\n",
        "description = \"x\"\n[[units]]\nname = \"web\"\nimages = [\"nowhere\"]\n",
        "description = \"x\"\n[[units]]\nname = \"web\"\n[[endpoints]]\nname = \"web\"\nunit = \"db\"\nport = 80\n",
        "description = \"x\"\n[roles.a]\nnodes = 1\nneeds = [\"b\"]\n[roles.b]\nnodes = 1\nneeds = [\"a\"]\n\
         [[units]]\nname = \"web\"\nrole = \"a\"\n",
        "description = \"x\"\n[roles.a]\nnodes = 1\nwhere = { disk = \"ssd\" }\n[[units]]\nname = \"web\"\nrole = \"a\"\n",
        "description = \"x\"\n[[units]]\nname = \"web\"\nports = [22]\ncheck = { http = \"/\" }\n",
        "description = \"x\"\n[[units]]\nname = \"web\"\nports = [22]\n",
    ];
    insta::assert_snapshot!(stacks.map(told).join("\n"));
}

#[test]
fn what_a_unit_lacks_is_told() {
    let stack = "description = \"x\"\n[roles.web]\nnodes = 2\n[images.web]\npull = \"example/web:1\"\n\
                 [[units]]\nname = \"web@\"\nrole = \"web\"\nports = [80]\n";
    let unit = "[Service]\nExecStartPre=/usr/bin/docker pull example/web:1\n\
                ExecStart=/usr/bin/docker run example/web:1 ${LAB_WBE_HOSTS}\n[X-Fleet]\nMachineMetadata=web=yes\n";
    let sandbox = with_stack("web", &[("stack.toml", stack), ("web@.service", unit)]);
    insta::assert_snapshot!(sandbox.lab(&["stack", "check", "web"]).shown());
}

#[test]
fn two_stacks_of_a_lab_are_checked_together() {
    let sandbox = Sandbox::new();
    let names = sandbox.lab(&["stack", "check", "zookeeper", "mesos-ha"]);
    assert_eq!(names.code, 2, "{}", names.shown());
    let stack = "description = \"x\"\n[[units]]\nname = \"web\"\nports = [2181]\n";
    let sandbox = with_stack("web", &[("stack.toml", stack), ("web.service", UNIT)]);
    let ports = sandbox.lab(&["stack", "check", "zookeeper", "web"]);
    assert_eq!(ports.code, 2, "{}", ports.shown());
    insta::assert_snapshot!(format!("{}\n{}", names.shown(), ports.shown()));
}

#[test]
fn systemd_is_asked_where_it_is() {
    let sandbox = with_stack("web", &[("web.service", UNIT)]);
    std::fs::create_dir_all(sandbox.path("bin")).unwrap();
    sandbox.write(
        "bin/systemd-analyze",
        "#!/bin/sh\nfor word; do file=$word; done\n\
         echo \"$file:2: Unknown key name 'Web' in section 'Service', ignoring.\" >&2\n\
         echo '/lib/systemd/system/other.service:1: not ours' >&2\nexit 1\n",
    );
    sandbox.mode("home/shop/bin/systemd-analyze", 0o755);
    let path = sandbox.path("bin");
    let run = sandbox.env("PATH", path.as_str()).lab(&["stack", "check", "web"]);
    assert_eq!(run.code, 2, "{}", run.shown());
    insta::assert_snapshot!(run.shown());
}

#[test]
fn editors_are_given_a_schema() {
    let schema = Sandbox::new().lab(&["stack", "check", "--schema"]).done().json();
    assert_eq!(schema["title"], "stack.toml");
}
