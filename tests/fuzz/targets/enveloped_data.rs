//! EnvelopedData, up to its content under a key that is most often wrong.
#![no_main]

use chancery::cms::{ContentCipher, EnvelopedData, Limits, Recipient};
use chancery::pki::CertificateRequest;
use chancery::secret::Secret;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(envelope) = EnvelopedData::from_ber(data, &Limits::default()) else { return };
    assert!(envelope.recipients().len() <= Limits::default().recipients);
    for recipient in envelope.recipients() {
        if let Recipient::KeyTransport(recipient) = recipient {
            let _ = recipient.transport();
        }
    }
    let ContentCipher::Known(cipher, _) = envelope.cipher() else { return };
    let opened = envelope.open(&Secret::new(vec![0x42; cipher.key_len()]));
    if let Err(e) = opened.read(CertificateRequest::from_der) {
        assert_eq!(e.to_string(), "the envelope could not be opened");
    }
});
