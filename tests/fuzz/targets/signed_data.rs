//! SignedData, and what is done with one before anything is believed.
#![no_main]

use chancery::cms::{Limits, SignedData};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(signed) = SignedData::from_ber(data, &Limits::default()) else { return };
    assert!(signed.certificates().len() <= Limits::default().certificates);
    let (Some(info), Ok(signer)) = (signed.signer(), signed.signer_certificate()) else { return };
    assert!(info.identifier().matches(&signer));
    let _ = info.digest();
    let content = signed.content().unwrap_or_default();
    let _ = info.verify(signed.content_type(), content, signer.public_key());
});
