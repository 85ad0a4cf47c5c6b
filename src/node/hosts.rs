//! `/etc/hosts` of a node. Docker writes it at each start, so ours is merged into what it says.

use crate::model::NodeConfig;

const BEGIN: &str = "# lab begin";
const END: &str = "# lab end";

/// Returns the file with the lab's names, each at its lab address only; whatever else was in it stays.
pub(super) fn merge(current: &str, config: &NodeConfig) -> String {
    let mut merged = String::new();
    let mut is_ours = false;
    for line in current.lines() {
        match line.trim() {
            BEGIN => is_ours = true,
            END => is_ours = false,
            _ if is_ours || names_a_node(line, config) => {}
            _ => {
                merged.push_str(line);
                merged.push('\n');
            }
        }
    }
    merged + BEGIN + "\n" + &config.hosts() + END + "\n"
}

/// Docker adds the container's own name, at an address that may be of another of its networks.
fn names_a_node(line: &str, config: &NodeConfig) -> bool {
    let entry = line.split('#').next().unwrap_or_default();
    let mut names = entry.split_whitespace().skip(1);
    names.any(|name| config.nodes.iter().any(|peer| peer.name.as_str() == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::samples;

    const DOCKER: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n172.17.0.2\tcore-01\n";

    #[test]
    fn the_labs_names_are_added_once_and_dockers_own_line_goes() {
        let config = samples::config();
        let once = merge(DOCKER, &config);
        insta::assert_snapshot!(once);
        assert_eq!(merge(&once, &config), once);
    }

    #[test]
    fn names_of_others_and_a_missing_end_do_no_harm() {
        let config = samples::config();
        let merged = merge("10.0.0.1\tcore-01x other\n# lab begin\n10.0.0.2\tgone\n", &config);
        assert!(
            merged.starts_with("10.0.0.1\tcore-01x other\n# lab begin\n10.77.3.11\tcore-01\n"),
            "{merged}"
        );
        assert!(!merged.contains("gone"));
    }
}
