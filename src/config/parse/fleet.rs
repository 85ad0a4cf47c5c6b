//! Reads `[fleet]` and `[metadata]`: who runs units, and what machines are told of themselves.

use toml::de::{DeTable, DeValue};

use super::Reader;
use crate::config::file::{ALL_NODES, FleetTable, MetadataTable};
use crate::config::limits;
use crate::model::{Metadata, NodeName};

impl Reader<'_> {
    pub(super) fn fleet(&mut self, root: &DeTable<'_>) -> FleetTable {
        let empty = DeTable::new();
        let fleet = self.table(root, "fleet").unwrap_or(&empty);
        FleetTable {
            engine: self.string(fleet, "engine", limits::engine),
            fence: self.typed(fleet, "fence", "true or false", DeValue::as_bool),
        }
    }

    /// Reads a table with one key for all nodes and one for each node that is named. A node may not exist
    /// yet, as labs grow; so only the name's form is checked.
    pub(super) fn metadata(&mut self, root: &DeTable<'_>) -> MetadataTable {
        let mut read = MetadataTable::default();
        let Some(tables) = self.typed(root, "metadata", "a table", DeValue::as_table) else { return read };
        for (key, value) in tables {
            let name = key.get_ref().as_ref();
            let Some(pairs) = value.get_ref().as_table() else {
                let message = format!("`{name}` must be a table of metadata");
                let meant = format!("write `{ALL_NODES} = {{ {name} = … }}` to tell all nodes");
                self.add(key.span(), &message, Some(meant));
                continue;
            };
            let metadata = self.pairs(pairs);
            match NodeName::parse(name) {
                Err(bad) => self.add(key.span(), &bad.to_string(), None),
                Ok(_) if name == ALL_NODES => read.all = metadata,
                Ok(node) => drop(read.nodes.insert(node, metadata)),
            }
        }
        read
    }

    pub(super) fn pairs(&mut self, table: &DeTable<'_>) -> Metadata {
        let mut read = Metadata::new();
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if let Err(refused) = limits::metadata_key(name) {
                self.add(key.span(), &refused.to_string(), None);
            }
            if let Some(value) = self.string(table, name, limits::metadata_value) {
                read.insert(name.to_owned(), value);
            }
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;
    use crate::config::parse;
    use crate::model::FleetEngine;

    #[track_caller]
    fn check(text: &str, first_line: &str) {
        let told = parse(text, Utf8Path::new("lab.toml")).unwrap_err().to_string();
        assert_eq!(told.lines().next(), Some(format!("lab.toml:{first_line}").as_str()), "{told}");
    }

    fn map(pairs: &[(&str, &str)]) -> Metadata {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn metadata_is_read_however_its_tables_are_written() {
        let node = NodeName::parse("core-01").unwrap();
        let want = MetadataTable {
            all: map(&[("zone", "a"), ("made.by", "us all")]),
            nodes: [(node, map(&[("disk", "ssd")]))].into(),
        };
        for text in [
            "[metadata]\nall = { zone = \"a\", \"made.by\" = \"us all\" }\ncore-01 = { disk = \"ssd\" }",
            "[metadata.core-01]\ndisk = \"ssd\"\n[metadata.all]\nzone = \"a\"\n\"made.by\" = \"us all\"",
            "metadata.core-01.disk = \"ssd\"\nmetadata.all = { zone = \"a\", \"made.by\" = \"us all\" }",
        ] {
            assert_eq!(parse(text, Utf8Path::new("lab.toml")).unwrap().metadata, want, "{text}");
        }
        let nothing = parse("[metadata]\ncore-07 = {}", Utf8Path::new("lab.toml")).unwrap().metadata;
        assert_eq!(nothing.nodes.len(), 1);
    }

    #[test]
    fn each_engine_is_read() {
        for (text, want) in [("lab", FleetEngine::Lab), ("fleet", FleetEngine::Fleet)] {
            let text = format!("[fleet]\nengine = \"{text}\"\nfence = true");
            let fleet = parse(&text, Utf8Path::new("lab.toml")).unwrap().fleet;
            assert_eq!(fleet, FleetTable { engine: Some(want), fence: Some(true) });
        }
    }

    #[test]
    fn each_mistake_is_told_with_its_place() {
        check("fleet = \"lab\"", "1:9: `fleet` must be a table, not text");
        check(
            "[fleet]\nengine = \"Lab\"",
            "2:10: `engine`: `Lab` is not an engine: there are `lab` and `fleet`",
        );
        check("[fleet]\nfense = true", "2:1: unknown key `fense`; did you mean `fence`?");
        check("fence = true", "1:1: unknown key `fence`; `fence` stands under `[fleet]`");
        check(
            "[fleet]\nfence = \"true\"",
            "2:9: `fence` must be true or false, not text; write true without quotes",
        );
        check("[fleet]\nfence = 1", "2:9: `fence` must be true or false, not a number");
        check("metadata = [1]", "1:12: `metadata` must be a table, not a list");
        check(
            "[metadata]\nzone = \"a\"",
            "2:1: `zone` must be a table of metadata; write `all = { zone = … }` to tell all nodes",
        );
        check(
            "[metadata]\nCore_1 = { zone = \"a\" }",
            "2:1: `Core_1` is not a node name: only lower-case letters, digits and `-` may stand in a host name",
        );
        check("[metadata.all]\nrack = 3", "2:8: `rack` must be text in quotes, not a number");
        check(
            "[metadata.all]\n\"a b\" = \"x\"",
            "2:1: `a b` cannot name metadata: only letters, digits, `.`, `_` and `-` may stand in it",
        );
        check("[metadata.all]\nzone = \"\"", "2:8: `zone`: a value is missing");
        check(
            "[metadata.all]\nzone = \"a,b\"",
            "2:8: `zone`: `a,b` is no value of metadata: `=`, `,` and control characters may not stand in it",
        );
        check(
            "[metadata.all]\nzone = \"a \"",
            "2:8: `zone`: `a ` is no value of metadata: it begins or ends with a blank",
        );
    }
}
