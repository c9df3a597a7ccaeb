//! Events of revocation and of everything else that a CA key signs.

use der::{Enumerated, Sequence};

use crate::ledger::{Bytes, Fingerprint};

/// A certificate's status changed (RFC 5280 section 5.3).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Revocation {
    /// Content octets of the serial number.
    pub serial: Bytes,
    /// Name of the issuer.
    pub issuer: String,
    /// CRLReason as RFC 5280 section 5.3.1 numbers it; 8 (removeFromCRL) ends a hold.
    pub reason: u8,
    /// The revocation date, in milliseconds since 1970.
    pub date: u64,
    /// When the key is thought to have been compromised, in milliseconds since 1970.
    #[asn1(context_specific = "0", optional = "true")]
    pub invalidity: Option<u64>,
    /// Who asked for it and why, in a few words.
    pub comment: String,
}

/// The write-ahead entry of anything that a CA key signs but a certificate: durable before the key
/// sees it (I2).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct SigningIntent {
    /// What will be signed.
    pub kind: SignedKind,
    /// Name of the issuer.
    pub issuer: String,
    /// The CRL number, where it is a CRL.
    #[asn1(context_specific = "0", optional = "true")]
    pub number: Option<u64>,
    /// SHA-256 of the bytes that will be signed.
    pub digest: Fingerprint,
    /// Their length in bytes.
    pub length: u64,
    /// The bytes themselves, where they fit into an entry.
    #[asn1(context_specific = "1", optional = "true")]
    pub content: Option<Bytes>,
}

/// What came of a [`SigningIntent`]: durable before it leaves the signer (I1).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct SignedObject {
    /// Sequence of the intent.
    pub intent: u64,
    /// SHA-256 of the finished object.
    pub digest: Fingerprint,
    /// Its length in bytes.
    pub length: u64,
    /// The signature.
    pub signature: Bytes,
}

/// What a CA key signs besides certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enumerated)]
#[repr(u8)]
pub enum SignedKind {
    /// A TBSCertList.
    Crl = 0,
    /// The signed attributes of a GetNextCACert reply.
    NextCaCertificate = 1,
    /// The TBSCertificate of a CA, RA or OCSP certificate.
    AuthorityCertificate = 2,
}
