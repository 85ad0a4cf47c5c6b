//! `lab doctor`: what this host offers to a lab, what it lacks, and what cures it.
//!
//! [`gather`] looks and judges nothing; [`examine`] judges and looks at nothing; [`mend`] does the few
//! things that are safe to do unasked, after which the caller gathers and examines once more.

mod checks;
mod facts;
mod finding;
mod gather;
mod mend;
mod proc;

pub use checks::{examine, fleet};
pub use facts::{
    Cgroups, Disk, EngineState, FolderState, Generation, HostFacts, Inotify, Installer, KernelFacts,
    LabFolder, Labd, Memory, Program, Programs, Route,
};
pub use finding::{Finding, Fix, Verdict};
pub use gather::{Place, gather};
pub use mend::mend;
