//! A PKCS#10, with all that is looked at in one before a certificate is planned.
#![no_main]

use chancery::pki::{CertificateRequest, GeneralName, NameRules, check_name, name};
use chancery::ra::KeyPolicy;
use libfuzzer_sys::fuzz_target;
use openssl::x509::X509Req;

fuzz_target!(|data: &[u8]| {
    let Ok(request) = CertificateRequest::from_der(data) else { return };
    let _ = request.challenge();
    let _ = request.validity_wish();
    let _ = name::display(request.subject());
    let _ = check_name(request.subject(), &NameRules::default());
    for extension in request.extensions() {
        let _ = GeneralName::parse_all(&extension.value);
    }
    let _ = KeyPolicy::default().check(request.public_key());
    if request.verify_possession().is_ok() {
        let theirs = X509Req::from_der(data).expect("OpenSSL reads what we read");
        let key = theirs.public_key().expect("OpenSSL reads the key");
        assert!(theirs.verify(&key).unwrap_or(false), "OpenSSL verifies what we verify");
    }
});
