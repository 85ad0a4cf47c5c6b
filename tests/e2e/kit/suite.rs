//! Several checks on one lab: all are made, and each that fails is named.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::TestLab;

/// One thing to see on a lab, which it leaves as healthy as it found it.
pub type Check = (&'static str, fn(&TestLab));

#[track_caller]
pub fn suite(lab: &TestLab, checks: &[Check]) {
    let fails = |check: fn(&TestLab)| catch_unwind(AssertUnwindSafe(|| check(lab))).is_err();
    let failed: Vec<&str> = checks.iter().filter(|(_, check)| fails(*check)).map(|(name, _)| *name).collect();
    assert!(failed.is_empty(), "{} of {} checks failed: {}", failed.len(), checks.len(), failed.join(", "));
}
