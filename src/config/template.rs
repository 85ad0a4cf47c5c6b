//! The `lab.toml` that `lab init` writes: every key with a reason to change it.

use crate::model::LabName;

const TEMPLATE: &str = include_str!("template.toml");

pub fn render(name: &LabName, nodes: u16) -> String {
    TEMPLATE.replace("{name}", name.as_str()).replace("{nodes}", &nodes.to_string())
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;
    use crate::config::file::{KEYS, ONE_IMAGE, is_table};
    use crate::config::{
        DEFAULT_BASE_IMAGE, DEFAULT_CACHE_LIMIT, DEFAULT_PREFIX, DEFAULT_STACK, FleetTable, LabFile,
        Provider, parse,
    };
    use crate::model::FleetEngine;

    fn written() -> String {
        render(&LabName::parse("web").unwrap(), 5)
    }

    fn is_example(line: &str) -> bool {
        let is_setting = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        let is_table = |line: &str| line.starts_with('[') && line.ends_with(']');
        line.strip_prefix("# ").is_some_and(|line| is_setting(line) || is_table(line))
    }

    /// Returns every key with the table that it stands in.
    fn keys_of_tables(text: &str) -> Vec<(&str, &str)> {
        let mut table = "";
        let mut found = Vec::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                table = if name.starts_with("images.") { ONE_IMAGE } else { name };
            } else if let Some((key, _)) = line.split_once(" = ") {
                found.push((table, key));
            }
        }
        found
    }

    #[track_caller]
    fn read(text: &str) -> LabFile {
        parse(text, Utf8Path::new("lab.toml")).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn as_written_it_sets_name_and_nodes_only() {
        let want =
            LabFile { name: Some(LabName::parse("web").unwrap()), nodes: Some(5), ..LabFile::default() };
        assert_eq!(read(&written()), want);
    }

    #[test]
    fn the_page_on_configuration_names_every_key() {
        let page = include_str!("../../docs/configuration.md");
        for (table, keys) in KEYS {
            for key in keys.iter().filter(|key| !is_table(table, key)) {
                let row =
                    if table.is_empty() { format!("| `{key}` |") } else { format!("| `{table}.{key}` |") };
                assert!(page.contains(&row), "{row}");
            }
        }
        let examples = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        examples.for_each(|example| drop(read(example)));
    }

    #[test]
    fn with_every_comment_removed_it_sets_every_key_to_its_default() {
        let text: String = written()
            .lines()
            .map(|line| if is_example(line) { &line[2..] } else { line })
            .map(|line| format!("{line}\n"))
            .collect();
        let file = read(&text);
        assert_eq!(file.version, Some(1));
        assert_eq!(file.provider, Some(Provider::default()));
        assert_eq!(file.node.prefix.unwrap().as_str(), DEFAULT_PREFIX);
        assert_eq!(file.stack, Some(vec![DEFAULT_STACK.to_owned()]));
        assert_eq!(file.fleet, FleetTable { engine: Some(FleetEngine::Lab), fence: Some(false) });
        assert_eq!(file.image.base.unwrap(), DEFAULT_BASE_IMAGE);
        assert_eq!(file.cache.limit, Some(DEFAULT_CACHE_LIMIT));
        let set = keys_of_tables(&text);
        for (table, known) in KEYS {
            for key in known.iter().filter(|key| !is_table(table, key)) {
                assert!(set.contains(&(table, key)), "`{key}` of `{table}` is missing");
            }
        }
    }
}
