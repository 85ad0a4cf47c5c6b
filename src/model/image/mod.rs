//! Images in the words of the OCI: what they are called and what they are made of.

mod digest;
mod manifest;
mod name;
mod source;
mod wanted;
mod wire;

pub use digest::{BadDigest, Digest, Hasher};
pub use manifest::{BadImage, Descriptor, ImageConfig, Index, Manifest, Platform, Rootfs, media};
pub use name::{BadImageName, ImageName};
pub use source::{BuildSource, ImageSource, ImageSpec};
pub use wanted::{Layer, WantedImage};
pub use wire::{LAYERS_ON_NODE, LoadEvent, LoadImage, LoadRequest, NodeImage, STORE_ON_NODE, SharedImage};
