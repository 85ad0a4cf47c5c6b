//! What this host allows and which addresses it uses.

use camino::Utf8Path;

use super::Error;
use crate::fs;
use crate::model::{HostRoute, Subnet, bounding_set, missing_capabilities, parse_routes};

/// Checks that the kernel lets anyone here have what nodes need, before the first of them fails to
/// boot. Where it cannot be read, nothing is known to be missing.
pub(super) fn check_capabilities() -> Result<(), Error> {
    let status = fs::read_to_string(Utf8Path::new("/proc/self/status")).unwrap_or_default();
    let missing = bounding_set(&status).map(missing_capabilities).unwrap_or_default();
    if missing.is_empty() { Ok(()) } else { Err(Error::Capability { missing: missing.join(" and ") }) }
}

/// Returns the networks that this host has routes to, and whose they are.
pub(super) fn routes() -> Vec<(Subnet, String)> {
    let table = fs::read_to_string(Utf8Path::new("/proc/net/route")).unwrap_or_default();
    let route = |route: HostRoute| (route.subnet, format!("the route through `{}`", route.interface));
    parse_routes(&table).into_iter().map(route).collect()
}
