//! What demands mean, and which are refused.

use super::*;

fn needs_of(name: &str, lines: &str) -> Result<Needs, String> {
    let file = UnitFile::parse(&format!("[X-Fleet]\n{lines}\n")).unwrap();
    Needs::of(&UnitName::parse(name).unwrap(), &file).map_err(|error| error.to_string())
}

#[track_caller]
fn needs(lines: &str) -> Needs {
    needs_of("web@7.service", lines).unwrap()
}

#[track_caller]
fn refused(lines: &str, want: &str) {
    assert_eq!(needs_of("web@7.service", lines).unwrap_err(), want);
}

fn metadata(lines: &str) -> Vec<(String, Vec<String>)> {
    needs(lines).metadata.into_iter().map(|(key, values)| (key, values.into_iter().collect())).collect()
}

fn pair(key: &str, values: &[&str]) -> (String, Vec<String>) {
    (key.to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
}

#[test]
fn metadata_of_one_key_is_a_choice_and_other_keys_are_more_demands() {
    assert_eq!(metadata("MachineMetadata=a=1"), [pair("a", &["1"])]);
    assert_eq!(metadata("MachineMetadata=\"a=1\" \"b=2\""), [pair("a", &["1"]), pair("b", &["2"])]);
    assert_eq!(metadata("MachineMetadata=a=1\nX-ConditionMachineMetadata=a=2"), [pair("a", &["1", "2"])]);
    assert_eq!(metadata("MachineMetadata=hostname=%p-%i"), [pair("hostname", &["web-7"])]);
    assert_eq!(metadata("MachineMetadata=\"a=x y\""), [pair("a", &["x y"])]);
}

#[test]
fn a_template_may_leave_open_what_its_instances_fill_in() {
    let needs = needs_of("web@.service", "MachineMetadata=hostname=%i\nMachineOf=db@%i.service").unwrap();
    assert_eq!(needs.metadata["hostname"].iter().collect::<Vec<_>>(), ["%i"]);
    assert!(needs.machine_of.contains("db@%i.service"));
}

#[test]
fn malformed_metadata_is_refused_with_its_line() {
    let told = |value: &str| {
        format!(
            "line 3: MachineMetadata {value:?} is not KEY=VALUE; several are written \"KEY=VALUE\" \"KEY=VALUE\""
        )
    };
    for value in ["region=x disk=ssd", "a=b=c", "foo", "region = a", "=a", "a=", "\"a=1\"\t\"b=2\""] {
        let shown = split(value).pop().unwrap();
        refused(&format!("Global=no\nMachineMetadata={value}"), &told(&shown));
    }
}

#[test]
fn names_old_and_new_are_read() {
    assert_eq!(needs("MachineID=abc\nX-ConditionMachineID=def").machine_id.as_deref(), Some("abc"));
    assert_eq!(needs("X-ConditionMachineBootID=def").machine_id.as_deref(), Some("def"));
    let peers = needs("MachineOf=\"a.service\" \"b.service\"\nX-ConditionMachineOf=c-%i.service").machine_of;
    assert_eq!(peers.into_iter().collect::<Vec<_>>(), ["a.service", "b.service", "c-7.service"]);
    let conflicts = needs("Conflicts=a*.service b.service\nX-Conflicts=%p@*.service").conflicts;
    let shown: Vec<&str> = conflicts.iter().map(Pattern::as_str).collect();
    assert_eq!(shown, ["a*.service", "b.service", "web@*.service"]);
    assert!(needs("X-Global=true\nSomething=else") == Needs::default());
}

#[test]
fn the_last_global_counts_and_few_words_are_true() {
    for (lines, want) in [
        ("Global=true", true),
        ("Global=YES\nGlobal=1", true),
        ("Global=on\nGlobal=y", false),
        ("Global=T", true),
        ("Global=nonsense", false),
    ] {
        assert_eq!(needs(lines).is_global, want, "{lines}");
    }
}

#[test]
fn combinations_that_cannot_be_are_refused_in_the_words_of_fleet() {
    refused("MachineID=a\nMachineOf=b", "MachineID cannot be used with Peers");
    refused("MachineID=a\nConflicts=b", "MachineID cannot be used with Conflicts");
    refused("MachineID=a\nGlobal=true", "MachineID cannot be used with Global");
    refused("MachineID=a\nReplaces=b", "MachineID cannot be used with Replaces");
    refused("Global=true\nMachineOf=b", "Global cannot be used with Peers");
    refused("Global=true\nReplaces=b", "Global cannot be used with Replaces");
    refused("Conflicts=a\nReplaces=b", "Conflicts cannot be used with Replaces");
    refused(
        "MachineOf=a.service\nConflicts=a*",
        "unresolvable requirements: peer \"a.service\" matches conflict \"a*\"",
    );
    refused(
        "MachineOf=a.service\nReplaces=a*",
        "unresolvable requirements: peer \"a.service\" matches replace \"a*\"",
    );
    needs("Global=true\nMachineMetadata=a=1\nConflicts=x");
    needs("MachineID=a\nMachineMetadata=a=1");
    needs("MachineOf=b.service\nConflicts=a*");
}

#[test]
fn a_unit_never_conflicts_with_itself() {
    let needs = needs("Conflicts=web@*.service");
    assert!(needs.conflict_with("web@7.service", "web@7.service").is_none());
    assert_eq!(needs.conflict_with("web@7.service", "web@8.service").unwrap().as_str(), "web@*.service");
}

#[test]
fn our_own_section_is_read_strictly() {
    let needs = needs("[X-Lab]\nFence=true\nWeight=3\nMemory=512MiB");
    assert_eq!((needs.fence, needs.weight(), needs.memory()), (Some(true), 3, 512 << 20));
    refused("[X-Lab]\nFence=maybe", "line 3: Fence \"maybe\" is not true or false");
    refused("[X-Lab]\nWeight=0", "line 3: Weight \"0\" is not a number from 1 to 1000");
    refused("[X-Lab]\nMemory=much", "line 3: Memory \"much\" is not a size such as 512MiB");
}
