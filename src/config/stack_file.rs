//! What may stand in `stack.toml`. The comments on its keys are also the descriptions in the JSON Schema.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;

use super::file::{HOST_NAME, IMAGE_KEY, METADATA_KEY, METADATA_VALUE, ONE_IMAGE, OneImage};
use crate::model::{Check, Metadata, RoleName, Size};

/// The file of a stack that says what belongs to it.
pub const STACK_FILE_NAME: &str = "stack.toml";

pub(super) const ONE_ROLE: &str = "roles.NAME";
pub(super) const ONE_UNIT: &str = "units";
pub(super) const ONE_ENDPOINT: &str = "endpoints";
pub(super) const ONE_CHECK: &str = "check";

/// Every table with its keys; the first is the top of the file, which has no name.
pub(super) const STACK_KEYS: [(&str, &[&str]); 6] = [
    ("", &["description", "env", "roles", "images", "units", "endpoints"]),
    (ONE_ROLE, &["nodes", "where", "metadata", "needs", "port"]),
    (ONE_IMAGE, super::file::IMAGE_KEYS),
    (ONE_UNIT, &["name", "role", "instances", "images", "ports", "reads", "check", "leader"]),
    (ONE_ENDPOINT, &["name", "unit", "port", "scheme", "path", "leader", "check"]),
    (ONE_CHECK, &["port", "http", "status", "send", "run", "answer"]),
];

const VARIABLE: &str = "^[A-Z][A-Z0-9_]*$";
const SCHEME: &str = "^[a-z][a-z0-9+.-]*$";

/// Units that belong together, and what they need: the file `stack.toml` in their folder.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[schemars(title = "stack.toml", deny_unknown_fields)]
pub struct StackFile {
    /// What the stack is, in one sentence.
    pub description: String,
    /// Variables that every node gets in `/etc/lab/env`, where units read them. All stacks of a lab share that
    /// file.
    #[schemars(extend("propertyNames" = serde_json::json!({ "pattern": VARIABLE })))]
    pub env: BTreeMap<String, String>,
    /// Parts that some of the nodes take. `LAB_NAME_MEMBERS`, `…_ADDRESSES`, `…_NUMBERS`, `…_HOSTS`, `…_COUNT`,
    /// `…_QUORUM` and `…_NUMBER` in `/etc/lab/env` tell units of them.
    #[schemars(with = "BTreeMap<String, RoleTable>")]
    #[schemars(extend("propertyNames" = serde_json::json!({ "pattern": HOST_NAME })))]
    pub roles: Vec<(RoleName, RoleTable)>,
    /// The images that units run, as in lab.toml; paths begin at this file. A table of the same name in lab.toml
    /// takes the place of one here. `LAB_IMAGE_NAME` in `/etc/lab/env` is what the image is called.
    #[schemars(extend("propertyNames" = serde_json::json!({ "pattern": IMAGE_KEY })))]
    pub images: BTreeMap<String, OneImage>,
    /// What runs, in the order in which it is started.
    pub units: Vec<UnitTable>,
    /// Addresses at which the stack serves.
    pub endpoints: Vec<EndpointTable>,
}

/// A part that some of the nodes take.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RoleTable {
    /// How many nodes take part, the first ones that can: a number, `all`, or `odd` for the largest odd number
    /// up to five, as services need that vote.
    #[schemars(schema_with = "size")]
    pub nodes: Size,
    /// What a node has to be told to take part: `hostname`, `lab`, `etcd`, or the metadata of lab.toml.
    #[serde(rename = "where")]
    #[schemars(with = "BTreeMap<String, String>")]
    #[schemars(extend("propertyNames" = key(METADATA_KEY), "additionalProperties" = value()))]
    pub demands: Metadata,
    /// What nodes that take part are told of themselves, for `MachineMetadata` of units. Default: the role's name
    /// with the value `true`. A node for which lab.toml has another value takes no part.
    #[schemars(with = "BTreeMap<String, String>")]
    #[schemars(extend("propertyNames" = key(METADATA_KEY), "additionalProperties" = value()))]
    pub metadata: Option<Metadata>,
    /// Roles whose units have to pass their checks before units of this one are started.
    #[schemars(with = "BTreeSet<String>")]
    pub needs: BTreeSet<RoleName>,
    /// The port that stands behind each address in `LAB_NAME_HOSTS`.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
}

/// A unit, or the instances of a template.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct UnitTable {
    /// Its file, with or without `.service`: `web`, or `web@` for a template.
    pub name: String,
    /// The role whose members run it: of a template, one instance for each. Its `needs` hold for the unit.
    #[schemars(with = "String")]
    pub role: Option<RoleName>,
    /// How many instances of a template run, where no role says so.
    #[schemars(range(min = 1, max = 1000))]
    pub instances: Option<u16>,
    /// The images that it runs. They are on each node where it may come to, before it is started.
    pub images: BTreeSet<String>,
    /// The TCP ports that it takes on its node.
    pub ports: BTreeSet<u16>,
    /// Roles whose members it has to know, where the variables do not stand in its file. When these change, it is
    /// restarted.
    #[schemars(with = "BTreeSet<String>")]
    pub reads: BTreeSet<RoleName>,
    /// What tells that it serves. Default: systemd says that it runs.
    #[schemars(with = "Option<CheckTable>")]
    pub check: Option<Check>,
    /// What tells which of several instances leads; it is restarted last.
    #[schemars(with = "Option<CheckTable>")]
    pub leader: Option<Check>,
    /// Where it stands in the file.
    #[schemars(skip)]
    pub line: usize,
}

/// An address at which the stack serves.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct EndpointTable {
    /// What `lab open` calls it.
    #[schemars(regex(pattern = HOST_NAME))]
    pub name: String,
    /// The unit that serves there.
    pub unit: String,
    /// The port on the unit's node.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// What its address begins with.
    #[schemars(regex(pattern = SCHEME), extend("default" = "http"))]
    pub scheme: String,
    /// What stands behind the port in its address. Default: `/` of web addresses.
    pub path: String,
    /// Whether only the instance that leads serves there.
    #[schemars(extend("default" = false))]
    pub leader: bool,
    /// What tells that it answers. Default: a page with a status below 500, or a port that takes connections.
    #[schemars(with = "Option<CheckTable>")]
    pub check: Option<Check>,
    /// Where it stands in the file.
    #[schemars(skip)]
    pub line: usize,
}

/// One question to a service on its own node: with `port` alone whether it takes connections.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "what is read is a `Check`; this is how it is written")]
struct CheckTable {
    /// The port that is asked.
    #[schemars(range(min = 1, max = 65535))]
    port: Option<u16>,
    /// The path of a page to ask for.
    http: Option<String>,
    /// The status that the page has to have. Default: 200 to 399.
    #[schemars(range(min = 100, max = 599))]
    status: Option<u16>,
    /// A line of text to send.
    send: Option<String>,
    /// A command of the shell on the node, which has to end with 0.
    run: Option<String>,
    /// What has to stand in the answer. `${LAB_ADDRESS}` and all else of `/etc/lab/env` is filled in.
    answer: Option<String>,
}

fn size(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "anyOf": [{ "type": "integer", "minimum": 1, "maximum": crate::model::MAX_NODES }, { "enum": ["all", "odd"] }]
    })
}

fn key(pattern: &str) -> serde_json::Value {
    serde_json::json!({ "pattern": pattern })
}

fn value() -> serde_json::Value {
    serde_json::json!({ "type": "string", "pattern": METADATA_VALUE })
}
