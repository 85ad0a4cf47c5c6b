//! Judges what is known of a host. Each room of checks is a function from facts to findings; a check
//! whose facts are unknown is left out.

mod engine;
mod files;
mod fleet;
mod kernel;
mod network;
mod programs;
mod room;
#[cfg(test)]
mod sample;

use super::facts::HostFacts;
use super::finding::Finding;

pub use fleet::fleet;

/// Returns what there is to say of a host, in the order in which it is best read.
pub fn examine(facts: &HostFacts) -> Vec<Finding> {
    [engine::check, kernel::check, room::check, network::check, files::check, programs::check]
        .iter()
        .flat_map(|check| check(facts))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::doctor::{EngineState, FolderState, Inotify, Labd, Program, Verdict};

    #[test]
    fn a_healthy_host_needs_nothing() {
        let findings = examine(&sample::healthy());
        let told: Vec<String> =
            findings.iter().map(|f| format!("{:?} {}: {}", f.verdict, f.check, f.says)).collect();
        insta::assert_snapshot!(told.join("\n"));
        assert!(findings.iter().all(|finding| finding.verdict <= Verdict::Note && finding.fix.is_none()));
    }

    #[test]
    fn where_nothing_is_known_nothing_is_judged() {
        let mut facts = sample::healthy();
        (facts.kernel, facts.engine_disk, facts.project_disk) = (None, None, None);
        facts.is_linux = false;
        facts.engine = EngineState::Stopped { host: "unix:///var/run/docker.sock".to_owned() };
        let checks: Vec<&str> = examine(&facts).iter().map(|finding| finding.check).collect();
        assert_eq!(checks, ["docker", "project", "cache", "labd", "ssh", "vagrant", "virtualbox"]);
    }

    #[test]
    fn every_trouble_has_one_cure_that_a_shell_can_read() {
        let mut facts = sample::healthy();
        let kernel = facts.kernel.as_mut().unwrap();
        kernel.cpus = 1;
        kernel.memory.as_mut().unwrap().available = 0;
        kernel.inotify = Some(Inotify { max_instances: 8, max_watches: 8, instances_in_use: Some(8) });
        kernel.cgroups.as_mut().unwrap().controllers.clear();
        (kernel.capabilities, kernel.has_overlay, kernel.forwards_packets) =
            (Some(0), Some(false), Some(false));
        facts.engine_disk.as_mut().unwrap().free_bytes = 0;
        facts.engine_disk.as_mut().unwrap().free_inodes = Some(0);
        facts.project_disk.as_mut().unwrap().free_bytes = 0;
        facts.project_state = FolderState::Denied;
        facts.labd = Labd::NotLinux;
        facts.labs[0].is_there = false;
        facts.programs.ssh = Program::Absent;
        facts.wanted = Some("172.17.0.0/24".parse().unwrap());
        let findings = examine(&facts);
        let troubles: Vec<&Finding> =
            findings.iter().filter(|finding| finding.verdict > Verdict::Note).collect();
        assert!(troubles.len() >= 14, "{troubles:#?}");
        for finding in troubles {
            let cure = finding.cure.as_deref().unwrap_or_default();
            assert!(!cure.trim().is_empty() && !cure.contains('\n'), "{finding:#?}");
        }
    }

    #[test]
    fn findings_are_data() {
        let finding = Finding::warning("inotify", "few", "x")
            .fixed_by(crate::ops::doctor::Fix::RaiseInotify { instances: 1, watches: 2 });
        let json = serde_json::to_value(&finding).unwrap();
        assert_eq!(json["verdict"], "warning");
        assert_eq!(json["fix"]["raise_inotify"]["instances"], 1);
    }
}
