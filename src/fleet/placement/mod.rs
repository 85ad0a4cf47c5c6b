//! Where units go: plain functions from what is known to what is to be done, with reasons.

mod able;
mod floor;
mod plan;
mod rebalance;
mod snapshot;

pub use able::Verdict;
pub use floor::Floor;
pub use plan::{Assignment, Reason, explain, plan, settle};
pub use rebalance::{Move, rebalance};
pub use snapshot::{Machine, Snapshot, Standing, Unit};
