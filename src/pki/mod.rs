//! X.509 and PKCS#10 as values: names, keys, certificates, requests, signatures (RFC 5280,
//! RFC 2986). Owns: reading them tolerantly, writing them strictly, checking signatures in
//! software. Never: a private key, a clock, randomness that it was not handed, a file.

pub mod crl;
pub mod extension;
pub mod name;
mod name_text;

pub(crate) mod asn1;
mod certificate;
mod csr;
mod digest;
mod general_name;
mod ml_dsa;
mod name_rules;
mod public_key;
mod serial;
mod signature;
mod time;
mod validity_wish;

#[cfg(test)]
pub(crate) mod tests;

pub use certificate::{Certificate, CertificateError, Extension};
pub use csr::{CertificateRequest, ChallengeError, CsrError};
pub use digest::Digest;
pub use general_name::{GeneralName, GeneralNameError, GeneralNameKind};
pub use ml_dsa::MlDsa;
pub use name_rules::{AttributeProblem, NameRuleError, NameRules, check as check_name};
pub use name_text::parse as parse_name;
pub use public_key::{KeyError, KeyKind, PublicKey};
pub use serial::SerialNumber;
pub use signature::{SignatureAlgorithm, SignatureError};
pub use time::x509_time;

/// What X.509 calls SIGNED: `tbs` (in DER), the algorithm's identifier and the signature, in one
/// SEQUENCE. Fails for contents over 256 MiB.
pub fn signed(tbs: &[u8], algorithm: SignatureAlgorithm, signature: &[u8]) -> der::Result<Vec<u8>> {
    let bits = asn1::element(der::Tag::BitString, &[&[0], signature])?;
    asn1::sequence(&[tbs, &algorithm.identifier_der(), &bits])
}

/// PEM text of `der` under `label`, with lines of 64 characters and a final newline (RFC 7468).
pub fn pem(label: &str, der: &[u8]) -> String {
    // The label is ours and always valid, so the writer cannot refuse it.
    der::pem::encode_string(label, der::pem::LineEnding::LF, der).unwrap_or_default()
}
