//! What the engine counts, under the names that fleet gave it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counts since the start of the program.
#[derive(Debug, Default)]
pub struct Metrics {
    leads_since: AtomicU64,
    tasks: Kinds,
    failed_tasks: Kinds,
    passes: AtomicU64,
    failed_passes: Kinds,
}

/// One count for each kind of a thing.
#[derive(Debug, Default)]
struct Kinds(Mutex<BTreeMap<&'static str, u64>>);

impl Kinds {
    fn count(&self, kind: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    fn samples(&self) -> Vec<(String, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(kind, count)| (format!("{{type=\"{kind}\"}}"), *count)).collect()
    }
}

impl Metrics {
    /// Notes since when this engine leads; 0 if it does not.
    pub fn leads_since(&self, unix_seconds: u64) {
        self.leads_since.store(unix_seconds, Ordering::Relaxed);
    }

    pub fn task(&self, kind: &'static str) {
        self.tasks.count(kind);
    }

    pub fn task_failed(&self, kind: &'static str) {
        self.failed_tasks.count(kind);
    }

    pub fn reconciled(&self) {
        self.passes.fetch_add(1, Ordering::Relaxed);
    }

    pub fn reconcile_failed(&self, kind: &'static str) {
        self.failed_passes.count(kind);
    }

    /// Returns all of it in the text format of Prometheus.
    pub fn render(&self) -> String {
        let plain = |value: &AtomicU64| vec![(String::new(), value.load(Ordering::Relaxed))];
        let mut text = String::new();
        for (name, kind, help, samples) in [
            (
                "leader_start_time",
                "gauge",
                "When this engine became the leader, in seconds since 1970.",
                plain(&self.leads_since),
            ),
            ("task_count_total", "counter", "Tasks that were done.", self.tasks.samples()),
            ("task_failure_count_total", "counter", "Tasks that failed.", self.failed_tasks.samples()),
            ("reconcile_count_total", "counter", "Passes over the cluster.", plain(&self.passes)),
            ("reconcile_failure_count_total", "counter", "Passes that failed.", self.failed_passes.samples()),
        ] {
            let name = format!("fleet_engine_{name}");
            // Writing to a text cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (label, value) in samples {
                let _ = writeln!(text, "{name}{label} {value}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told_as_prometheus_reads_it() {
        let metrics = Metrics::default();
        metrics.leads_since(1_700_000_000);
        metrics.task("ScheduleUnit");
        metrics.task("ScheduleUnit");
        metrics.task("UnscheduleUnit");
        metrics.reconciled();
        metrics.reconcile_failed("registry");
        let text = metrics.render();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "fleet_engine_leader_start_time 1700000000",
                "fleet_engine_task_count_total{type=\"ScheduleUnit\"} 2",
                "fleet_engine_task_count_total{type=\"UnscheduleUnit\"} 1",
                "fleet_engine_reconcile_count_total 1",
                "fleet_engine_reconcile_failure_count_total{type=\"registry\"} 1",
            ]
        );
        assert!(text.contains("# TYPE fleet_engine_task_failure_count_total counter\n"));
    }
}
