//! What the user wants: flags, environment, `lab.toml` and defaults; and where files of a lab are kept.
//! It knows TOML and folders, and nothing of nodes that run.

mod dirs;
mod file;
mod images;
mod limits;
mod lock;
mod parse;
mod problem;
mod schema;
mod settings;
mod stack_file;
mod state_dir;
mod suggest;
mod template;
mod vagrant;

pub use dirs::{Dirs, NoFolder};
pub use file::{
    CacheTable, FILE_NAME, FleetTable, ImageTable, LabFile, MetadataTable, NetworkTable, NodeTable, OneImage,
    Provider, UnknownProvider,
};
pub use images::{ImageProblem, stack_images};
pub use limits::{
    DEFAULT_BASE_IMAGE, DEFAULT_CACHE_LIMIT, DEFAULT_NODES, DEFAULT_PREFIX, DEFAULT_STACK, LEAST_CACHE_LIMIT,
    LEAST_CPUS, LEAST_MEMORY, MOST_CPUS, Refused, stack as check_stack_name,
};
pub use lock::{Holder, Lock, LockError};
pub use parse::{decode, parse, parse_stack};
pub use problem::{Problem, Problems};
pub use schema::{render as render_schema, render_stack as render_stack_schema};
pub use settings::{Error, Flag, Flags, Settings, load_file, locate};
pub use stack_file::{EndpointTable, RoleTable, STACK_FILE_NAME, StackFile, UnitTable};
pub use state_dir::{State, StateDir, StateError};
pub use template::render as render_template;
pub use vagrant::{
    BoxRef, DEFAULT_BOOT_TIMEOUT, DEFAULT_BOX, Driver, UnknownVagrantProvider, VagrantProvider,
    VagrantSettings, VagrantTable,
};
