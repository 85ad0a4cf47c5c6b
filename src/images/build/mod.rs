//! Images that a lab builds from folders.

mod context;
mod dockerfile;
mod error;
mod glob;
mod held;
mod ignore;
mod key;
mod order;
mod run;
mod send;

pub use context::Context;
pub use dockerfile::{BadDockerfile, Base, bases};
pub use error::Error;
pub use ignore::{BadPattern, Ignore, Matched};
pub use key::{Change, DockerfileInput, FileInput, FileKind, Inputs, Options, diff};
pub use order::{Circle, order};
pub use run::{Built, Wanted, build, inputs, names_below, written};
