//! `PATCH /fleet/v1/machines`: metadata that is said of machines while they run. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::answer::Refusal;
use super::request::parse;
use crate::fleet::records::MachineId;

/// What is to be said of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub machine: MachineId,
    pub key: String,
    /// Empty takes the key away, whatever the machine's configuration says.
    pub value: String,
}

/// Everything that one request says, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch(Vec<Edit>);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Step {
    op: String,
    path: String,
    value: Value,
}

/// fleet's server takes an object here, its documentation says that it is a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Object {
        #[serde(default)]
        value: String,
    },
}

impl Default for Value {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Value {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Object { value: text } => text,
        }
    }
}

/// etcd takes 128 operations in a transaction unless it is told otherwise.
const MOST_MACHINES: usize = 100;

impl Patch {
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        // A body of `null` is no step, like an empty array.
        let steps: Option<Vec<Step>> = parse(body).map_err(Refusal::bad)?;
        let edits = steps.unwrap_or_default().into_iter().map(edit).collect::<Result<_, _>>()?;
        let patch = Self(edits);
        match patch.by_machine().len() {
            0..=MOST_MACHINES => Ok(patch),
            _ => Err(Refusal::bad(format!("no more than {MOST_MACHINES} machines can be changed at once"))),
        }
    }

    /// Returns what is said of each machine in the end.
    pub fn by_machine(&self) -> BTreeMap<MachineId, BTreeMap<String, String>> {
        let mut machines: BTreeMap<MachineId, BTreeMap<String, String>> = BTreeMap::new();
        for Edit { machine, key, value } in &self.0 {
            machines.entry(machine.clone()).or_default().insert(key.clone(), value.clone());
        }
        machines
    }
}

fn edit(step: Step) -> Result<Edit, Refusal> {
    if !["add", "remove", "replace"].contains(&step.op.as_str()) {
        return Err(Refusal::bad("invalid op: expect add, remove, or replace"));
    }
    let (machine, key) =
        parse_path(&step.path).ok_or_else(|| Refusal::bad("machine metadata path invalid"))?;
    let value = if step.op == "remove" { String::new() } else { step.value.into_text() };
    if value.is_empty() && step.op != "remove" {
        return Err(Refusal::bad("invalid value: add and replace require a value"));
    }
    Ok(Edit { machine, key: key.to_owned(), value })
}

/// Reads `/MACHINE/metadata/KEY`.
fn parse_path(path: &str) -> Option<(MachineId, &str)> {
    let (machine, key) = path.strip_prefix('/')?.split_once("/metadata/")?;
    let is_key = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let is_fit = !key.is_empty() && key.chars().all(is_key);
    machine_id(machine).filter(|_| is_fit).map(|machine| (machine, key))
}

/// Returns the id of a machine, if it can be one: part of a key, and so without what parts keys.
pub(super) fn machine_id(text: &str) -> Option<MachineId> {
    let is_one = !text.is_empty() && text.len() <= 256 && !text.contains('/');
    is_one.then(|| MachineId::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(body: &str, want: &str) {
        assert_eq!(Patch::parse(body.as_bytes()), Err(Refusal::bad(want)), "{body}");
    }

    #[test]
    fn the_last_word_on_a_key_counts() {
        let body = r#"[
            {"op":"add","path":"/m1/metadata/a.b_c-D","value":{"value":"1"}},
            {"OP":"replace","Path":"/m1/metadata/k","Value":{"VALUE":"2"}},
            {"op":"add","path":"/m2/metadata/k","value":"3"},
            {"op":"remove","path":"/m1/metadata/k","value":{"value":"ignored"}}
        ]"#;
        let patch = Patch::parse(body.as_bytes()).unwrap();
        let said: Vec<String> = patch
            .by_machine()
            .iter()
            .flat_map(|(machine, keys)| {
                keys.iter().map(move |(key, value)| format!("{machine} {key}={value}"))
            })
            .collect();
        assert_eq!(said, ["m1 a.b_c-D=1", "m1 k=", "m2 k=3"]);
        for nothing in ["[]", "null"] {
            assert_eq!(Patch::parse(nothing.as_bytes()).unwrap().by_machine().len(), 0);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_the_words_of_fleet() {
        let op = "invalid op: expect add, remove, or replace";
        refused(r#"[{"op":"noop","path":"/m/metadata/k","value":"v"}]"#, op);
        refused(r#"[{"op":"Add","path":"/m/metadata/k","value":"v"}]"#, op);
        refused("[null]", op);
        for path in [
            "",
            "/m/metadata/",
            "//metadata/k",
            "/m/metadata/a/b",
            "/a/m/metadata/k",
            "m/metadata/k",
            "/m/meta/k",
            "/m/metadata/a b",
        ] {
            let body = serde_json::json!([{ "op": "add", "path": path, "value": "v" }]).to_string();
            refused(&body, "machine metadata path invalid");
        }
        let value = "invalid value: add and replace require a value";
        for given in ["", r#","value":"""#, r#","value":{}"#, r#","value":{"value":""}"#, r#","value":null"#]
        {
            refused(&format!(r#"[{{"op":"replace","path":"/m/metadata/k"{given}}}]"#), value);
        }
        // One bad step spoils all of them.
        refused(r#"[{"op":"add","path":"/m/metadata/k","value":"v"},{"op":"x"}]"#, op);
        refused("", "EOF");
        for body in ["{}", "7", r#"[{"op":"add","path":"/m/metadata/k","value":7}]"#] {
            assert_eq!(Patch::parse(body.as_bytes()).unwrap_err().status, 400, "{body}");
        }
    }

    #[test]
    fn one_transaction_has_room_for_so_many_machines() {
        let body = |count: usize| {
            let step = |index| serde_json::json!({ "op": "add", "path": format!("/m{index}/metadata/k"), "value": "v" });
            (0..count).map(step).collect::<serde_json::Value>().to_string()
        };
        assert!(Patch::parse(body(100).as_bytes()).is_ok());
        refused(&body(101), "no more than 100 machines can be changed at once");
    }
}
