//! A whole pkiMessage, as the frontend and the signer read it. Where it is accepted, OpenSSL must accept the
//! signature too (t22).
#![no_main]

use chancery::cms::ber;
use chancery::scep::{AlgorithmPolicy, Limits, SignedRequest};
use libfuzzer_sys::fuzz_target;
use openssl::cms::{CMSOptions, CmsContentInfo};

fuzz_target!(|data: &[u8]| {
    let Ok(request) = SignedRequest::parse(data, &Limits::default()) else { return };
    let _ = AlgorithmPolicy::default().check(&request);
    let _ = request.recipient(&[request.signer()], &AlgorithmPolicy::default());
    let Ok(der) = ber::to_der(data, 64 * 1024) else { panic!("read, and not BER") };
    let mut theirs = CmsContentInfo::from_der(&der).expect("OpenSSL reads what we read");
    let flags = CMSOptions::NO_SIGNER_CERT_VERIFY | CMSOptions::BINARY;
    match theirs.verify(None, None, None, None, flags) {
        // The list of digests before the content is for readers in one pass (RFC 5652 section 5.1): it is
        // not looked at here, and OpenSSL stops at one that it does not know.
        Err(e) if e.to_string().contains("unknown digest algorithm") => {}
        other => other.expect("OpenSSL verifies what we verify"),
    }
});
