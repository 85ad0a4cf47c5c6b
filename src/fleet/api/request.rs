//! Bodies of requests, read as leniently as Go reads JSON: keys in any case, `null` as if it were not there.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::Refusal;
use crate::fleet::records::Phase;
use crate::fleet::unit::{UnitFile, UnitName, UnitOption};

/// Reads the first JSON value of a body; what follows it is not looked at, as with fleet.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let value = first_value(body)?;
    T::deserialize(value).map_err(|error| error.to_string())
}

/// Reads a body that is to be an object; `null` is an empty one.
pub(super) fn parse_object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let read = first_value(body).and_then(|value| match value {
        Value::Null => Ok(empty()),
        // Serde would take an array of fields too.
        Value::Array(_) => Err("expected an object and not an array".to_owned()),
        value => Ok(value),
    });
    let read = read.and_then(|value| T::deserialize(value).map_err(|error| error.to_string()));
    read.map_err(|error| Refusal::bad(format!("unable to decode body: {error}")))
}

fn first_value(body: &[u8]) -> Result<Value, String> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    values.next().ok_or("EOF")?.map(folded).map_err(|error| error.to_string())
}

/// Makes keys lower case, and takes out what says nothing.
fn folded(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let said = fields.into_iter().filter(|(_, value)| !value.is_null());
            said.map(|(key, value)| (key.to_ascii_lowercase(), folded(value))).collect()
        }
        Value::Array(items) => {
            let item = |item: Value| if item.is_null() { empty() } else { folded(item) };
            items.into_iter().map(item).collect()
        }
        value => value,
    }
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}

/// The body of `PUT /fleet/v1/units/NAME`. What is empty was not said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitRequest {
    pub name: UnitName,
    pub options: Vec<UnitOption>,
    /// Ours: the unit file byte for byte.
    pub text: String,
    pub desired: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UnitBody {
    name: String,
    options: Vec<UnitOption>,
    text: String,
    #[serde(rename = "desiredstate")]
    desired: String,
}

/// A unit file stands in two records that one transaction writes, of which etcd takes 1.5 MiB.
const LONGEST_WRITTEN: usize = 640 << 10;

impl UnitRequest {
    /// Reads a body that came to the unit of a name.
    pub fn parse(name: &str, body: &[u8]) -> Result<Self, Refusal> {
        let body: UnitBody = parse_object(body)?;
        if !body.name.is_empty() && body.name != name {
            return Err(Refusal::bad(format!(
                "name in URL {name:?} differs from unit name in request body {:?}",
                body.name
            )));
        }
        let name = UnitName::parse(name).map_err(|error| Refusal::bad(error.to_string()))?;
        Ok(Self { name, options: body.options, text: body.text, desired: body.desired })
    }

    /// Returns the unit file that is asked for, if one is.
    pub(super) fn file(&self) -> Result<Option<UnitFile>, Refusal> {
        let told = (!self.options.is_empty()).then(|| written(&self.options)).transpose()?;
        if self.text.is_empty() {
            return Ok(told);
        }
        let file = parse_file(&self.text)?;
        if file.options().is_empty() {
            return Err(Refusal::bad("the text has no options"));
        }
        if told.is_some_and(|told| told.hash() != file.hash()) {
            return Err(Refusal::bad("the text says something else than the options"));
        }
        Ok(Some(file))
    }

    pub(super) fn desired(&self) -> Result<Option<Phase>, Refusal> {
        let said = (!self.desired.is_empty()).then(|| self.desired.parse::<Phase>());
        said.transpose().map_err(|error| Refusal::bad(error.to_string()))
    }
}

fn parse_file(text: &str) -> Result<UnitFile, Refusal> {
    let bad = |message: String| Refusal::bad(message);
    let file = UnitFile::parse(text).map_err(|error| bad(error.to_string()))?;
    let length = serde_json::to_string(text).map_or(usize::MAX, |written| written.len());
    if length > LONGEST_WRITTEN {
        return Err(bad(format!(
            "the file needs {length} bytes in the registry; no more than {LONGEST_WRITTEN} are taken"
        )));
    }
    Ok(file)
}

/// Makes a file of options. It is read again, as it will be from now on: a value may hold what means
/// something else in a file.
fn written(options: &[UnitOption]) -> Result<UnitFile, Refusal> {
    let file = UnitFile::from_options(options.to_vec()).map_err(|error| Refusal::bad(error.to_string()))?;
    let file = parse_file(file.text())?;
    if file.options().is_empty() {
        return Err(Refusal::bad("the options make no unit file"));
    }
    Ok(file)
}

/// The body of `PUT /fleet/v1/units/NAME/machine`.
#[derive(Deserialize)]
pub(super) struct MoveBody {
    pub machineid: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &str) -> Result<UnitRequest, Refusal> {
        UnitRequest::parse("a.service", body.as_bytes())
    }

    #[track_caller]
    fn refused(body: &str, want: &str) {
        let refusal = parsed(body).and_then(|request| request.file().map(drop)).unwrap_err();
        assert_eq!((refusal.status, refusal.message.as_str()), (400, want), "{body}");
    }

    #[test]
    fn keys_have_any_case_and_null_says_nothing() {
        let loose = r#"{"NAME":"a.service","Options":[{"Section":"S","nAme":"N","VALUE":"v"},null],
            "desiredstate":"launched","currentState":7,"machineID":null,"more":[{}]} and more"#;
        let request = parsed(loose).unwrap();
        assert_eq!((request.desired.as_str(), request.text.as_str()), ("launched", ""));
        let option = |section: &str, name: &str, value: &str| UnitOption {
            section: section.into(),
            name: name.into(),
            value: value.into(),
        };
        assert_eq!(request.options, [option("S", "N", "v"), option("", "", "")]);
        for nothing in ["{}", "null", r#"{"name":null,"options":null}"#] {
            let request = parsed(nothing).unwrap();
            assert_eq!((request.file(), request.desired()), (Ok(None), Ok(None)), "{nothing}");
        }
    }

    #[test]
    fn bodies_that_cannot_be_read_are_refused() {
        refused("", "unable to decode body: EOF");
        for body in ["{", "[]", "7", r#"{"options":{}}"#, r#"{"options":[7]}"#, r#"{"desiredState":7}"#] {
            let message = parsed(body).unwrap_err().message;
            assert!(message.starts_with("unable to decode body: "), "{body}: {message}");
        }
        let other = r#"name in URL "a.service" differs from unit name in request body "b.service""#;
        refused(r#"{"name":"b.service"}"#, other);
    }

    #[test]
    fn a_text_is_read_and_has_to_fit_to_the_options() {
        let both = r##"{"text":"# c\n[S]\nN = v\n","options":[{"section":"S","name":"N","value":"v"}]}"##;
        let file = parsed(both).unwrap().file().unwrap().unwrap();
        assert_eq!((file.text(), file.canonical().as_str()), ("# c\n[S]\nN = v\n", "[S]\nN=v\n"));
        refused(&both.replace("\"v\"", "\"w\""), "the text says something else than the options");
        refused(r#"{"text":"[S"}"#, "line 1: unable to find end of section");
        refused(r##"{"text":"# nothing\n"}"##, "the text has no options");
        refused(
            r#"{"options":[{"section":"a]","name":"N"}]}"#,
            "line 1: found garbage after section name a: \"]\"",
        );
        let escaped = serde_json::json!({ "text": format!("[S]\nN={}\n", "\u{1}".repeat(200 << 10)) });
        let message = parsed(&escaped.to_string()).unwrap().file().unwrap_err().message;
        assert!(message.starts_with("the file needs "), "{message}");
    }

    #[test]
    fn options_are_kept_as_a_file_says_them() {
        let odd = r#"{"options":[{"section":"S","name":"N","value":" v \nM=w"}]}"#;
        let file = parsed(odd).unwrap().file().unwrap().unwrap();
        assert_eq!(file.canonical(), "[S]\nN=v\nM=w\n");
    }
}
