//! A certificate, as it comes with a request.
#![no_main]

use chancery::pki::{Certificate, name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Certificate::all_from_pem(data);
    let Ok(certificate) = Certificate::from_der(data) else { return };
    assert_eq!(certificate.der(), data);
    let _ = (certificate.key_usage(), certificate.subject_key_identifier());
    let _ = (name::display(certificate.subject()), name::normalised(certificate.issuer()));
    let _ = certificate.verify_signature(certificate.public_key());
    let again = Certificate::from_pem(certificate.to_pem().as_bytes());
    assert_eq!(again.expect("its own PEM"), certificate);
});
