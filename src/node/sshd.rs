//! How sshd of a machine that was made from a box comes to let in the lab's key, and nobody else.

use camino::Utf8Path;

use crate::fs::{self, Access};

const CONFIG: &str = "/etc/ssh/sshd_config";
/// What is said first holds, so it must come before what a box brings.
const DROP_IN: &str = "/etc/ssh/sshd_config.d/00-lab.conf";
const OURS: &str = include_str!("../../images/vm/sshd.conf");
const BEGIN: &str = "# lab begin";
const END: &str = "# lab end";

/// Writes what takes effect when sshd is told to read it.
pub(super) fn write() -> Result<(), fs::Error> {
    let current = fs::read_if_present(Utf8Path::new(CONFIG))?.unwrap_or_default();
    let (path, content) =
        if includes_drop_ins(&current) { (DROP_IN, OURS.to_owned()) } else { (CONFIG, with_ours(&current)) };
    let path = Utf8Path::new(path);
    if fs::read_if_present(path)?.as_deref() != Some(&content) {
        fs::write(path, content, Access::Public)?;
    }
    Ok(())
}

fn includes_drop_ins(config: &str) -> bool {
    config.lines().map(str::trim_start).any(|line| {
        line.to_lowercase().starts_with("include") && line.contains("/etc/ssh/sshd_config.d/*.conf")
    })
}

/// Returns a configuration that begins with ours; it is there once, however often this is done.
fn with_ours(config: &str) -> String {
    let rest = match config.split_once(END) {
        Some((before, rest)) if before.starts_with(BEGIN) => rest.trim_start_matches('\n'),
        _ => config,
    };
    format!("{BEGIN}\n{OURS}{END}\n{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_ins_are_used_where_sshd_reads_them() {
        for (config, want) in [
            ("Include /etc/ssh/sshd_config.d/*.conf\n", true),
            ("# x\n include  /etc/ssh/sshd_config.d/*.conf", true),
            ("#Include /etc/ssh/sshd_config.d/*.conf", false),
            ("Include /etc/ssh/other/*.conf", false),
            ("", false),
        ] {
            assert_eq!(includes_drop_ins(config), want, "{config}");
        }
    }

    #[test]
    fn ours_comes_first_and_once() {
        let theirs = "PasswordAuthentication yes\nMatch User x\n  X11Forwarding no\n";
        let once = with_ours(theirs);
        assert!(once.starts_with("# lab begin\n# The only way in"), "{once}");
        assert!(once.ends_with(&format!("# lab end\n{theirs}")), "{once}");
        assert_eq!(with_ours(&once), once);
    }
}
