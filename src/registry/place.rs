//! Where a registry is: its host, and who may be asked without TLS.

use std::net::Ipv4Addr;

/// Docker Hub is called so in names, answers elsewhere, and is a third thing where passwords are kept.
pub(super) const HUB: &str = "docker.io";
const HUB_HOST: &str = "registry-1.docker.io";
pub(super) const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Returns the host, with its port if it has one, that answers for a registry.
pub(super) fn host(registry: &str) -> &str {
    if registry == HUB { HUB_HOST } else { registry }
}

/// Returns whether a host, with or without a port, is this machine: nobody listens on the way there.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    bare == "localhost"
        || bare == "::1"
        || bare.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_go_without_tls() {
        for host in ["localhost", "localhost:5000", "127.0.0.1", "127.1.2.3:80", "[::1]:5000", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["10.0.0.1:80", "localhost.example", "127.0.0.1.example:5000", "[::2]", "docker.io", "", "["]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn docker_hub_answers_elsewhere() {
        assert_eq!(host("docker.io"), "registry-1.docker.io");
        assert_eq!(host("127.0.0.1:5000"), "127.0.0.1:5000");
    }
}
