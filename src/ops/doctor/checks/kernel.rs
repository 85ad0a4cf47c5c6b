//! The kernel that nodes share: rights, control groups, file systems, packets.

use crate::model::missing_capabilities;
use crate::ops::doctor::facts::{Cgroups, Generation, HostFacts, KernelFacts};
use crate::ops::doctor::finding::{Finding, Fix};

// Without these the limits of nodes and of their units have no effect.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

pub(super) fn check(facts: &HostFacts) -> Vec<Finding> {
    let Some(kernel) = &facts.kernel else { return Vec::new() };
    let checks = [capabilities(kernel), cgroups(facts, kernel), overlay(facts, kernel)];
    let packets = [ip_forward(facts, kernel), Some(bridge_filter(facts, kernel))];
    checks.into_iter().chain(packets).flatten().collect()
}

fn capabilities(kernel: &KernelFacts) -> Option<Finding> {
    let set = kernel.capabilities?;
    let missing = missing_capabilities(set);
    if missing.is_empty() {
        return Some(Finding::fine("capabilities", "SYS_ADMIN and NET_ADMIN may be given to nodes"));
    }
    let flags: String = missing.iter().map(|name| format!("--cap-add {name} ")).collect();
    Some(Finding::problem(
        "capabilities",
        format!("this host keeps back {}, which nodes need", missing.join(" and ")),
        format!("docker run {flags}IMAGE  # this host is itself a container: start it with these rights"),
    ))
}

fn cgroups(facts: &HostFacts, kernel: &KernelFacts) -> Option<Finding> {
    let Cgroups { generation, controllers } = kernel.cgroups.as_ref()?;
    if *generation == Generation::Absent {
        let cure = facts.as_root("mount -t cgroup2 cgroup2 /sys/fs/cgroup");
        return Some(Finding::problem("cgroups", "no control groups are mounted", cure));
    }
    let missing: Vec<&str> =
        CONTROLLERS.into_iter().filter(|&wanted| !controllers.iter().any(|name| name == wanted)).collect();
    if !missing.is_empty() {
        let says = format!("control groups lack {}, so limits on it have no effect", missing.join(", "));
        let edit = "sh -c '${EDITOR:-vi} /etc/default/grub && update-grub'";
        let why = "# add cgroup_enable=memory to GRUB_CMDLINE_LINUX, then reboot";
        return Some(Finding::warning("cgroups", says, format!("{}  {why}", facts.as_root(edit))));
    }
    let old = "works; a base image with systemd 256 or later needs version 2";
    Some(match generation {
        Generation::Hybrid => Finding::note("cgroups", format!("version 1, with version 2 beside it, {old}")),
        Generation::V1 => Finding::note("cgroups", format!("version 1 {old}")),
        Generation::V2 | Generation::Absent => {
            Finding::fine("cgroups", "version 2, with all that limits need")
        }
    })
}

fn overlay(facts: &HostFacts, kernel: &KernelFacts) -> Option<Finding> {
    if kernel.has_overlay? {
        return Some(Finding::fine("overlay", "the kernel has the overlay file system"));
    }
    let says = "the overlay file system is not loaded, so the engines on nodes would copy every layer";
    Some(Finding::warning("overlay", says, facts.as_root("modprobe overlay")))
}

fn ip_forward(facts: &HostFacts, kernel: &KernelFacts) -> Option<Finding> {
    if kernel.forwards_packets? {
        return Some(Finding::fine("ip_forward", "the kernel forwards packets"));
    }
    let says = "the kernel does not forward packets, so nodes reach nothing outside the lab";
    let cure = facts.as_root("sysctl -w net.ipv4.ip_forward=1");
    Some(Finding::warning("ip_forward", says, cure).fixed_by(Fix::ForwardPackets))
}

/// It matters only to whoever cuts nodes off from outside of them.
fn bridge_filter(facts: &HostFacts, kernel: &KernelFacts) -> Finding {
    if kernel.filters_bridges == Some(true) {
        return Finding::fine("bridge_filter", "iptables sees the packets between nodes");
    }
    let cure = "sh -c 'modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=1'";
    let says = "iptables on this host does not see the packets between nodes; on the nodes it does";
    Finding::note("bridge_filter", says).cured_by(facts.as_root(cure))
}

#[cfg(test)]
mod tests {
    use super::super::sample::healthy;
    use super::*;
    use crate::ops::doctor::finding::Verdict;

    #[track_caller]
    fn check_one(of: &str, spoil: impl FnOnce(&mut KernelFacts), want: Option<Verdict>) -> Option<Finding> {
        let mut facts = healthy();
        spoil(facts.kernel.as_mut().unwrap());
        let found = check(&facts).into_iter().find(|finding| finding.check == of);
        assert_eq!(found.as_ref().map(|finding| finding.verdict), want, "{found:?}");
        found
    }

    #[test]
    fn rights_that_are_kept_back_are_named() {
        check_one("capabilities", |_| {}, Some(Verdict::Fine));
        check_one("capabilities", |kernel| kernel.capabilities = None, None);
        let none = |kernel: &mut KernelFacts| kernel.capabilities = Some(0xa804_25fb);
        let found = check_one("capabilities", none, Some(Verdict::Problem)).unwrap();
        assert!(found.says.contains("SYS_ADMIN and NET_ADMIN"));
        let no_net = |kernel: &mut KernelFacts| kernel.capabilities = Some(0xa824_25fb);
        let found = check_one("capabilities", no_net, Some(Verdict::Problem)).unwrap();
        assert!(found.cure.unwrap().starts_with("docker run --cap-add NET_ADMIN IMAGE"));
    }

    #[test]
    fn control_groups_are_judged_by_generation_and_controllers() {
        let of = |generation, controllers: &'static [&'static str]| {
            move |kernel: &mut KernelFacts| {
                let controllers = controllers.iter().map(|&name| name.to_owned()).collect();
                kernel.cgroups = Some(Cgroups { generation, controllers });
            }
        };
        let all = &["cpu", "memory", "pids"];
        check_one("cgroups", of(Generation::V2, all), Some(Verdict::Fine));
        check_one("cgroups", of(Generation::V1, all), Some(Verdict::Note));
        check_one("cgroups", of(Generation::Hybrid, all), Some(Verdict::Note));
        check_one("cgroups", of(Generation::Absent, &[]), Some(Verdict::Problem));
        check_one("cgroups", |kernel| kernel.cgroups = None, None);
        let found =
            check_one("cgroups", of(Generation::V2, &["cpu", "pids"]), Some(Verdict::Warning)).unwrap();
        assert!(found.says.contains("lack memory"));
    }

    #[test]
    fn file_system_and_packets_are_judged() {
        check_one("overlay", |_| {}, Some(Verdict::Fine));
        check_one("overlay", |kernel| kernel.has_overlay = Some(false), Some(Verdict::Warning));
        check_one("overlay", |kernel| kernel.has_overlay = None, None);
        check_one("ip_forward", |_| {}, Some(Verdict::Fine));
        let found =
            check_one("ip_forward", |kernel| kernel.forwards_packets = Some(false), Some(Verdict::Warning));
        assert_eq!(found.unwrap().fix, Some(Fix::ForwardPackets));
        check_one("bridge_filter", |_| {}, Some(Verdict::Fine));
        check_one("bridge_filter", |kernel| kernel.filters_bridges = None, Some(Verdict::Note));
        check_one("bridge_filter", |kernel| kernel.filters_bridges = Some(false), Some(Verdict::Note));
    }
}
