//! The value of a subjectAltName. What is read is written back the same.
#![no_main]

use chancery::pki::GeneralName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(names) = GeneralName::parse_all(data) else { return };
    for name in &names {
        let _ = (name.claims_sid(), name.check_form(true), name.check_form(false));
        let _ = name.to_string();
    }
    let Ok(written) = GeneralName::encode_all(&names) else { return };
    assert_eq!(GeneralName::parse_all(&written).expect("its own encoding"), names);
});
