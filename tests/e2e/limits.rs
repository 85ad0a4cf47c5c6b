//! What a node may use of its host.

use crate::kit::TestLab;

/// Prints the limits of the whole node: memory in bytes, and microseconds of CPU in each tenth of a second.
const LIMITS: &str = "cd /sys/fs/cgroup; cat memory.max memory/memory.limit_in_bytes 2>/dev/null; \
                      cut -d ' ' -f 1 cpu.max cpu/cpu.cfs_quota_us cpu,cpuacct/cpu.cfs_quota_us 2>/dev/null | head -n 1";

#[test]
fn limits_are_those_of_the_last_up() {
    let lab = TestLab::new("limits");
    lab.ok(["up", "--nodes", "1", "--memory", "512MiB", "--cpus", "0.5"]);
    let status = lab.healthy(1);
    assert_eq!(lab.sh("core-01", LIMITS), format!("{}\n50000", 512 << 20));
    let memory = status.nodes[0].health().memory.expect("a node knows its memory");
    assert_eq!(memory.total_bytes, 512 << 20);
    lab.run(["up", "--memory", "512MiB", "--cpus", "0.5"]).ends_with(0).says("nothing to do");

    lab.ok(["up", "--memory", "768MiB", "--cpus", "1.5"]);
    assert_eq!(lab.sh("core-01", LIMITS), format!("{}\n150000", 768 << 20));
    lab.healthy(1);

    lab.ok(["up"]);
    let lifted = lab.sh("core-01", LIMITS);
    let (memory, cpus) = lifted.split_once('\n').expect("two limits are printed");
    assert!(memory == "max" || memory.parse::<u64>().is_ok_and(|bytes| bytes > 1 << 40), "{lifted}");
    assert!(cpus == "max" || cpus == "-1", "{lifted}");
    lab.run(["up"]).ends_with(0).says("nothing to do");
}
