//! Nodes that Vagrant makes.

mod cut_off;
mod docker;
mod others;
mod virtualbox;
