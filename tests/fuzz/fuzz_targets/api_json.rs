//! Whatever a request holds: it is refused as a bad one, or what is decided of it is whole.

#![no_main]

use lab::fleet::api::{Patch, UnitRequest, decide};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Err(refusal) = Patch::parse(body) {
        assert_eq!(refusal.status, 400);
    }
    let request = match UnitRequest::parse("a.service", body) {
        Ok(request) => request,
        Err(refusal) => return assert_eq!(refusal.status, 400),
    };
    match decide(None, &request) {
        Ok(made) => {
            let record = made.after.expect("what is made is there");
            // The same once more makes no new unit of it.
            let again = decide(Some(&record), &request);
            assert!(again.is_ok_and(|change| change.status == 204) || request.desired.is_empty());
        }
        Err(refusal) => assert!([400, 409].contains(&refusal.status)),
    }
});
