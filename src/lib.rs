//! `lab` reproduces a highly available cluster on one machine: real nodes, and the means to see how
//! they are. Modules stand on floors; each may use only those on floors below its own.
//!
//! | floor | modules | knows | does not know |
//! |---|---|---|---|
//! | 0 | [`checkpoint`], [`exec`], [`fs`], [`http`], [`progress`], [`wait`] | the operating system | that labs exist |
//! | 1 | [`model`] | its own words | files, clocks, vendors |
//! | 2 | [`checks`] | how services are asked whether they serve | which services there are |
//! | 2 | [`config`] | lab.toml, folders, the lock | nodes at run time |
//! | 3 | [`docker`], [`etcd`], [`registry`], [`ssh`], [`systemd`], [`vagrant`] | one vendor each | each other |
//! | 3 | [`oci`] | images as files | where they come from |
//! | 4 | [`fleet`] | units, where they go, and how they get there | what a lab is |
//! | 4 | [`images`] | what nodes boot from and what is loaded on them | who boots them |
//! | 5 | [`node`] | what `labd` does | the host |
//! | 5 | [`provider`] | how machines are made | what runs on them |
//! | 6 | [`ops`] | all of it, in order | terminals, flags |
//! | 7 | [`cli`] | what is typed and shown | rules |
//!
//! Words: a *lab* is a cluster of *nodes* on one host; a *machine* is what a provider makes for a node;
//! a *seed* is what a node is born with; a *task* is one thing that `up` does, with its reason.

pub mod checkpoint;
pub mod checks;
pub mod cli;
pub mod config;
pub mod docker;
pub mod etcd;
pub mod exec;
pub mod fleet;
pub mod fs;
pub mod http;
pub mod images;
pub mod model;
#[cfg(target_os = "linux")]
pub mod node;
pub mod oci;
pub mod ops;
pub mod progress;
pub mod provider;
pub mod registry;
pub mod ssh;
pub mod systemd;
pub mod vagrant;
pub mod wait;
