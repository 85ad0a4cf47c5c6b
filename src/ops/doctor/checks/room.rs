//! How many more nodes fit, by memory, by the kernel's limits and by the engine's disk.

use crate::ops::doctor::facts::{Disk, HostFacts, Inotify, Memory};
use crate::ops::doctor::finding::{Finding, Fix};

const MIB: u64 = 1 << 20;
/// A node with etcd and an engine of its own holds 105-115 MiB; the rest is for what it runs.
const NODE_MEMORY: u64 = 150 * MIB;
/// What the host itself is to be left with.
const HOST_MEMORY: u64 = 512 * MIB;
/// What a host takes that tells only how much it has in all.
const HOST_MEMORY_UNSEEN: u64 = 1024 * MIB;
const NODE_INSTANCES: u64 = 4;
/// What the daemons of an ordinary host have open, where only root could count them.
const HOST_INSTANCES: u64 = 20;
/// What `--fix` raises the limits to: enough for the largest lab.
const ENOUGH_INSTANCES: u64 = 1024;
const ENOUGH_WATCHES: u64 = 524_288;
/// What old kernels give, and what three systemds and a desktop already feel.
const FEW_WATCHES: u64 = 8192;
const IMAGE_DISK: u64 = 500 * MIB;
/// etcd reserves 64 MiB twice.
const NODE_DISK: u64 = 150 * MIB;
/// What the image and its base have in files.
const IMAGE_INODES: u64 = 30_000;
/// As many nodes as `lab up` makes.
const DEFAULT_LAB: u64 = 3;
/// Not `docker system prune`, which would remove the nodes of labs that are halted.
const PRUNE: &str = "docker image prune && docker builder prune";

pub(super) fn check(facts: &HostFacts) -> Vec<Finding> {
    let kernel = facts.kernel.as_ref();
    let inotify = kernel.and_then(|kernel| kernel.inotify);
    let disk = facts.engine_disk.as_ref();
    let findings = [
        capacity(facts),
        cpus(facts),
        by_memory(facts).map(|fits| judge_memory(facts, fits)),
        kernel.and_then(|kernel| kernel.memory).map(swap),
        inotify.map(|limits| judge_inotify(facts, limits)),
        disk.map(judge_disk),
        disk.and_then(judge_inodes),
    ];
    findings.into_iter().flatten().collect()
}

fn capacity(facts: &HostFacts) -> Option<Finding> {
    let most = u64::from(crate::model::MAX_NODES);
    let inotify = facts.kernel.as_ref().and_then(|kernel| kernel.inotify).map(by_inotify);
    let limits = [
        ("memory", by_memory(facts)?),
        ("the limit on inotify instances", inotify.unwrap_or(most)),
        ("disk", facts.engine_disk.as_ref().map_or(most, by_disk)),
    ];
    let (what, fits) = limits.into_iter().min_by_key(|(_, fits)| *fits)?;
    let says = if fits >= most {
        format!("room for {most} more nodes, as many as a lab can have")
    } else {
        format!("room for about {fits} more nodes; {what} ends first")
    };
    Some(Finding::note("capacity", says))
}

/// Judges by the number of nodes that fit: none at all, fewer than `lab up` makes, enough.
fn by_room(check: &'static str, fits: u64, says: String, cure: String) -> Finding {
    match fits {
        0 => Finding::problem(check, says, cure),
        1..DEFAULT_LAB => Finding::warning(check, says, cure),
        _ => Finding::fine(check, says),
    }
}

fn cpus(facts: &HostFacts) -> Option<Finding> {
    let cpus = match (&facts.kernel, facts.engine_facts()) {
        (Some(kernel), _) => kernel.cpus,
        (None, Some(engine)) => engine.cpus,
        (None, None) => return None,
    };
    Some(match cpus {
        0 => return None,
        1 => Finding::warning(
            "cpus",
            "one CPU for all nodes: etcd may lose its leader while they boot",
            "lab up --nodes 1",
        ),
        _ => Finding::fine("cpus", format!("{cpus} CPUs")),
    })
}

fn by_memory(facts: &HostFacts) -> Option<u64> {
    let free = match (&facts.kernel, facts.engine_facts()) {
        (Some(kernel), _) => kernel.memory?.available.saturating_sub(HOST_MEMORY),
        (None, Some(engine)) => engine.memory_bytes.saturating_sub(HOST_MEMORY_UNSEEN),
        (None, None) => return None,
    };
    Some(free / NODE_MEMORY)
}

fn judge_memory(facts: &HostFacts, fits: u64) -> Finding {
    let local = facts.kernel.as_ref().and_then(|kernel| kernel.memory);
    let all = facts.engine_facts().map_or(0, |engine| engine.memory_bytes);
    let says = match local {
        Some(memory) => format!("{} of {} available", size(memory.available), size(memory.total)),
        None => format!("the engine has {} in all", size(all)),
    };
    let cure = match fits {
        0 if !facts.is_linux => "open -a Docker  # and give it more under Settings, Resources".to_owned(),
        0 => "ps -eo rss,pid,args --sort=-rss | head  # what takes the most, and can be ended".to_owned(),
        fits => format!("lab up --nodes {fits}"),
    };
    by_room("memory", fits, says, cure)
}

fn swap(memory: Memory) -> Finding {
    let used = memory.swap_total.saturating_sub(memory.swap_free);
    if memory.swap_total == 0 {
        return Finding::fine("swap", "there is none");
    }
    let says = format!("{} of {} in use", size(used), size(memory.swap_total));
    if used > memory.swap_total / 2 {
        return Finding::note("swap", format!("{says}; a node that is swapped out answers late"));
    }
    Finding::fine("swap", says)
}

fn by_inotify(limits: Inotify) -> u64 {
    let used = limits.instances_in_use.unwrap_or(HOST_INSTANCES);
    limits.max_instances.saturating_sub(used) / NODE_INSTANCES
}

fn judge_inotify(facts: &HostFacts, limits: Inotify) -> Finding {
    let used = limits.instances_in_use.map(|used| format!(" ({used} in use)")).unwrap_or_default();
    let says = format!("limits: {} instances{used}, {} watches", limits.max_instances, limits.max_watches);
    // Neither the cure nor the fix ever lowers a limit.
    let instances = limits.max_instances.max(ENOUGH_INSTANCES);
    let watches = limits.max_watches.max(ENOUGH_WATCHES);
    let cure = facts.as_root(&format!(
        "sysctl -w fs.inotify.max_user_instances={instances} fs.inotify.max_user_watches={watches}"
    ));
    let fits = by_inotify(limits);
    let finding = if fits >= DEFAULT_LAB && limits.max_watches < FEW_WATCHES {
        Finding::warning("inotify", says, cure)
    } else {
        by_room("inotify", fits, says, cure)
    };
    if finding.cure.is_some() { finding.fixed_by(Fix::RaiseInotify { instances, watches }) } else { finding }
}

fn by_disk(disk: &Disk) -> u64 {
    // While an image is made, its base is there beside it.
    disk.free_bytes.saturating_sub(2 * IMAGE_DISK) / NODE_DISK
}

fn judge_disk(disk: &Disk) -> Finding {
    let says = format!("{} free at `{}`", size(disk.free_bytes), disk.path);
    by_room("disk", by_disk(disk), says, PRUNE.to_owned())
}

fn judge_inodes(disk: &Disk) -> Option<Finding> {
    let free = disk.free_inodes?;
    let says = format!("{free} inodes free at `{}`", disk.path);
    Some(if free < IMAGE_INODES {
        Finding::problem("inodes", says, PRUNE)
    } else if free < 4 * IMAGE_INODES {
        Finding::warning("inodes", says, PRUNE)
    } else {
        Finding::fine("inodes", says)
    })
}

fn size(bytes: u64) -> String {
    const GIB: u64 = 1024 * MIB;
    if bytes < GIB {
        format!("{} MiB", bytes / MIB)
    } else {
        format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{GIB, healthy};
    use super::*;
    use crate::ops::doctor::facts::EngineState;
    use crate::ops::doctor::finding::Verdict;

    #[track_caller]
    fn check_one(of: &str, spoil: impl FnOnce(&mut HostFacts), want: Option<Verdict>) -> Finding {
        let mut facts = healthy();
        spoil(&mut facts);
        let found = check(&facts).into_iter().find(|finding| finding.check == of);
        assert_eq!(found.as_ref().map(|finding| finding.verdict), want, "{found:?}");
        found.unwrap_or_else(|| Finding::fine("none", ""))
    }

    fn available(mib: u64) -> impl FnOnce(&mut HostFacts) {
        move |facts| {
            let total = 16 * GIB;
            let memory = Memory { total, available: mib * MIB, swap_total: 0, swap_free: 0 };
            facts.kernel.as_mut().unwrap().memory = Some(memory);
        }
    }

    fn inotify(
        max_instances: u64,
        max_watches: u64,
        instances_in_use: Option<u64>,
    ) -> impl FnOnce(&mut HostFacts) {
        move |facts| {
            let limits = Inotify { max_instances, max_watches, instances_in_use };
            facts.kernel.as_mut().unwrap().inotify = Some(limits);
        }
    }

    fn disk(free_bytes: u64, free_inodes: Option<u64>) -> impl FnOnce(&mut HostFacts) {
        move |facts| facts.engine_disk = Some(Disk { path: "/d".into(), free_bytes, free_inodes })
    }

    #[test]
    fn memory_is_judged_by_the_nodes_that_fit() {
        check_one("memory", available(962), Some(Verdict::Fine));
        let two = check_one("memory", available(961), Some(Verdict::Warning));
        assert_eq!(two.cure.as_deref(), Some("lab up --nodes 2"));
        check_one("memory", available(600), Some(Verdict::Problem));
        let far = |gib: u64| {
            move |facts: &mut HostFacts| {
                facts.kernel = None;
                if let EngineState::Up { facts, .. } = &mut facts.engine {
                    facts.memory_bytes = gib * GIB;
                }
            }
        };
        check_one("memory", far(2), Some(Verdict::Fine));
        check_one("memory", far(1), Some(Verdict::Problem));
    }

    #[test]
    fn inotify_is_judged_by_the_instances_left_and_only_ever_raised() {
        check_one("inotify", inotify(128, 8192, None), Some(Verdict::Fine));
        check_one("inotify", inotify(128, 8191, None), Some(Verdict::Warning));
        check_one("inotify", inotify(128, 65_536, Some(120)), Some(Verdict::Warning));
        check_one("inotify", inotify(16, 65_536, None), Some(Verdict::Problem));
        let found = check_one("inotify", inotify(2048, 100, Some(0)), Some(Verdict::Warning));
        assert_eq!(found.fix, Some(Fix::RaiseInotify { instances: 2048, watches: 524_288 }));
        assert!(found.cure.unwrap().starts_with("sudo sysctl -w fs.inotify.max_user_instances=2048 "));
    }

    #[test]
    fn disk_and_inodes_are_judged_by_what_images_and_nodes_take() {
        check_one("disk", disk(1450 * MIB, None), Some(Verdict::Fine));
        check_one("disk", disk(1449 * MIB, None), Some(Verdict::Warning));
        check_one("disk", disk(1000 * MIB, None), Some(Verdict::Problem));
        check_one("inodes", disk(GIB, None), None);
        check_one("inodes", disk(GIB, Some(1_000_000)), Some(Verdict::Fine));
        check_one("inodes", disk(GIB, Some(100_000)), Some(Verdict::Warning));
        check_one("inodes", disk(GIB, Some(10_000)), Some(Verdict::Problem));
    }

    #[test]
    fn one_cpu_and_a_full_swap_are_told() {
        let cpus = |cpus| move |facts: &mut HostFacts| facts.kernel.as_mut().unwrap().cpus = cpus;
        check_one("cpus", cpus(2), Some(Verdict::Fine));
        check_one("cpus", cpus(1), Some(Verdict::Warning));
        check_one("cpus", cpus(0), None);
        check_one("swap", available(4096), Some(Verdict::Fine));
        let full = |facts: &mut HostFacts| {
            facts.kernel.as_mut().unwrap().memory.as_mut().unwrap().swap_free = 0;
        };
        check_one("swap", full, Some(Verdict::Note));
    }

    #[test]
    fn the_tightest_limit_tells_how_many_nodes_fit() {
        let says = |spoil: &dyn Fn(&mut HostFacts)| check_one("capacity", spoil, Some(Verdict::Note)).says;
        assert_eq!(says(&|_| {}), "room for about 29 more nodes; the limit on inotify instances ends first");
        let little = |facts: &mut HostFacts| available(2048)(facts);
        assert_eq!(says(&little), "room for about 10 more nodes; memory ends first");
        let much = |facts: &mut HostFacts| {
            available(64 * 1024)(facts);
            inotify(8192, 524_288, Some(0))(facts);
        };
        assert_eq!(says(&much), "room for 200 more nodes, as many as a lab can have");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(
            (size(0), size(GIB - 1), size(3 * GIB / 2)),
            ("0 MiB".into(), "1023 MiB".into(), "1.5 GiB".into())
        );
    }
}
