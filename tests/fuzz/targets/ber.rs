//! BER made DER, the first code that strangers' bytes meet. What comes out is DER, and no longer than what
//! went in by more than minimal lengths can cost.
#![no_main]

use chancery::cms::ber;
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 64 * 1024;

fuzz_target!(|data: &[u8]| {
    let Ok(der) = ber::to_der(data, LIMIT) else { return };
    assert!(der.len() <= data.len(), "{} bytes became {}", data.len(), der.len());
    assert_eq!(ber::to_der(&der, LIMIT).as_deref(), Ok(der.as_slice()), "DER stays what it is");
});
