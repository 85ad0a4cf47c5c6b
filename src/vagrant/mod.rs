//! Vagrant as a program that is run: its commands as values, what it says, where it keeps what, and the
//! hypervisors that it drives, asked directly where starting Ruby would take a second.

mod boxes;
mod command;
mod error;
mod folder;
pub mod libvirt;
mod news;
mod nodes_file;
mod run;
mod version;
pub mod virtualbox;

pub use boxes::is_box_there;
pub use error::Error;
pub use folder::Folder;
pub use news::{News, NotNews, What};
pub use nodes_file::{LibvirtSettings, Login, NodeEntry, NodesFile};

pub use crate::config::{BoxRef, VagrantProvider as Kind};
pub use run::Vagrant;
pub use version::Version;
