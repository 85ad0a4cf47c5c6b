//! `lab cp` between this host and nodes that are to be trusted no more than need be.

use std::os::unix::fs::{PermissionsExt, symlink};

use camino::Utf8PathBuf;
use lab::fs::{self, Access};

use crate::kit::{Check, TestLab, suite};

const CHECKS: [Check; 8] = [
    ("a file keeps its content, mode and spaces", files),
    ("a folder keeps all that is in it", folders),
    ("a folder goes into one that exists", into_folders),
    ("a node's file and folder come here", from_nodes),
    ("node to node", between_nodes),
    ("root may read and write what core may not", as_root),
    ("what is missing is told", missing),
    ("a node cannot write where it was not asked to", hostile_node),
];

#[test]
fn files_are_copied_in_all_directions() {
    let lab = TestLab::with_nodes("copy", 2);
    suite(&lab, &CHECKS);
}

fn text(path: &Utf8PathBuf) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{error}"))
}

fn mode(path: &Utf8PathBuf) -> u32 {
    std::fs::metadata(path).unwrap_or_else(|error| panic!("{path}: {error}")).permissions().mode() & 0o7777
}

/// Makes a folder with a program, a link, an empty folder and a name with a space in it.
fn make_folder(lab: &TestLab, name: &str) -> Utf8PathBuf {
    let folder = lab.file(name);
    fs::create_dir(&folder.join("empty")).expect("the temporary folder is ours");
    fs::write(&folder.join("a program"), "#!/bin/sh\n", Access::Program)
        .expect("the temporary folder is ours");
    fs::write(&folder.join("deep/er/secret"), "s", Access::Private).expect("the temporary folder is ours");
    symlink("deep/er/secret", folder.join("link")).expect("the temporary folder is ours");
    folder
}

const LIST: &str = "find . -mindepth 1 -printf '%P %y %m %l\\n' | grep -v ' l ' | sort; readlink link";
const LISTED: &str =
    "a program f 755 \ndeep d 755 \ndeep/er d 755 \ndeep/er/secret f 600 \nempty d 755 \ndeep/er/secret";

fn files(lab: &TestLab) {
    let file = lab.file("a file.sh");
    fs::write(&file, "one\n", Access::Program).expect("the temporary folder is ours");
    lab.ok(["cp", file.as_str(), "core-01:"]);
    assert_eq!(
        lab.sh("core-01", "cat '/home/core/a file.sh'; stat -c %a '/home/core/a file.sh'"),
        "one\n755"
    );
    lab.ok(["cp", file.as_str(), "core-01:/tmp/it's another"]);
    assert_eq!(lab.sh("core-01", "cat \"/tmp/it's another\"; stat -c %U \"/tmp/it's another\""), "one\ncore");
    fs::write(&file, "two\n", Access::Private).expect("the temporary folder is ours");
    lab.ok(["cp", file.as_str(), "core-01:/tmp/it's another"]);
    assert_eq!(lab.sh("core-01", "cat \"/tmp/it's another\"; stat -c %a \"/tmp/it's another\""), "two\n600");
}

fn folders(lab: &TestLab) {
    let folder = make_folder(lab, "folder");
    lab.ok(["cp", folder.as_str(), "core-01:/tmp/made"]);
    assert_eq!(lab.sh("core-01", &format!("cd /tmp/made && {LIST}")), LISTED);
}

fn into_folders(lab: &TestLab) {
    let folder = make_folder(lab, "inner");
    lab.sh("core-01", "mkdir -p /tmp/outer");
    for _ in 0..2 {
        lab.ok(["cp", folder.as_str(), "core-01:/tmp/outer"]);
        assert_eq!(
            lab.sh("core-01", &format!("ls /tmp/outer; cd /tmp/outer/inner && {LIST}")),
            format!("inner\n{LISTED}")
        );
    }
}

fn from_nodes(lab: &TestLab) {
    lab.sh("core-01", "mkdir -p '/tmp/from node/deep'; echo f > '/tmp/from node/deep/file'; chmod 750 '/tmp/from node/deep/file'");
    lab.ok(["cp", "core-01:/tmp/from node/deep/file", lab.file("got").as_str()]);
    assert_eq!((text(&lab.file("got")).as_str(), mode(&lab.file("got"))), ("f\n", 0o750));
    lab.ok(["cp", "core-01:/tmp/from node", lab.file("").as_str()]);
    assert_eq!(text(&lab.file("from node/deep/file")), "f\n");
    lab.sh("core-01", "ln -sf nowhere /tmp/dangling; echo relative > relative");
    lab.ok(["cp", "core-01:/tmp/dangling", lab.file("dangling").as_str()]);
    assert_eq!(std::fs::read_link(lab.file("dangling")).ok(), Some("nowhere".into()));
    lab.ok(["cp", "core-01:relative", "."]);
    assert_eq!(text(&lab.project().join("relative")), "relative\n");
    fs::remove_file(&lab.project().join("relative")).expect("it is ours");
}

fn between_nodes(lab: &TestLab) {
    lab.sh(
        "core-01",
        "mkdir -p '/tmp/to move/in'; echo m > '/tmp/to move/in/file'; chmod 711 '/tmp/to move/in/file'",
    );
    lab.ok(["cp", "core-01:/tmp/to move", "core-02:/tmp/moved"]);
    assert_eq!(lab.sh("core-02", "cat /tmp/moved/in/file; stat -c %a /tmp/moved/in/file"), "m\n711");
    lab.ok(["cp", "core-01:/tmp/to move/in/file", "core-02:"]);
    assert_eq!(lab.sh("core-02", "cat /home/core/file"), "m");
}

fn as_root(lab: &TestLab) {
    let file = lab.file("root-file");
    fs::write(&file, "r\n", Access::Public).expect("the temporary folder is ours");
    lab.run(["cp", file.as_str(), "core-01:/etc/e2e-root"]).ends_with(1).says("Permission denied");
    lab.ok(["cp", "--root", file.as_str(), "core-01:/etc/e2e-root"]);
    assert_eq!(lab.sh("core-01", "cat /etc/e2e-root"), "r");
    lab.sh("core-01", "sudo chmod 600 /etc/e2e-root; sudo chown root:root /etc/e2e-root");
    lab.run(["cp", "core-01:/etc/e2e-root", lab.file("no").as_str()]).ends_with(1).says("Permission denied");
    lab.ok(["cp", "--root", "core-01:/etc/e2e-root", lab.file("yes").as_str()]);
    assert_eq!(text(&lab.file("yes")), "r\n");
}

fn missing(lab: &TestLab) {
    lab.run(["cp", "core-01:/no/such/file", "."]).ends_with(1).says("/no/such/file");
    lab.run(["cp", "no-such-file", "core-01:"]).ends_with(1).says("no-such-file");
    lab.run(["cp", "core-01:/etc/hosts", "/no/such/folder/x"]).ends_with(1).says("/no/such/folder");
    lab.run(["cp", "core-09:x", "."]).ends_with(4);
    lab.run(["cp", "one", "two"]).ends_with(2).says("NODE:PATH");
}

/// Makes the node answer with an archive of names that nobody asked for.
fn answer_with(lab: &TestLab, packing: &str) {
    let fake = "printf '#!/bin/sh\\ncat /tmp/evil.tar\\n' | sudo tee /usr/local/bin/tar >/dev/null; sudo chmod 755 /usr/local/bin/tar";
    lab.sh(
        "core-02",
        &format!("sudo rm -f /usr/local/bin/tar; cd /tmp && echo evil > evil && {packing} && {fake}"),
    );
}

fn hostile_node(lab: &TestLab) {
    let (inside, outside) = (lab.file("downloads"), lab.file("outside"));
    fs::create_dir(&inside).expect("the temporary folder is ours");
    fs::create_dir(&outside).expect("the temporary folder is ours");
    let precious = inside.join("precious");
    fs::write(&precious, "mine", Access::Public).expect("the temporary folder is ours");
    let link = format!(
        "ln -sfn {outside} asked && /usr/bin/tar -cf evil.tar asked && rm asked && mkdir -p asked && \
                        cp evil asked/evil && /usr/bin/tar -rf evil.tar asked/evil"
    );
    for packing in [
        "/usr/bin/tar -cPf evil.tar --transform='s|^|../outside/|' evil",
        &format!("/usr/bin/tar -cPf evil.tar --transform='s|^|{outside}/|' evil"),
        "/usr/bin/tar -cf evil.tar --transform='s|^evil|precious|' evil",
        &link,
    ] {
        answer_with(lab, packing);
        lab.run(["cp", "core-02:asked", inside.as_str()]);
        assert_eq!(fs::list(&outside).expect("it is ours"), [""; 0], "after {packing}");
        assert_eq!(text(&precious), "mine", "after {packing}");
    }
    lab.sh("core-02", "sudo rm -f /usr/local/bin/tar");
}
