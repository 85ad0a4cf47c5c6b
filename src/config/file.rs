//! What may stand in `lab.toml`. The comments on its keys are also the descriptions in the JSON Schema.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use camino::Utf8PathBuf;
use schemars::JsonSchema;

use super::limits::{
    DEFAULT_BASE_IMAGE, DEFAULT_CACHE_LIMIT, DEFAULT_NODES, DEFAULT_PREFIX, DEFAULT_STACK, LEAST_CPUS,
    LONGEST_IMAGE, LONGEST_PREFIX, LONGEST_STACK, MOST_CPUS,
};
use super::vagrant::VagrantTable;
use crate::model::image::{ImageName, Platform};
use crate::model::{Bytes, FleetEngine, LabName, MAX_NODES, Metadata, NodeName, Subnet};

pub const FILE_NAME: &str = "lab.toml";

/// The version of the format that this program reads.
pub(super) const VERSION: u32 = 1;

/// What stands for each table below `images`, in [`KEYS`] and in what users are told.
pub(super) const ONE_IMAGE: &str = "images.NAME";

/// The key of `metadata` that stands for all nodes; every other is a node's name.
pub(super) const ALL_NODES: &str = "all";

/// The keys of one image, wherever it is described.
pub(super) const IMAGE_KEYS: &[&str] = &[
    "build",
    "dockerfile",
    "args",
    "target",
    "pull",
    "engine",
    "archive",
    "image",
    "platform",
    "name",
    "skip",
];

/// Every table with its keys; the first is the top of the file, which has no name.
pub(super) const KEYS: [(&str, &[&str]); 9] = [
    (
        "",
        &[
            "version", "name", "nodes", "provider", "stack", "node", "network", "vagrant", "fleet",
            "metadata", "image", "images", "cache",
        ],
    ),
    ("node", &["prefix", "memory", "cpus", "gateway_memory", "gateway_cpus"]),
    ("network", &["subnet"]),
    ("vagrant", &["provider", "box", "box_version", "box_url", "driver", "boot_timeout", "serial_log"]),
    ("fleet", &["engine", "fence"]),
    ("metadata", &[ALL_NODES]),
    ("image", &["base"]),
    (ONE_IMAGE, IMAGE_KEYS),
    ("cache", &["limit"]),
];

/// Returns whether a key of the file's top is a table with keys of its own.
#[cfg(test)]
pub(super) fn is_table(table: &str, key: &str) -> bool {
    table.is_empty() && KEYS.iter().any(|(name, _)| name.split('.').next() == Some(key))
}

pub(super) const HOST_NAME: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
const SIZE: &str = r"^[0-9]+(\.[0-9]{1,9})? *([kKmMgGtT]([iI]?[bB]?)|[bB])?$";
const NETWORK: &str = r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/24$";
const IMAGE: &str = "^[A-Za-z0-9][A-Za-z0-9._/:@-]*$";
pub(super) const IMAGE_KEY: &str = "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$";
const PLATFORM: &str = "^[A-Za-z0-9._]+/[A-Za-z0-9._]+(/[A-Za-z0-9._]+)?$";
pub(super) const METADATA_KEY: &str = "^[A-Za-z0-9_.-]+$";
pub(super) const METADATA_VALUE: &str = r"^[^=,\s]([^=,\r\n]*[^=,\s])?$";
const ARGUMENT: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// The settings of a lab. Each key may be left out; flags and environment variables win over it.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[schemars(title = "lab.toml", deny_unknown_fields)]
pub struct LabFile {
    /// The version of this file's format. Default: 1.
    #[schemars(with = "u32", range(min = 1, max = VERSION), extend("default" = VERSION))]
    pub version: Option<u32>,
    /// The name of the lab, unique on its host. Default: made from the name of the folder.
    #[schemars(with = "String", length(max = LabName::LONGEST), regex(pattern = HOST_NAME))]
    pub name: Option<LabName>,
    /// How many nodes `lab up` boots. Default: as many as the lab has, and 3 for a new one.
    #[schemars(with = "u16", range(min = 1, max = MAX_NODES), extend("default" = DEFAULT_NODES))]
    pub nodes: Option<u16>,
    /// What makes nodes: `container`, or `vagrant`. Default: what made the lab that is there, and `container`
    /// for a new one.
    #[schemars(with = "Provider", extend("default" = "container"))]
    pub provider: Option<Provider>,
    /// Whose units `lab up` starts as its last step, one name or a list: those of the folder `services/NAME`
    /// beside this file, else those that come with `lab` under this name; `none` for none. Default: those that the
    /// lab has, and `demo` for a new one.
    #[schemars(schema_with = "stacks")]
    pub stack: Option<Vec<String>>,
    /// What each node is like.
    pub node: NodeTable,
    /// The network between the nodes.
    pub network: NetworkTable,
    /// Virtual machines, or containers, that Vagrant makes: where `provider` is `vagrant`.
    pub vagrant: VagrantTable,
    /// Who places and runs units, and how.
    pub fleet: FleetTable,
    /// What machines are told of themselves, for `MachineMetadata` of units: all of them, or one by its name.
    /// `hostname`, `lab` and `etcd` are told without being written here.
    pub metadata: MetadataTable,
    /// The image that nodes boot from.
    pub image: ImageTable,
    /// The images that every node gets, each under the name that `lab images` knows it by. Each folder
    /// `images/NAME` with a Dockerfile is one, also without a table.
    #[schemars(extend("propertyNames" = serde_json::json!({ "pattern": IMAGE_KEY })))]
    pub images: BTreeMap<String, OneImage>,
    /// The store of images, which all labs of a user share.
    pub cache: CacheTable,
}

fn stacks(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let one = serde_json::json!({ "type": "string", "maxLength": LONGEST_STACK, "pattern": HOST_NAME });
    schemars::json_schema!({ "anyOf": [one, { "type": "array", "items": one }], "default": DEFAULT_STACK })
}

/// What each node is like.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NodeTable {
    /// What the names of nodes begin with: `core` names them `core-01`, `core-02` and so on.
    #[schemars(with = "String", length(max = LONGEST_PREFIX), regex(pattern = HOST_NAME))]
    #[schemars(extend("default" = DEFAULT_PREFIX))]
    pub prefix: Option<NodeName>,
    /// The most memory that one node may use, at least 256MiB. Default: no limit.
    #[schemars(with = "String", regex(pattern = SIZE), extend("examples" = ["2GiB", "512MiB"]))]
    pub memory: Option<Bytes>,
    /// The most processors that one node may use, at least 0.1. Default: no limit.
    #[schemars(with = "f64", range(min = LEAST_CPUS, max = MOST_CPUS), extend("examples" = [1.5, 2]))]
    pub cpus: Option<f64>,
    /// The most memory of a node that is no member of etcd. Default: as much as the others.
    #[schemars(with = "String", regex(pattern = SIZE), extend("examples" = ["1GiB"]))]
    pub gateway_memory: Option<Bytes>,
    /// The most processors of a node that is no member of etcd. Default: as many as the others.
    #[schemars(with = "f64", range(min = LEAST_CPUS, max = MOST_CPUS), extend("examples" = [1]))]
    pub gateway_cpus: Option<f64>,
}

/// The network between the nodes.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NetworkTable {
    /// The private /24 that nodes have their addresses in. Default: one that is free on the host.
    #[schemars(with = "String", regex(pattern = NETWORK), extend("examples" = ["10.77.0.0/24"]))]
    pub subnet: Option<Subnet>,
}

/// Who places and runs units, and how.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct FleetTable {
    /// Who places and runs units: `lab` is our own; with `fleet` the nodes run fleetd already, and nothing of
    /// ours is started.
    #[schemars(with = "String", extend("enum" = ["lab", "fleet"], "default" = "lab"))]
    pub engine: Option<FleetEngine>,
    /// Whether a node that has lost its lease stops its units before others may start them.
    #[schemars(with = "bool", extend("default" = false))]
    pub fence: Option<bool>,
}

/// What machines are told of themselves.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[schemars(extend("propertyNames" = serde_json::json!({ "pattern": HOST_NAME })))]
#[schemars(extend("additionalProperties" = one_node()))]
pub struct MetadataTable {
    /// What all nodes are told; what one node is told wins over it.
    #[schemars(with = "BTreeMap<String, String>", extend("examples" = [{ "zone": "a" }]))]
    #[schemars(extend("propertyNames" = metadata_keys(), "additionalProperties" = metadata_values()))]
    pub all: Metadata,
    /// What single nodes are told.
    #[schemars(skip)]
    pub nodes: BTreeMap<NodeName, Metadata>,
}

fn one_node() -> serde_json::Value {
    serde_json::json!({
        "description": "What the node of this name is told.",
        "type": "object",
        "propertyNames": metadata_keys(),
        "additionalProperties": metadata_values(),
    })
}

fn metadata_keys() -> serde_json::Value {
    serde_json::json!({ "pattern": METADATA_KEY })
}

fn metadata_values() -> serde_json::Value {
    serde_json::json!({ "type": "string", "pattern": METADATA_VALUE })
}

/// The image that nodes boot from.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ImageTable {
    /// The image that the nodes' own image is built on: Debian 12 or what is made from it.
    #[schemars(with = "String", length(max = LONGEST_IMAGE), regex(pattern = IMAGE))]
    #[schemars(extend("default" = DEFAULT_BASE_IMAGE))]
    pub base: Option<String>,
}

/// An image that every node gets, from one of `build`, `pull`, `engine` and `archive`.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct OneImage {
    /// The folder to build, relative to this file. Default: `images/NAME`, if it has a Dockerfile.
    #[schemars(with = "String", extend("examples" = ["images/web"]))]
    pub build: Option<Utf8PathBuf>,
    /// The Dockerfile, relative to the folder.
    #[schemars(with = "String", extend("default" = "Dockerfile"))]
    pub dockerfile: Option<Utf8PathBuf>,
    /// Values of the Dockerfile's arguments.
    #[schemars(with = "BTreeMap<String, String>")]
    #[schemars(extend("propertyNames" = serde_json::json!({ "pattern": ARGUMENT })))]
    pub args: Option<BTreeMap<String, String>>,
    /// The stage of the Dockerfile to build. Default: the last.
    #[schemars(with = "String")]
    pub target: Option<String>,
    /// The name by which a registry has the image.
    #[schemars(with = "String", length(max = LONGEST_IMAGE), regex(pattern = IMAGE))]
    #[schemars(extend("examples" = ["redis:7"]))]
    pub pull: Option<ImageName>,
    /// The name by which the Docker engine of this host has the image.
    #[schemars(with = "String", length(max = LONGEST_IMAGE), regex(pattern = IMAGE))]
    pub engine: Option<ImageName>,
    /// A file as `docker save` writes it, or an OCI archive, relative to this file.
    #[schemars(with = "String", extend("examples" = ["old.tar.gz"]))]
    pub archive: Option<Utf8PathBuf>,
    /// Which image of the archive, if it has several.
    #[schemars(with = "String", length(max = LONGEST_IMAGE), regex(pattern = IMAGE))]
    pub image: Option<ImageName>,
    /// What the image runs on. Default: what the engine of this host runs on.
    #[schemars(with = "String", regex(pattern = PLATFORM), extend("examples" = ["linux/arm64"]))]
    pub platform: Option<Platform>,
    /// What units call the image. Default: the name in `pull`, `engine` or `image`, else the table's name.
    #[schemars(with = "String", length(max = LONGEST_IMAGE), regex(pattern = IMAGE))]
    pub name: Option<ImageName>,
    /// Whether the lab does without this image: for a folder below `images` that is something else.
    #[schemars(with = "bool", extend("default" = false))]
    pub skip: Option<bool>,
}

/// The store of images, which all labs of a user share.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CacheTable {
    /// The size above which images that no lab uses are dropped, those first that were not used for longest;
    /// at least 1GiB.
    #[schemars(with = "String", regex(pattern = SIZE))]
    #[schemars(extend("default" = DEFAULT_CACHE_LIMIT.to_string()))]
    pub limit: Option<Bytes>,
}

/// What nodes are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Provider {
    /// Systemd containers on this host's Docker engine.
    #[default]
    Container,
    /// Vagrant, with VirtualBox, libvirt or Docker below it.
    Vagrant,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a provider: there are `container` and `vagrant`")]
pub struct UnknownProvider(String);

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container => f.pad("container"),
            Self::Vagrant => f.pad("vagrant"),
        }
    }
}

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, UnknownProvider> {
        match text {
            "container" => Ok(Self::Container),
            "vagrant" => Ok(Self::Vagrant),
            other => Err(UnknownProvider(other.to_owned())),
        }
    }
}
