//! Units as fleet knows them: names, files, and what a file demands of a machine. Pure.

mod file;
mod name;
mod needs;
mod pattern;

pub use file::{BadUnitFile, Hash, UnitFile, UnitOption};
pub use name::{BadUnitName, UnitName};
pub use needs::{BadNeeds, Needs};
pub use pattern::Pattern;
