//! The Docker engine, reached through bollard, which no other module names.
//!
//! This room knows containers, networks, volumes and images. It does not know what a lab is: it
//! finds things by whatever label it is given.

mod build;
mod container;
mod engine;
mod error;
mod export;
mod helper;
mod image;
mod load;
mod network;
mod run_args;
mod volume;

pub use build::{Build, BuildContext};
pub use container::{Bind, Container, ContainerSpec, ContainerState, Inspected, Limits, VolumeMount};
pub use engine::{Engine, EngineFacts};
pub use error::Error;
pub use helper::Helper;
pub use image::FoundImage;
pub use load::{ImageStore, ListedImage};
pub use network::Network;
pub use run_args::{env_file, run_args};
pub use volume::Volume;

/// Labels of a container, network, volume or image.
pub type Labels = std::collections::BTreeMap<String, String>;

/// Returns the filter with which the engine lists what carries `label` (`name` or `name=value`).
fn by_label(label: &str) -> std::collections::HashMap<String, Vec<String>> {
    [("label".to_owned(), vec![label.to_owned()])].into()
}
