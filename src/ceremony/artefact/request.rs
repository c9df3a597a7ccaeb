//! PKCS#10 requests (RFC 2986).

use super::ArtefactError;
use crate::pki::PublicKey;
use crate::pki::asn1::{context, element, sequence};

/// The CertificationRequestInfo in DER, without attributes.
pub fn request_info(subject: &[u8], key: &PublicKey) -> Result<Vec<u8>, ArtefactError> {
    let attributes = element(context(0, true), &[])?;
    Ok(sequence(&[&[0x02, 0x01, 0x00], subject, key.spki(), &attributes])?)
}
