//! The JSON Schemas of `lab.toml` and `stack.toml`, for editors.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};

use super::file::LabFile;
use super::stack_file::StackFile;

/// Returns the schema of `lab.toml` as indented JSON. It is of draft 7, which editors know for TOML.
pub fn render() -> String {
    render_schema::<LabFile>()
}

/// Returns the schema of `stack.toml`.
pub fn render_stack() -> String {
    render_schema::<StackFile>()
}

fn render_schema<T: JsonSchema>() -> String {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let generator = settings.with_transform(RecursiveTransform(plain)).into_generator();
    let schema = generator.into_root_schema_for::<T>();
    let json = serde_json::to_string_pretty(&schema).expect("a schema is plain data");
    json + "\n"
}

/// Every key may be absent, and draft 7 knows none of Rust's number formats.
fn plain(schema: &mut Schema) {
    schema.remove("required");
    schema.remove("format");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::config::file::{KEYS, ONE_IMAGE};
    use crate::config::stack_file::{ONE_CHECK, ONE_ROLE, ONE_UNIT, STACK_KEYS};

    #[test]
    fn the_schema_in_docs_is_the_one_of_this_program() {
        let kept = include_str!("../../docs/lab.schema.json");
        let is_same = kept == render();
        assert!(is_same, "renew it: `cargo run -- validate --schema > docs/lab.schema.json`");
    }

    #[test]
    fn the_schema_of_stacks_in_docs_is_the_one_of_this_program() {
        let kept = include_str!("../../docs/stack.schema.json");
        let is_same = kept == render_stack();
        assert!(is_same, "renew it: `cargo run -- stack check --schema > docs/stack.schema.json`");
    }

    #[test]
    fn parser_and_schema_of_stacks_know_the_same_keys() {
        let schema: Value = serde_json::from_str(&render_stack()).unwrap();
        let part = |place: &str| &schema["properties"][place];
        for (name, keys) in STACK_KEYS {
            let table = match name {
                "" => &schema,
                ONE_IMAGE => &part("images")["additionalProperties"],
                ONE_ROLE => &part("roles")["additionalProperties"],
                ONE_CHECK => &part(ONE_UNIT)["items"]["properties"]["check"],
                list => &part(list)["items"],
            };
            // What may be absent is one of two.
            let table = table["anyOf"].as_array().map_or(table, |any| &any[0]);
            let known: BTreeSet<&str> =
                table["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(known, keys.iter().copied().collect(), "{name}");
            assert_eq!(table["additionalProperties"], false, "{name}");
            for key in keys {
                assert!(table["properties"][key]["description"].is_string(), "`{key}` has no comment");
            }
        }
    }

    #[test]
    fn parser_and_schema_know_the_same_keys() {
        let schema: Value = serde_json::from_str(&render()).unwrap();
        for (name, keys) in KEYS {
            let table = match name {
                "" => &schema,
                ONE_IMAGE => &schema["properties"]["images"]["additionalProperties"],
                table => &schema["properties"][table],
            };
            let known: BTreeSet<&str> =
                table["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(known, keys.iter().copied().collect());
            // Of metadata, every key but one is a node's name.
            if name != "metadata" {
                assert_eq!(table["additionalProperties"], false);
            }
            for key in keys {
                assert!(table["properties"][key]["description"].is_string(), "`{key}` has no comment");
            }
        }
    }
}
