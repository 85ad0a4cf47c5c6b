//! systemd over the system bus. The only place that knows D-Bus.

mod bus;
mod changes;
mod error;
mod job;
mod manager;
mod units;

pub use changes::UnitChanges;
pub use error::Error;
pub use job::Job;
pub use manager::Manager;
pub use units::UnitStatus;
