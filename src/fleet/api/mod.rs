//! fleet's HTTP API, version 1, and what this fleet adds to it. It changes records and reads them; it places
//! nothing and runs nothing.

mod answer;
mod change;
mod discovery;
mod machines;
mod page;
mod patch;
mod place;
mod request;
mod routes;
mod states;
mod units;

pub use answer::Refusal;
pub use change::{Change, decide};
pub use patch::{Edit, Patch};
pub use request::UnitRequest;
pub use routes::{Api, routes};

#[cfg(test)]
mod tests;
