//! Why a certificate of the CA could not be made.

use crate::issuance::IssuerError;
use crate::pki::{CertificateError, KeyKind, SignatureAlgorithm, SignatureError};
use crate::random::RandomError;

/// Why a certificate of the CA could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The subject's text.
    #[error(
        "the subject's {0} must be 1 to 64 characters without controls (a country: two capital letters)"
    )]
    Subject(&'static str),
    /// The key and its algorithm.
    #[error(
        "a {0} key that signs with {1} cannot be used here; use RSA with SHA-256, SHA-384 or SHA-512, P-256 with SHA-256 or P-384 with SHA-384"
    )]
    Algorithm(KeyKind, SignatureAlgorithm),
    /// The subject's key cannot do what the certificate is for.
    #[error("a {0} key cannot be used here; {1}")]
    Key(KeyKind, &'static str),
    /// The issuer's name is more than rcgen can write.
    #[error(
        "the issuer's name «{0}» has an attribute type twice, several values in one part, or a string that is no text; such a CA's certificates must be made elsewhere and imported"
    )]
    IssuerName(String),
    /// The issuer.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The validity.
    #[error("the validity is empty, or reaches past the year 9999, or the issuer is not valid now")]
    Validity,
    /// The signer's key is not the issuer's.
    #[error("the key that should sign is not the one in the issuer's certificate")]
    OtherKey,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The key did not sign.
    #[error("the key did not sign: {0}")]
    Signer(String),
    /// rcgen refused.
    #[error("the certificate could not be written: {0}")]
    Encoding(String),
    /// The result is not as asked.
    #[error("the new certificate is not as it should be: {0}")]
    Result(String),
}

impl From<CertificateError> for BootstrapError {
    fn from(e: CertificateError) -> Self {
        Self::Result(e.to_string())
    }
}

impl From<SignatureError> for BootstrapError {
    fn from(e: SignatureError) -> Self {
        Self::Result(e.to_string())
    }
}
