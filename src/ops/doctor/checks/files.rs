//! Files: the project, the cache, labd, and labs whose project is gone.

use camino::Utf8Path;

use crate::exec::quote;
use crate::ops::doctor::facts::{Disk, FolderState, HostFacts, Labd};
use crate::ops::doctor::finding::{Finding, Fix, Verdict};

/// Keys, a plan and a few logs.
const PROJECT_DISK: u64 = 50 << 20;
const PROJECT_INODES: u64 = 500;

pub(super) fn check(facts: &HostFacts) -> Vec<Finding> {
    let project = project_trouble(facts)
        .or_else(|| keys_trouble(facts))
        .unwrap_or_else(|| Finding::fine("project", format!("`{}` can be written to", facts.project)));
    let mut findings = vec![project];
    findings.extend(facts.project_disk.as_ref().map(project_disk));
    findings.extend([cache(facts), labd(facts)]);
    findings.extend(facts.labs.iter().filter(|lab| !lab.is_there).map(|lab| {
        let says = format!("the lab `{}` exists, and its folder `{}` does not", lab.lab, lab.project);
        Finding::warning("leftover", says, format!("lab down --lab {}", lab.lab))
    }));
    findings
}

fn trouble(facts: &HostFacts, check: &'static str, path: &Utf8Path, state: FolderState) -> Option<Finding> {
    let word = quote(path.as_str());
    let (says, cure) = match state {
        FolderState::Writable => return None,
        FolderState::Absent => ("does not exist", format!("mkdir -p {word}")),
        FolderState::Denied => {
            ("belongs to another user", facts.as_root(&format!("chown -R \"$USER\" {word}")))
        }
        FolderState::ReadOnly => {
            ("is read-only", format!("df {word}  # the disk to mount writable, or to leave"))
        }
        FolderState::Silent => {
            ("does not answer", format!("df {word}  # the disk to mend; it hangs as well"))
        }
    };
    Some(Finding::problem(check, format!("`{path}` {says}"), cure))
}

/// A project that is not one's own may be anything, `/` too: it is left, never taken.
fn project_trouble(facts: &HostFacts) -> Option<Finding> {
    let finding = trouble(facts, "project", &facts.project, facts.project_state)?;
    Some(match facts.project_state {
        FolderState::Denied => {
            finding.cured_by("mkdir -p ~/lab && cd ~/lab  # or another folder of your own")
        }
        _ => finding,
    })
}

/// A lab's folder that is not there yet is no trouble.
fn keys_trouble(facts: &HostFacts) -> Option<Finding> {
    if facts.keys_state == FolderState::Absent {
        return None;
    }
    trouble(facts, "project", &facts.keys, facts.keys_state)
}

fn project_disk(disk: &Disk) -> Finding {
    let Disk { path, free_bytes, free_inodes } = disk;
    let mib = free_bytes >> 20;
    if *free_bytes >= PROJECT_DISK && free_inodes.is_none_or(|free| free >= PROJECT_INODES) {
        return Finding::fine("project_disk", format!("{mib} MiB free at `{path}`"));
    }
    let inodes = free_inodes.map(|free| format!(" and {free} inodes")).unwrap_or_default();
    let cure = format!("du -xh -d 2 {} | sort -h | tail  # what takes the most", quote(path.as_str()));
    Finding::warning("project_disk", format!("only {mib} MiB{inodes} free at `{path}`"), cure)
}

fn cache(facts: &HostFacts) -> Finding {
    match trouble(facts, "cache", &facts.cache, facts.cache_state) {
        None => Finding::fine("cache", format!("`{}` can be written to", facts.cache)),
        Some(finding) if facts.cache_state == FolderState::Absent => {
            let fix = Fix::CreateFolder { path: facts.cache.clone() };
            let says = format!("`{}` is made when it is needed", facts.cache);
            Finding { verdict: Verdict::Note, says, ..finding }.fixed_by(fix)
        }
        Some(finding) => finding,
    }
}

fn labd(facts: &HostFacts) -> Finding {
    const BUILD: &str = "scripts/build  # in the repository of lab";
    let path = &facts.labd_path;
    let wanted = facts.engine_facts().map(|engine| engine.architecture.as_str());
    match facts.labd {
        Labd::Unreadable => {
            Finding::problem("labd", format!("`{path}`, with which nodes boot, is not there"), BUILD)
        }
        Labd::NotLinux => Finding::problem("labd", format!("`{path}` is no program of Linux"), BUILD),
        Labd::For(machine) => match wanted.filter(|wanted| !wanted.is_empty() && *wanted != machine) {
            Some(wanted) => {
                let says = format!("`{path}` is for {machine}, and the engine is for {wanted}");
                Finding::problem("labd", says, BUILD)
            }
            None => Finding::fine("labd", format!("`{path}`, for {machine}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::healthy;
    use super::*;
    use crate::ops::doctor::facts::EngineState;

    #[track_caller]
    fn check_one(of: &str, spoil: impl FnOnce(&mut HostFacts), want: Option<Verdict>) -> Finding {
        let mut facts = healthy();
        spoil(&mut facts);
        let found = check(&facts).into_iter().find(|finding| finding.check == of);
        assert_eq!(found.as_ref().map(|finding| finding.verdict), want, "{found:?}");
        found.unwrap_or_else(|| Finding::fine("none", ""))
    }

    #[test]
    fn a_folder_that_cannot_be_written_has_the_cure_of_its_cause() {
        use FolderState as S;
        check_one("project", |_| {}, Some(Verdict::Fine));
        check_one("project", |facts| facts.keys_state = S::Absent, Some(Verdict::Fine));
        let keys = check_one("project", |facts| facts.keys_state = S::Denied, Some(Verdict::Problem));
        assert_eq!(keys.cure.as_deref(), Some("sudo chown -R \"$USER\" /home/me/web/.lab"));
        for (state, cure) in
            [(S::Absent, "mkdir"), (S::Denied, "mkdir -p ~/lab"), (S::ReadOnly, "df"), (S::Silent, "df")]
        {
            let found = check_one("project", |facts| facts.project_state = state, Some(Verdict::Problem));
            assert!(found.cure.unwrap().starts_with(cure));
        }
        let spaced = |facts: &mut HostFacts| {
            (facts.cache, facts.cache_state) = ("/a b".into(), S::Denied);
        };
        let found = check_one("cache", spaced, Some(Verdict::Problem));
        assert_eq!(found.cure.as_deref(), Some("sudo chown -R \"$USER\" '/a b'"));
    }

    #[test]
    fn a_cache_that_is_missing_can_be_made() {
        check_one("cache", |_| {}, Some(Verdict::Fine));
        check_one("cache", |facts| facts.cache_state = FolderState::Denied, Some(Verdict::Problem));
        let found = check_one("cache", |facts| facts.cache_state = FolderState::Absent, Some(Verdict::Note));
        assert_eq!(found.fix, Some(Fix::CreateFolder { path: "/home/me/.cache/lab".into() }));
    }

    #[test]
    fn the_disk_of_the_project_needs_little() {
        let disk = |free_bytes, free_inodes| {
            move |facts: &mut HostFacts| {
                facts.project_disk = Some(Disk { path: "/p".into(), free_bytes, free_inodes });
            }
        };
        check_one("project_disk", |facts| facts.project_disk = None, None);
        check_one("project_disk", disk(PROJECT_DISK, None), Some(Verdict::Fine));
        check_one("project_disk", disk(PROJECT_DISK - 1, None), Some(Verdict::Warning));
        check_one("project_disk", disk(PROJECT_DISK, Some(3)), Some(Verdict::Warning));
    }

    #[test]
    fn labd_is_a_program_for_the_engine() {
        check_one("labd", |_| {}, Some(Verdict::Fine));
        check_one("labd", |facts| facts.labd = Labd::Unreadable, Some(Verdict::Problem));
        check_one("labd", |facts| facts.labd = Labd::NotLinux, Some(Verdict::Problem));
        let other = |facts: &mut HostFacts| facts.labd = Labd::For("aarch64");
        assert!(check_one("labd", other, Some(Verdict::Problem)).says.ends_with("the engine is for x86_64"));
        let unknown = |facts: &mut HostFacts| {
            facts.labd = Labd::For("aarch64");
            facts.engine = EngineState::Stopped { host: String::new() };
        };
        check_one("labd", unknown, Some(Verdict::Fine));
    }

    #[test]
    fn a_lab_without_its_folder_is_left_over() {
        check_one("leftover", |_| {}, None);
        let found = check_one("leftover", |facts| facts.labs[0].is_there = false, Some(Verdict::Warning));
        assert_eq!(found.cure.as_deref(), Some("lab down --lab web"));
    }
}
