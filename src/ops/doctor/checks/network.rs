//! Addresses: whether a lab finds some that nobody else has, and keeps those that it has.

use crate::docker::Network;
use crate::model::Subnet;
use crate::ops::doctor::facts::{EngineState, HostFacts, Route};
use crate::ops::doctor::finding::Finding;
use crate::provider::container::LAB;

/// Every lab has a /24; where a route is less specific, the lab's own goes first.
const LAB_LENGTH: u8 = 24;

pub(super) fn check(facts: &HostFacts) -> Vec<Finding> {
    let EngineState::Up { networks, .. } = &facts.engine else { return Vec::new() };
    let routes = foreign_routes(facts, networks);
    let mut findings = vec![room_for_lab(facts, networks, &routes)];
    for network in networks {
        let Some(lab) = network.labels.get(LAB) else { continue };
        for &subnet in &network.subnets {
            let overlapping = routes.iter().filter(|route| route.subnet.overlaps(subnet));
            findings.extend(overlapping.map(|route| overlap(facts, lab, subnet, route)));
        }
    }
    findings
}

/// Returns the routes that are not those of the engine's own bridges.
fn foreign_routes<'f>(facts: &'f HostFacts, networks: &[Network]) -> Vec<&'f Route> {
    let is_engines = |route: &Route| {
        route.is_bridge && networks.iter().any(|network| network.subnets.contains(&route.subnet))
    };
    facts.kernel.iter().flat_map(|kernel| &kernel.routes).filter(|route| !is_engines(route)).collect()
}

fn room_for_lab(facts: &HostFacts, networks: &[Network], routes: &[&Route]) -> Finding {
    let is_own = |network: &&Network| {
        let name = network.labels.get(LAB);
        facts
            .labs
            .iter()
            .any(|lab| lab.project == facts.project && name.is_some_and(|name| name == lab.lab.as_str()))
    };
    let others = networks.iter().filter(|network| !is_own(network));
    let mut taken: Vec<(Subnet, String)> = others
        .flat_map(|network| {
            network.subnets.iter().map(|&subnet| (subnet, format!("the Docker network `{}`", network.name)))
        })
        .collect();
    taken.extend(
        routes.iter().map(|route| (route.subnet, format!("the route through `{}`", route.interface))),
    );
    taken.retain(|(subnet, _)| !subnet.is_everything());
    let subnets: Vec<Subnet> = taken.iter().map(|(subnet, _)| *subnet).collect();
    match (facts.wanted, Subnet::choose(&subnets)) {
        (Some(wanted), _) => match taken.iter().find(|(subnet, _)| subnet.overlaps(wanted)) {
            Some((subnet, whose)) => {
                let says = format!("{wanted}, which lab.toml asks for, overlaps {subnet} of {whose}");
                Finding::problem("network", says, elsewhere(&subnets))
            }
            None => Finding::fine("network", format!("{wanted}, which lab.toml asks for, is free")),
        },
        (None, Ok(free)) => Finding::fine("network", format!("{free} is free for this lab")),
        (None, Err(error)) => Finding::problem("network", error.to_string(), elsewhere(&subnets)),
    }
}

/// Returns how to put the lab on a network that is free.
fn elsewhere(taken: &[Subnet]) -> String {
    let is_free = |subnet: &Subnet| !taken.iter().any(|other| subnet.overlaps(*other));
    let others = (77..=255).filter_map(|third| format!("192.168.{third}.0/24").parse().ok());
    match Subnet::choose(taken).ok().or_else(|| others.into_iter().find(is_free)) {
        Some(free) => format!("lab up --subnet {free}"),
        None => "docker network ls  # remove one that takes too much".to_owned(),
    }
}

fn overlap(facts: &HostFacts, lab: &str, subnet: Subnet, route: &Route) -> Finding {
    let Route { subnet: other, interface, .. } = route;
    let says = format!("{subnet} of the lab `{lab}` overlaps {other} of the route through `{interface}`");
    if route.subnet.length() < LAB_LENGTH {
        return Finding::note("routes", format!("{says}; this host reaches the lab there, and nobody else"));
    }
    let cure = facts.as_root(&format!("ip route del {other} dev {interface}  # or disconnect that VPN"));
    Finding::warning("routes", format!("{says}, and its nodes may be out of reach"), cure)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{healthy, network, route};
    use super::*;
    use crate::ops::doctor::finding::Verdict;

    fn examined(wanted: Option<&str>, routes: Vec<Route>, more: Vec<Network>) -> Vec<Finding> {
        let mut facts = healthy();
        facts.wanted = wanted.map(|wanted| wanted.parse().unwrap());
        facts.kernel.as_mut().unwrap().routes.extend(routes);
        if let EngineState::Up { networks, .. } = &mut facts.engine {
            networks.extend(more);
        }
        check(&facts)
    }

    #[track_caller]
    fn check_network(
        wanted: Option<&str>,
        more: Vec<Network>,
        verdict: Verdict,
        says: &str,
        cure: Option<&str>,
    ) {
        let found = examined(wanted, Vec::new(), more).remove(0);
        assert_eq!((found.check, found.verdict), ("network", verdict));
        assert!(found.says.contains(says), "{found:?}");
        assert_eq!(found.cure.as_deref(), cure);
    }

    #[test]
    fn a_lab_finds_a_network_that_is_free() {
        check_network(None, Vec::new(), Verdict::Fine, "10.77.0.0/24 is free", None);
        check_network(Some("10.78.0.0/24"), Vec::new(), Verdict::Fine, "10.78.0.0/24", None);
        let of_this_lab = Some("10.77.0.0/24");
        check_network(of_this_lab, Vec::new(), Verdict::Fine, "is free", None);
        let other = || vec![network("lab-db", "10.78.0.0/24", Some("db"))];
        let cure = Some("lab up --subnet 10.77.0.0/24");
        check_network(Some("10.78.0.0/24"), other(), Verdict::Problem, "the Docker network `lab-db`", cure);
        check_network(Some("192.168.1.0/24"), Vec::new(), Verdict::Problem, "the route through `eth0`", cure);
        let pool = || network("big", "10.77.0.0/16", None);
        let cure = Some("lab up --subnet 192.168.77.0/24");
        check_network(None, vec![pool()], Verdict::Problem, "no free network", cure);
        let all = vec![pool(), network("too", "192.168.0.0/16", None)];
        check_network(
            None,
            all,
            Verdict::Problem,
            "no free",
            Some("docker network ls  # remove one that takes too much"),
        );
    }

    #[track_caller]
    fn check_route(other: Route, want: Option<Verdict>) {
        let found = examined(None, vec![other], Vec::new());
        let verdicts: Vec<Verdict> =
            found.iter().filter(|f| f.check == "routes").map(|f| f.verdict).collect();
        assert_eq!(verdicts, want.into_iter().collect::<Vec<_>>(), "{found:?}");
    }

    #[test]
    fn a_vpn_over_a_lab_is_told_by_how_much_it_hides() {
        check_route(route("10.77.0.0/24", "tun0", false), Some(Verdict::Warning));
        check_route(route("10.77.0.128/25", "wg0", false), Some(Verdict::Warning));
        check_route(route("10.0.0.0/8", "tun0", false), Some(Verdict::Note));
        check_route(route("10.78.0.0/24", "tun0", false), None);
        check_route(route("10.77.0.0/24", "br-0f1d289309b3", true), None);
    }

    #[test]
    fn routes_that_are_not_known_hide_nothing() {
        let mut facts = healthy();
        facts.kernel = None;
        assert_eq!(check(&facts).len(), 1);
    }
}
