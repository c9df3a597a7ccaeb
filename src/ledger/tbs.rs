//! A quick look at what the indexes need of a TBSCertificate. `pki::Certificate` reads the same
//! but checks the key too, which is a hundred times slower than a rebuild of the indexes can bear;
//! what stands in the ledger was checked before it was written.

use der::asn1::{BitStringRef, GeneralizedTime, ObjectIdentifier, UtcTime};
use der::{AnyRef, Decode, Encode, Reader, SliceReader, Tag, Tagged};

use crate::pki::{SignatureAlgorithm, SignatureError};

/// The parts of a TBSCertificate that are indexed.
pub(super) struct Tbs<'a> {
    /// Content octets of the serial number.
    pub(super) serial: &'a [u8],
    /// The last second of validity, in seconds since 1970.
    pub(super) not_after: u64,
    /// The subject's Name in DER.
    pub(super) subject: &'a [u8],
    /// The SubjectPublicKeyInfo in DER.
    pub(super) public_key: &'a [u8],
}

impl<'a> Tbs<'a> {
    /// Reads a TBSCertificate in DER.
    pub(super) fn read(der: &'a [u8]) -> der::Result<Self> {
        let mut reader = body(der)?;
        if reader.peek_byte() == Some(0xa0) {
            reader.tlv_bytes()?; // version
        }
        let serial = AnyRef::decode(&mut reader)?;
        serial.tag().assert_eq(Tag::Integer)?;
        reader.tlv_bytes()?; // signature
        reader.tlv_bytes()?; // issuer
        let mut validity = body(reader.tlv_bytes()?)?;
        validity.tlv_bytes()?;
        let not_after = AnyRef::decode(&mut validity)?;
        let not_after = match not_after.tag() {
            Tag::UtcTime => not_after.decode_as::<UtcTime>()?.to_unix_duration(),
            _ => not_after.decode_as::<GeneralizedTime>()?.to_unix_duration(),
        };
        let subject = reader.tlv_bytes()?;
        let public_key = reader.tlv_bytes()?;
        Ok(Self { serial: serial.value(), not_after: not_after.as_secs(), subject, public_key })
    }

    /// Reads the TBSCertificate of a certificate in DER.
    pub(super) fn of_certificate(der: &'a [u8]) -> der::Result<Self> {
        Self::read(tbs_of(der)?)
    }
}

/// The three parts of a certificate.
pub(super) struct Signed<'a> {
    /// The TBSCertificate in DER.
    pub(super) content: &'a [u8],
    algorithm: &'a [u8],
    /// The octets of the signature.
    pub(super) signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Reads a certificate in DER.
    pub(super) fn read(der: &'a [u8]) -> der::Result<Self> {
        let mut reader = body(der)?;
        let (content, algorithm) = (reader.tlv_bytes()?, reader.tlv_bytes()?);
        let signature = BitStringRef::decode(&mut reader)?.as_bytes().unwrap_or_default();
        reader.finish()?;
        Ok(Self { content, algorithm, signature })
    }

    /// The algorithm of the signature.
    pub(super) fn algorithm(&self) -> Result<SignatureAlgorithm, SignatureError> {
        let unknown = |e: der::Error| SignatureError::UnknownAlgorithm(e.to_string());
        let mut reader = body(self.algorithm).map_err(unknown)?;
        let oid = ObjectIdentifier::decode(&mut reader).map_err(unknown)?;
        let parameters = Option::<AnyRef<'_>>::decode(&mut reader).map_err(unknown)?;
        let parameters = parameters.map(|p| p.to_der()).transpose().map_err(unknown)?;
        SignatureAlgorithm::from_identifier(oid, parameters.as_deref())
    }
}

/// The TBSCertificate within a certificate in DER.
pub(super) fn tbs_of(certificate: &[u8]) -> der::Result<&[u8]> {
    body(certificate)?.tlv_bytes()
}

/// A reader over the content of a SEQUENCE.
fn body(der: &[u8]) -> der::Result<SliceReader<'_>> {
    let any = AnyRef::from_der(der)?;
    any.tag().assert_eq(Tag::Sequence)?;
    SliceReader::new(any.value())
}
