//! The small contents of RFC 8894: what CertPoll, GetCert and GetCRL carry, and the attributes' values.
#![no_main]

use chancery::scep::{IssuerAndSerialNumber, IssuerAndSubject, MessageType, Nonce, TransactionId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(content) = IssuerAndSubject::from_der(data) {
        let _ = content.mentions(data);
    }
    if let Ok(content) = IssuerAndSerialNumber::from_der(data) {
        assert!(!content.issuer().is_empty());
    }
    if let Some(known) = MessageType::from_text(data) {
        assert_eq!(known.as_str().as_bytes(), data);
    }
    if let Some(nonce) = Nonce::new(data) {
        assert_eq!(nonce.as_bytes(), data);
    }
    if let Some((string_type, bytes)) = data.split_first()
        && let Some(id) = TransactionId::from_parts(*string_type, bytes)
    {
        assert_eq!(id.as_bytes(), bytes);
    }
});
