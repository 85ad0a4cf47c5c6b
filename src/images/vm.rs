//! What a machine that boots some box is sent to become a node, and how it is asked what it has.

use include_dir::{Dir, include_dir};
use sha2::{Digest, Sha256};

use super::recipe;
use crate::exec::Cmd;

static VM: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/images/vm");

/// What goes in from `images/node`, by the name that the kit's script knows it by.
const SHARED: [(&str, &str); 6] = [
    ("packages", "packages"),
    ("daemon.json", "rootfs/etc/docker/daemon.json"),
    ("docker.conf", "rootfs/etc/systemd/system/docker.service.d/lab.conf"),
    ("lab-containers.service", "rootfs/etc/systemd/system/lab-containers.service"),
    ("lab-etcd.service", "rootfs/etc/systemd/system/lab-etcd.service"),
    ("labd.service", "rootfs/etc/systemd/system/labd.service"),
];

/// Finds labd where the kit may have put it.
const FIND_LABD: &str = "for labd in /usr/local/bin/labd /opt/bin/labd; do [ -x $labd ] && break; done; \
                         [ -x $labd ] || { echo 'lab: this machine has no labd; `lab up` puts it there' >&2; exit 1; }";

const PROBE: &str = r#"
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/opt/bin
has() { command -v $1 >/dev/null 2>&1 && echo yes || echo no; }
echo kit=$(cat /var/lib/lab/vm-kit 2>/dev/null)
echo docker=$(has dockerd)
echo apt=$(has apt-get)
echo etcd=$(command -v etcd)
[ -w /usr ] && echo read_only=no || echo read_only=yes
echo lab_id=$(sed -n 's/^ *"lab_id": *"\([^"]*\)".*/\1/p' /etc/lab/node.json 2>/dev/null)
for labd in /usr/local/bin/labd /opt/bin/labd; do [ -x $labd ] && break; done
echo labd=$(sha256sum $labd 2>/dev/null | cut -c 1-12)
"#;

/// What a machine has of what a node needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The key of the kit that was installed last, and to its end.
    pub kit: Option<String>,
    pub has_docker: bool,
    pub has_apt: bool,
    /// Where etcd is.
    pub etcd: Option<String>,
    pub is_usr_read_only: bool,
    /// The lab that the machine is a node of.
    pub lab_id: Option<String>,
    /// The build of its labd.
    pub labd: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the machine did not say what it has: there is no `{key}` in {said:?}")]
pub struct BadProbe {
    key: &'static str,
    said: String,
}

/// Returns the command whose output [`Probe::parse`] reads.
pub fn probe() -> Cmd {
    as_root(PROBE)
}

impl Probe {
    pub fn parse(said: &str) -> Result<Self, BadProbe> {
        let find = |key: &'static str| {
            let mut lines = said.lines().filter_map(|line| line.split_once('='));
            let value = lines.find_map(|(name, value)| (name == key).then(|| value.trim().to_owned()));
            value.ok_or_else(|| BadProbe { key, said: said.chars().take(200).collect() })
        };
        let text = |key| find(key).map(|value| Some(value).filter(|value| !value.is_empty()));
        let is_so = |key| find(key).map(|value| value == "yes");
        Ok(Self {
            kit: text("kit")?,
            has_docker: is_so("docker")?,
            has_apt: is_so("apt")?,
            etcd: text("etcd")?,
            is_usr_read_only: is_so("read_only")?,
            lab_id: text("lab_id")?,
            labd: text("labd")?,
        })
    }
}

/// Returns every file of the kit that is the same for all labs, by name.
fn files() -> Vec<(&'static str, &'static [u8])> {
    let own = VM.files().filter_map(|file| Some((file.path().to_str()?, file.contents())));
    let shared = SHARED.iter().map(|(name, path)| (*name, recipe::file(path)));
    let mut files: Vec<_> = own.chain(shared).collect();
    files.push(("arch", std::env::consts::ARCH.as_bytes()));
    files.sort_unstable();
    files
}

/// Returns a short name for all that a kit consists of but labd, which may be replaced alone.
pub fn kit_key() -> String {
    let add = |hash: Sha256, (name, content): (&str, &[u8])| {
        let hash = hash.chain_update(name).chain_update([0]);
        hash.chain_update(content.len().to_le_bytes()).chain_update(content)
    };
    recipe::short(files().into_iter().fold(Sha256::new(), add))
}

/// Returns the kit file by file.
pub(super) fn kit_files(labd: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut kit: Vec<_> = files().into_iter().map(|(name, content)| (name, content.to_vec())).collect();
    kit.push(("key", kit_key().into_bytes()));
    kit.push(("labd", labd.to_vec()));
    kit
}

/// Returns the kit as an archive. `extra` are programs for a machine that has them not, such as `etcd`.
pub fn kit(labd: &[u8], extra: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in kit_files(labd) {
        recipe::append(&mut archive, name, &content, 0o644);
    }
    for (name, program) in extra {
        recipe::append(&mut archive, &format!("bin/{name}"), program, 0o755);
    }
    archive.into_inner().expect("writing to memory does not fail")
}

/// Returns the command that reads a kit from its standard input and installs it.
pub fn install() -> Cmd {
    // On a disk: /tmp and /run may be in memory, and labd is large.
    as_root(
        "set -eu; mkdir -p /var/lib/lab; folder=$(mktemp -d /var/lib/lab/kit.XXXXXX); \
         trap 'rm -rf $folder' EXIT; trap 'exit 1' HUP INT TERM; tar -xf - -C $folder; sh $folder/install",
    )
}

/// Returns the command that reads a seed, as JSON, from its standard input and makes the machine that node.
pub fn seed() -> Cmd {
    as_root(&format!("{FIND_LABD}; exec $labd seed"))
}

/// Returns the command that reads a program from its standard input and puts it in labd's place.
pub fn replace_labd() -> Cmd {
    // A program that was cut off on its way does not run, so it never gets there.
    as_root(&format!(
        "set -eu; {FIND_LABD}; new=${{labd%/*}}/.labd; cat >$new; chmod 755 $new; $new version >/dev/null; \
         mv -f $new $labd; systemctl restart labd"
    ))
}

fn as_root(script: &str) -> Cmd {
    Cmd::new("sudo").arg("sh").arg("-c").arg(script.trim())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const BARE: &str = "kit=\ndocker=no\napt=yes\netcd=\nread_only=no\nlab_id=\nlabd=\n";

    #[test]
    fn what_a_machine_says_is_read() {
        let bare = Probe {
            kit: None,
            has_docker: false,
            has_apt: true,
            etcd: None,
            is_usr_read_only: false,
            lab_id: None,
            labd: None,
        };
        assert_eq!(Probe::parse(BARE), Ok(bare.clone()));
        let node = "Welcome!\nkit=12ab\ndocker=yes\napt=no\netcd=/opt/bin/etcd\nread_only=yes\nlab_id=0011\nlabd=aabb\n";
        let node = Probe::parse(node).unwrap();
        assert_eq!(
            (node.kit.as_deref(), node.lab_id.as_deref(), node.labd.as_deref()),
            (Some("12ab"), Some("0011"), Some("aabb"))
        );
        assert_eq!(
            (node.etcd.as_deref(), node.is_usr_read_only, node.has_apt),
            (Some("/opt/bin/etcd"), true, false)
        );
        let cut = Probe::parse("kit=1\ndocker=yes\n").unwrap_err().to_string();
        assert!(cut.contains("there is no `apt`"), "{cut}");
    }

    #[test]
    fn this_very_host_can_be_asked() {
        let asked = Cmd::new("sh").arg("-c").arg(PROBE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let said = runtime.block_on(crate::exec::run(&asked, b"")).unwrap();
        Probe::parse(&said.text()).unwrap();
    }

    #[test]
    fn a_kit_holds_its_script_its_key_and_the_same_units_as_a_container() {
        let kit = kit(b"program", &[("etcd", b"binary".to_vec())]);
        let mut found = std::collections::BTreeMap::new();
        for entry in tar::Archive::new(kit.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            found.insert(name, content);
        }
        assert_eq!(found["key"], kit_key().into_bytes());
        assert_eq!(
            (found["labd"].as_slice(), found["bin/etcd"].as_slice()),
            (&b"program"[..], &b"binary"[..])
        );
        assert_eq!(found["labd.service"], recipe::file("rootfs/etc/systemd/system/labd.service"));
        assert!(found.contains_key("install") && found.contains_key("lab-network.service"));
    }

    #[test]
    fn scripts_are_one_argument_that_a_shell_can_read() {
        for cmd in [probe(), install(), seed(), replace_labd()] {
            assert_eq!(
                (cmd.program(), &cmd.arguments()[..2]),
                ("sudo", &["sh".to_owned(), "-c".to_owned()][..])
            );
            assert_eq!(shlex_words(&cmd), 4, "{cmd}");
        }
    }

    fn shlex_words(cmd: &Cmd) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let count = Cmd::new("sh").arg("-c").arg(format!("set -- {cmd}; sh -n -c \"$4\" && echo $#"));
        runtime.block_on(crate::exec::run(&count, b"")).unwrap().text().parse().unwrap()
    }
}
