//! What a ceremony signs: certificates of CAs and RAs, requests, CRLs. Owns: the bytes before the
//! signature, the lints, the check of the path. Never: a private key. Built byte by byte from the
//! plan's own profiles, because rcgen loses repeated parts of names and knows no P-521, and a cross
//! certificate must repeat the name of the other CA as it stands.

mod attestation;
mod certificate;
mod crl;
mod lint;
mod path;
mod request;
mod subject;

#[cfg(test)]
mod tests;

pub use attestation::attestation;
pub use certificate::{CertificateTerms, tbs_certificate};
pub use crl::{CrlEntry, CrlTerms, PreviousCrl, lint_crl, tbs_crl};
pub use lint::{Finding, LintContext, Linted, lint_certificate};
pub use path::check_path;
pub use request::request_info;
pub use subject::{marked, name};

use crate::pki::{KeyKind, MlDsa};
use crate::ra::KeyPolicy;

/// What a ceremony asks of a key: more kinds are welcome than devices may bring.
pub fn key_policy() -> KeyPolicy {
    let mut policy = KeyPolicy::default();
    policy.curves.push(KeyKind::Ed25519);
    policy.curves.extend(MlDsa::ALL.map(KeyKind::MlDsa));
    policy
}

/// Why something could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    /// The subject's text.
    #[error("the subject «{text}» {problem}")]
    Subject {
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It does not fit into DER.
    #[error("it cannot be written: {0}")]
    Encoding(#[from] der::Error),
    /// A certificate or CRL that was read.
    #[error("{0}")]
    Malformed(String),
    /// The chain of certificates does not verify.
    #[error("the path does not verify: {0}")]
    Path(String),
}
