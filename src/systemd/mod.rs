//! systemd over the system bus. The only place that knows D-Bus.

mod manager;

pub use manager::{Error, Manager};
