//! What is decided of a unit, and that no sequence of requests leaves the registry in pieces.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::kit::{Server, global, hello, option};
use crate::fleet::api::{Refusal, UnitRequest, decide};
use crate::fleet::records::{MachineId, Phase, UnitRecord};
use crate::fleet::registry::{Key, Op};

fn request(name: &str, body: &Value) -> UnitRequest {
    UnitRequest::parse(name, body.to_string().as_bytes()).unwrap()
}

fn record(word: &str, desired: Phase, machine: Option<&str>) -> UnitRecord {
    let machine = machine.map(MachineId::new);
    let wish = machine.as_ref().map(|_| MachineId::new("m2"));
    UnitRecord { text: format!("[Service]\nExecStart=/bin/echo {word}\n"), desired, stops: 3, machine, wish }
}

/// Spells what is written as `+key` and what is deleted as `-key`.
fn spelled(ops: &[Op]) -> Vec<String> {
    let root = Key::All.to_string();
    let spell = |op: &Op| match op {
        Op::Put { key, .. } => format!("+{}", key.replace(&root, "")),
        Op::Delete { key } => format!("-{}", key.replace(&root, "")),
        Op::DeletePrefix { prefix } => format!("-{prefix}*"),
    };
    ops.iter().map(spell).collect()
}

#[track_caller]
fn check(existing: Option<&UnitRecord>, body: &Value, want: (u16, Phase, u64, &[&str])) {
    let change = decide(existing, &request("a.service", body)).unwrap();
    let after = change.after.unwrap();
    let (status, desired, stops, ops) = want;
    assert_eq!((change.status, after.desired, after.stops), (status, desired, stops), "{body}");
    assert_eq!(spelled(&change.ops), ops, "{body}");
}

#[test]
fn a_request_becomes_one_transaction() {
    use Phase::{Inactive, Launched, Loaded};
    let lone = ["+unit/a.service"];
    let placed = ["+unit/a.service", "+target/m1/a.service"];
    let everywhere = ["+unit/a.service", "+global/a.service"];
    let made = json!({ "options": hello("a") });
    check(None, &made, (201, Inactive, 0, &lone));
    check(None, &json!({ "options": hello("a"), "desiredState": "launched" }), (201, Launched, 0, &lone));
    check(None, &json!({ "options": global() }), (201, Inactive, 0, &everywhere));

    let here = record("a", Launched, Some("m1"));
    check(Some(&here), &json!({ "desiredState": "launched" }), (204, Launched, 3, &placed));
    check(Some(&here), &json!({ "desiredState": "loaded" }), (204, Loaded, 4, &placed));
    check(Some(&here), &json!({ "desiredState": "inactive" }), (204, Inactive, 4, &placed));
    check(
        Some(&here),
        &json!({ "options": hello("a"), "desiredState": "loaded" }),
        (204, Loaded, 4, &placed),
    );
    check(Some(&here), &json!({ "options": hello("b") }), (201, Inactive, 4, &placed));
    check(
        Some(&here),
        &json!({ "options": hello("b"), "desiredState": "launched" }),
        (201, Launched, 3, &placed),
    );
    let spread = ["+unit/a.service", "+global/a.service", "-target/m1/a.service"];
    check(Some(&here), &json!({ "options": global() }), (201, Inactive, 4, &spread));

    let loaded = record("a", Loaded, None);
    check(Some(&loaded), &json!({ "desiredState": "inactive" }), (204, Inactive, 3, &lone));
    check(Some(&loaded), &json!({ "desiredState": "launched" }), (204, Launched, 3, &lone));

    let text = "[Service]\nExecStart=/bin/true\n[X-Fleet]\nGlobal=true\n".to_owned();
    let spread = UnitRecord { text, ..record("a", Launched, None) };
    check(Some(&spread), &json!({ "desiredState": "loaded" }), (204, Loaded, 4, &everywhere));
    let gathered = ["+unit/a.service", "-global/a.service"];
    check(Some(&spread), &json!({ "options": hello("a") }), (201, Inactive, 4, &gathered));
}

#[test]
fn the_first_complaint_is_that_of_fleet() {
    let refused = |existing: Option<&UnitRecord>, body: Value| {
        let Refusal { status, message } = decide(existing, &request("a.service", &body)).unwrap_err();
        format!("{status} {message}")
    };
    let here = record("a", Phase::Launched, None);
    let bad = json!([option("X-Fleet", "MachineMetadata", "x")]);
    // Options come before the state, and a state is only looked at where there is something to be in it.
    assert!(refused(None, json!({ "options": bad, "desiredState": "x" })).starts_with("400 line 2"));
    assert!(refused(Some(&here), json!({ "options": bad })).starts_with("400 line 2"));
    assert!(refused(None, json!({ "desiredState": "x" })).starts_with("409 unit does not exist"));
    assert!(refused(Some(&here), json!({ "desiredState": "x" })).starts_with("400 invalid unit state"));
}

const NAMES: [&str; 4] = ["a.service", "b@.service", "b@1.service", "c.timer"];

#[derive(Debug, Clone)]
enum Step {
    Put { name: &'static str, body: Value },
    Delete { name: &'static str },
    Move { name: &'static str, to: &'static str },
    Say { machine: &'static str, op: &'static str },
    Schedule { machine: &'static str },
    Forget { machine: &'static str },
    Settle,
}

fn contents() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(json!({})),
        2 => Just(json!({ "options": hello("a") })),
        1 => Just(json!({ "options": hello("b") })),
        2 => Just(json!({ "options": global() })),
        1 => Just(json!({ "text": "; c\n[Service]\nExecStart=/bin/echo a\n" })),
        1 => Just(json!({ "text": "[X-Fleet]\nGlobal=1\n\n# end" })),
        1 => Just(json!({ "options": [option("X-Fleet", "MachineMetadata", "x")] })),
        1 => Just(json!({ "options": [option("S", "a\n[T]", "b"), option("S]", "[", "=\\")] })),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = || prop::sample::select(&NAMES[..]);
    let machine = || prop::sample::select(&["m1", "m2", "m3"][..]);
    let desired = prop::sample::select(&["", "inactive", "loaded", "launched", "bogus"][..]);
    let put = (name(), contents(), desired).prop_map(|(name, mut body, desired)| {
        body["desiredState"] = json!(desired);
        Step::Put { name, body }
    });
    let step = prop_oneof![
        8 => put,
        2 => name().prop_map(|name| Step::Delete { name }),
        2 => (name(), machine()).prop_map(|(name, to)| Step::Move { name, to }),
        1 => (machine(), prop::sample::select(&["add", "remove"][..])).prop_map(|(machine, op)| Step::Say { machine, op }),
        1 => machine().prop_map(|machine| Step::Schedule { machine }),
        1 => machine().prop_map(|machine| Step::Forget { machine }),
        3 => Just(Step::Settle),
    ];
    prop::collection::vec(step, 1..20)
}

/// Does a step; returns the status of the answer.
async fn take(server: &Server, step: &Step) -> u16 {
    let reply = match step {
        Step::Put { name, body } => server.put(&format!("units/{name}"), body).await,
        Step::Delete { name } => server.ask("DELETE", &format!("units/{name}")).await,
        Step::Move { name, to } => {
            server.put(&format!("units/{name}/machine"), &json!({ "machineID": to })).await
        }
        Step::Say { machine, op } => {
            let path = format!("/{machine}/metadata/k");
            server.patch(&json!([{ "op": op, "path": path, "value": "v" }])).await
        }
        Step::Schedule { machine } => {
            server.put(&format!("machines/{machine}"), &json!({ "scheduling": "drained" })).await
        }
        Step::Forget { machine } => server.ask("DELETE", &format!("machines/{machine}")).await,
        Step::Settle => {
            server.settle().await;
            return 200;
        }
    };
    reply.status
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_sequence_of_requests_leaves_the_registry_in_pieces(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::start().await;
            server.join("m2", "").await;
            for step in &steps {
                let before = server.registry.dump();
                let status = take(&server, step).await;
                assert!(status < 500, "{step:?}: {status}");
                server.is_sound();
                if status >= 400 {
                    assert_eq!(server.registry.dump(), before, "{step:?}");
                }
                if let Step::Put { name, body } = step && status < 300 {
                    let shown = server.get(&format!("units/{name}")).await.found();
                    let asked = body["desiredState"].as_str().filter(|word| !word.is_empty());
                    assert_eq!(shown["desiredState"], asked.unwrap_or("inactive"), "{step:?}");
                }
            }
        });
    }
}
