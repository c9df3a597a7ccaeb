//! Distinguished names, in DER and as text.
#![no_main]

use chancery::pki::{NameRules, check_name, name, parse_name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = name::display(data);
    let _ = name::normalised(data);
    if check_name(data, &NameRules::default()).is_ok() {
        assert!(name::attributes(data).is_ok());
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(der) = parse_name(text)
    {
        name::attributes(&der).expect("a name that was written");
    }
});
