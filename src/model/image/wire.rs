//! What `lab` and `labd` say to each other when images are loaded.

use serde::{Deserialize, Serialize};

use super::{Descriptor, Digest, ImageName, WantedImage};

/// Where a node sees the store of its host, if it does.
pub const STORE_ON_NODE: &str = "/var/lib/lab/store";
/// Where a container node sees the layers that it shares with others, if it does.
pub const LAYERS_ON_NODE: &str = "/var/lib/lab/layers";

/// An image with the texts that describe it, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadImage {
    pub image: WantedImage,
    pub manifest: String,
    pub config: String,
}

/// The body of `POST /v1/images`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadRequest {
    pub images: Vec<LoadImage>,
    /// The blobs that follow behind this line of the body, in this order; without it the node reads
    /// them from the store that it sees.
    pub blobs: Option<Vec<Digest>>,
}

/// A line of the answer. `Needs`, `Broken`, `Done` and `Failed` end it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LoadEvent {
    Planned {
        images: Vec<ImageName>,
        send: u64,
        skip: u64,
        layers: usize,
        skipped: usize,
    },
    Sent {
        bytes: u64,
    },
    /// The engine took the stream and has not what it should have: everything is sent once more.
    Again {
        why: String,
    },
    /// The node does not see these blobs.
    Needs {
        blobs: Vec<Descriptor>,
    },
    /// This blob of the store is not what its digest says, or is gone.
    Broken {
        digest: Digest,
    },
    Done {
        loaded: Vec<ImageName>,
        bytes: u64,
    },
    Failed {
        why: String,
    },
}

/// An image that a node's engine has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeImage {
    pub id: Digest,
    pub names: Vec<String>,
}

/// An image that a node is to find already there when its engine starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedImage {
    pub name: ImageName,
    pub manifest: Descriptor,
    /// The digest of its configuration.
    pub id: Digest,
}
