//! A whole pkiMessage, as the frontend and the signer read it. Where it is accepted and OpenSSL can read it,
//! OpenSSL must accept the signature too (t22).
#![no_main]

use chancery::cms::ber;
use chancery::scep::{AlgorithmPolicy, Limits, SignedRequest};
use libfuzzer_sys::fuzz_target;
use openssl::cms::{CMSOptions, CmsContentInfo};

/// Where OpenSSL is stricter, and not about the signature. The list of digests before the content is for
/// readers in one pass, which MAY refuse a signature whose digest is not in it (RFC 5652 section 5.1): here
/// it is not looked at. The signer's certificate is found here by the identifier of its key too.
const STRICTER: [&str; 3] =
    ["unknown digest algorithm", "no matching digest", "signer certificate not found"];

fuzz_target!(|data: &[u8]| {
    let Ok(request) = SignedRequest::parse(data, &Limits::default()) else { return };
    let _ = AlgorithmPolicy::default().check(&request);
    let _ = request.recipient(&[request.signer()], &AlgorithmPolicy::default());
    let Ok(der) = ber::to_der(data, 64 * 1024) else { panic!("read, and not BER") };
    // What the signature does not cover (the list of digests, other certificates) is skipped here, and
    // read there: only the verdicts are compared.
    let Ok(mut theirs) = CmsContentInfo::from_der(&der) else { return };
    let flags = CMSOptions::NO_SIGNER_CERT_VERIFY | CMSOptions::BINARY;
    if let Err(e) = theirs.verify(None, None, None, None, flags) {
        let said = e.to_string();
        let stricter = STRICTER.iter().any(|reason| said.contains(reason));
        assert!(stricter, "OpenSSL does not verify what we verify: {said}");
    }
});
