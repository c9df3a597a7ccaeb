//! A CRL, as a ceremony brings it in.
#![no_main]

use chancery::pki::crl::Crl;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(list) = Crl::from_der(data) else { return };
    assert_eq!(list.der(), data);
    let _ = (list.this_update(), list.next_update(), list.number());
    let _ = list.revoked().count();
});
