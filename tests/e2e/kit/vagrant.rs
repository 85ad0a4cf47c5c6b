//! What labs need whose nodes Vagrant makes, and what of them is at work.

use std::ops::Deref;
use std::os::unix::fs::symlink;
use std::path::Path;

use camino::Utf8Path;
use lab::config::VagrantProvider;
use lab::exec::Cmd;
use lab::fs;
use rustix::process::{Pid, Signal, kill_process_group};

use super::{Run, TestLab, wait_until};

/// Vagrant has to be there: nothing is skipped.
#[track_caller]
pub fn is_installed() {
    let found = Run::of(&Cmd::new("sh").args(["-c", "command -v vagrant"]), Path::new("/"));
    assert!(found.code == Some(0), "there is no `vagrant`: install it with `scripts/setup --test`");
}

/// Returns variables that give a test Vagrant's own files for itself.
pub fn environment(folder: &Path, below: VagrantProvider) -> Vec<(String, String)> {
    let home = folder.join("vagrant.d").display().to_string();
    let variables = [
        ("LAB_PROVIDER", "vagrant"),
        ("LAB_VAGRANT_PROVIDER", below.name()),
        ("VAGRANT_HOME", &home),
        ("VAGRANT_CHECKPOINT_DISABLE", "1"),
    ];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Returns the command lines of processes that were started for a lab, by its folder.
pub fn processes_about(folder: &Utf8Path) -> Vec<String> {
    all_about(folder).map(|(_, line)| line).collect()
}

fn all_about(folder: &Utf8Path) -> impl Iterator<Item = (i32, String)> {
    let pids = fs::list("/proc".into()).expect("processes are listed").into_iter();
    pids.filter_map(|name| name.parse::<i32>().ok()).filter_map(move |pid| {
        let read = |what: &str| std::fs::read(format!("/proc/{pid}/{what}")).ok();
        // One that ended in this moment is not there, and one that is waited for has no words.
        let line = read("cmdline").filter(|line| !line.is_empty())?;
        let told = [line.clone(), read("environ")?].concat();
        let is_about = String::from_utf8_lossy(&told).contains(folder.as_str());
        is_about.then(|| (pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    })
}

impl TestLab {
    /// Runs plain `vagrant` in the lab's folder, as its user may at any time.
    #[track_caller]
    pub fn plain_vagrant<T: Into<String>>(&self, args: impl IntoIterator<Item = T>) -> Run {
        let script = "cd \"$1\" && shift && exec vagrant \"$@\"";
        let cmd = Cmd::new("sh").args(["-c", script, "sh", self.vagrant_folder().as_str()]).args(args);
        self.run_cmd(&self.in_lab(cmd))
    }

    /// Runs `lab` where another `vagrant` is found first, which is this script.
    #[track_caller]
    pub fn with_other_vagrant(&self, script: &str, args: &[&str]) -> Run {
        let folder = self.file("other-vagrant");
        let program = folder.join("vagrant");
        fs::write(&program, script, fs::Access::Public).expect("the temporary folder is ours");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("the file is ours");
        let cmd = self.cmd(args.iter().copied());
        let words = ["-c", "PATH=$1:$PATH; shift; exec \"$@\"", "sh", folder.as_str(), cmd.program()];
        let shell = Cmd::new("sh").args(words).args(cmd.arguments().iter().cloned());
        self.run_cmd(&self.in_lab(shell))
    }

    /// Kills the Vagrant that is at work on the lab, with all that it started.
    #[track_caller]
    pub fn kill_vagrant(&self) {
        let folder = self.vagrant_folder();
        let group = wait_until("vagrant is at work", || {
            let (pid, _) =
                all_about(&folder).find(|(_, line)| line.contains("ruby") && line.contains(" up "))?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat").as_str().into()).ok()?;
            // The name of the program stands in brackets; state, parent and group follow.
            let group = stat.rsplit_once(") ")?.1.split(' ').nth(2)?.parse().ok()?;
            Pid::from_raw(group)
        });
        kill_process_group(group, Signal::KILL).expect("vagrant is at work");
    }
}

/// What lab.toml says of the box that the stand-in boots.
pub const BOX: &str = "[vagrant]\nbox = \"lab-test/vm\"\nbox_version = \"1.0.0\"\n";

/// A lab over the stand-in for VirtualBox, whose machines are containers.
pub struct Machines {
    lab: TestLab,
    // The last to be dropped: what the lab could not remove.
    left: Left,
}

struct Left {
    prefix: String,
}

impl Machines {
    /// Prepares a lab, with a box and VirtualBox of its own.
    #[track_caller]
    pub fn virtualbox(topic: &str) -> Self {
        let mut lab = TestLab::vagrant(topic, VagrantProvider::VirtualBox);
        let left = Left { prefix: format!("{}-", lab.name()) };
        let bin = lab.file("bin");
        fs::create_dir(&bin).expect("the temporary folder is ours");
        symlink(env!("CARGO_BIN_EXE_vboxmanage-standin"), bin.join("VBoxManage")).expect("the folder is new");
        let path = Run::of(&Cmd::new("sh").args(["-c", "printf %s \"$PATH\""]), Path::new("/")).ok();
        let path = format!("{bin}:{path}");
        lab.tell("PATH", &path);
        lab.tell("STANDIN_DIR", lab.file("standin").as_str());
        lab.tell("STANDIN_PREFIX", &left.prefix);
        make_base(&lab);
        let build = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/standin/box/build");
        lab.run_cmd(&lab.in_lab(Cmd::new(build).arg(lab.file("box").as_str()))).ok();
        lab.write("lab.toml", BOX);
        Self { lab, left }
    }

    /// Lets operations take as long as they would with real machines.
    pub fn slow(mut self, delays: &str) -> Self {
        self.lab.tell("STANDIN_DELAYS", delays);
        self
    }

    /// Names the containers that are left of machines.
    #[track_caller]
    pub fn containers(&self) -> Vec<String> {
        self.left.list(&["ps", "--all"])
    }

    #[track_caller]
    pub fn networks(&self) -> Vec<String> {
        self.left.list(&["network", "ls"])
    }
}

/// What the box is built on, `lab` makes for nodes that are containers.
#[track_caller]
fn make_base(lab: &TestLab) {
    if lab.engine().docker(["image", "ls", "--quiet", "lab/base"]).is_empty() {
        let containers = TestLab::with_nodes("base", 1);
        drop(containers);
    }
}

impl Deref for Machines {
    type Target = TestLab;

    fn deref(&self) -> &TestLab {
        &self.lab
    }
}

impl Left {
    fn list(&self, what: &[&str]) -> Vec<String> {
        let (filter, format) = (format!("--filter=label=lab.standin={}", self.prefix), "--format={{.ID}}");
        let args = what.iter().copied().chain([filter.as_str(), format]);
        Run::of(&Cmd::new("docker").args(args), Path::new("/")).stdout.lines().map(str::to_owned).collect()
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let remove = |words: &[&str], ids: Vec<String>| {
            if !ids.is_empty() {
                Run::of(&Cmd::new("docker").args(words.iter().copied()).args(ids), Path::new("/"));
            }
        };
        remove(&["rm", "--force", "--volumes"], self.list(&["ps", "--all"]));
        remove(&["network", "rm"], self.list(&["network", "ls"]));
    }
}
