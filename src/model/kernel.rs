//! What the kernel's tables say that matters to a lab.

use std::net::Ipv4Addr;

use super::Subnet;

/// What a node needs beyond Docker's own list, with the number that the kernel gives it. Never
/// `SYS_TIME`: the clock of a container is the clock of its host.
pub const CAPABILITIES: [(&str, u8); 2] = [("SYS_ADMIN", 21), ("NET_ADMIN", 12)];

/// Reads which capabilities anyone may have at all, out of a process's status.
pub fn bounding_set(status: &str) -> Option<u64> {
    let digits = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

/// Returns those that nodes need and that the set does not hold.
pub fn missing_capabilities(bounding_set: u64) -> Vec<&'static str> {
    CAPABILITIES.iter().filter(|(_, bit)| bounding_set & (1 << bit) == 0).map(|(name, _)| *name).collect()
}

/// A network that the host has a way to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRoute {
    pub subnet: Subnet,
    pub interface: String,
}

/// Reads /proc/net/route: interface, destination, gateway, flags …, mask, in hexadecimal, as the
/// machine's own words for what stands in memory in network order. The default route is left out.
pub fn parse_routes(table: &str) -> Vec<HostRoute> {
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |field: usize| u32::from_str_radix(fields.get(field)?, 16).ok().map(u32::from_be);
        let (base, mask) = (number(1)?, number(7)?);
        let length = u8::try_from(mask.leading_ones()).ok()?;
        let subnet = Subnet::new(Ipv4Addr::from(base), length).ok()?;
        let interface = (*fields.first()?).to_owned();
        (!subnet.is_everything()).then_some(HostRoute { subnet, interface })
    };
    table.lines().skip(1).filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounding_set_tells_what_nodes_will_miss() {
        let missing = |set: &str| {
            let status = format!("Name:\tx\nCapEff:\t0\nCapBnd:\t{set}\nCapAmb:\t1\n");
            missing_capabilities(bounding_set(&status).unwrap())
        };
        assert!(missing("000001fffeffffff").is_empty());
        assert_eq!(missing("00000000a80425fb"), ["SYS_ADMIN", "NET_ADMIN"]);
        assert_eq!(missing("00000000a82425fb"), ["NET_ADMIN"]);
        assert_eq!(bounding_set("Name:\tx\n"), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_are_read_without_the_default_one() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
            tun0\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
            broken\n";
        let shown: Vec<String> =
            parse_routes(table).iter().map(|route| format!("{} {}", route.subnet, route.interface)).collect();
        assert_eq!(shown, ["172.17.0.0/16 docker0", "10.77.0.0/24 tun0"]);
    }
}
