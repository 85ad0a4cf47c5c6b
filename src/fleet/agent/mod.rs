//! The agent: makes systemd on its machine do what the registry says, and tells the registry how units are.

mod fence;
mod held;
mod memory;
mod operation;
mod orders;
mod plan;
mod report;
mod run;
mod systemd;
mod units;

pub use held::{Claim, Held, Holding};
pub use memory::{MemoryUnits, Script};
pub use orders::{Order, Orders};
pub use plan::{Scene, Step, plan};
pub use run::Agent;
pub use systemd::SystemdUnits;
pub use units::{Found, Status, Units};
