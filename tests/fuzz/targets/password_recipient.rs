//! PasswordRecipientInfo: the bounds hold, and a password that is most often wrong gives a key all the same.
#![no_main]

use chancery::cms::{MAX_ITERATIONS, PasswordRecipient};
use chancery::secret::Secret;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(recipient) = PasswordRecipient::from_der(data) else { return };
    assert!((1..=MAX_ITERATIONS).contains(&recipient.iterations()));
    // The derivation is OpenSSL's, and only costs time here.
    if recipient.iterations() <= 64 {
        let key = recipient.content_key(&Secret::new(b"word".to_vec()), 16);
        assert!(key.is_ok_and(|key| key.len() == 16));
    }
});
