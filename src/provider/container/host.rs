//! What this host allows and which addresses it uses.

use std::net::Ipv4Addr;

use camino::Utf8Path;

use super::super::Error;
use crate::fs;
use crate::model::Subnet;

/// What a node needs beyond Docker's own list, with the number that the kernel gives it. Never
/// `SYS_TIME`: the clock of a container is the clock of its host.
pub(super) const CAPABILITIES: [(&str, u8); 2] = [("SYS_ADMIN", 21), ("NET_ADMIN", 12)];

/// Checks that the kernel lets anyone here have what nodes need, before the first of them fails to boot.
pub(super) fn check_capabilities() -> Result<(), Error> {
    let status = fs::read_to_string(Utf8Path::new("/proc/self/status")).unwrap_or_default();
    let missing = missing_capabilities(&status);
    if missing.is_empty() { Ok(()) } else { Err(Error::Capability { missing: missing.join(" and ") }) }
}

/// Reads the bounding set out of a process's status; where it cannot be read nothing is known to be missing.
fn missing_capabilities(status: &str) -> Vec<&'static str> {
    let set = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let Some(set) = set.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()) else {
        return Vec::new();
    };
    CAPABILITIES.iter().filter(|(_, bit)| set & (1 << bit) == 0).map(|(name, _)| *name).collect()
}

/// Returns the networks that this host has routes to.
pub(super) fn routes() -> Vec<(Subnet, String)> {
    parse_routes(&fs::read_to_string(Utf8Path::new("/proc/net/route")).unwrap_or_default())
}

/// Reads the kernel's table of routes: interface, destination, gateway, flags …, mask, in hexadecimal
/// and in the byte order of the machine.
fn parse_routes(table: &str) -> Vec<(Subnet, String)> {
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |field: usize| u32::from_str_radix(fields.get(field)?, 16).ok().map(u32::swap_bytes);
        let (base, mask) = (number(1)?, number(7)?);
        let length = u8::try_from(mask.leading_ones()).ok()?;
        let subnet = Subnet::new(Ipv4Addr::from(base), length).ok()?;
        (!subnet.is_everything()).then(|| (subnet, format!("the route through `{}`", fields[0])))
    };
    table.lines().skip(1).filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounding_set_tells_what_nodes_will_miss() {
        let status = |set: &str| format!("Name:\tx\nCapBnd:\t{set}\nCapAmb:\t0\n");
        assert!(missing_capabilities(&status("000001fffeffffff")).is_empty());
        assert_eq!(missing_capabilities(&status("00000000a80425fb")), ["SYS_ADMIN", "NET_ADMIN"]);
        assert_eq!(missing_capabilities(&status("00000000a82425fb")), ["NET_ADMIN"]);
        assert!(missing_capabilities("no such line").is_empty());
    }

    #[test]
    fn routes_are_read_and_the_default_one_is_not() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
            tun0\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let routes: Vec<String> = parse_routes(table).iter().map(|(net, who)| format!("{net} {who}")).collect();
        assert_eq!(routes, ["172.17.0.0/16 the route through `docker0`", "10.77.0.0/24 the route through `tun0`"]);
    }
}
