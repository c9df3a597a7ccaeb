//! What can be wrong with a CMS message, and the bounds that are checked first.

use super::ber::BerError;

/// Bounds on what a message may hold, checked before any cryptography (docs/scep.md row 53).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The whole message in bytes; 64 KiB by default.
    pub bytes: usize,
    /// Certificates, and CRLs likewise, beside the signature; 8 by default.
    pub certificates: usize,
    /// Signed attributes; 16 by default.
    pub attributes: usize,
    /// Recipients of an envelope; 8 by default.
    pub recipients: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 * 1024, certificates: 8, attributes: 16, recipients: 8 }
    }
}

/// Why a CMS message was not accepted. Nothing here depends on decrypted content.
#[derive(Debug, thiserror::Error)]
pub enum CmsError {
    /// The encoding is not even BER.
    #[error(transparent)]
    Ber(#[from] BerError),
    /// A structure is not what RFC 5652 defines; the text names it.
    #[error("{0}")]
    Malformed(String),
    /// More of something than [`Limits`] allows.
    #[error("the message holds more than {limit} {what}")]
    TooMany {
        /// What there is too much of, in the plural.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// An algorithm that is not supported; the text is what it is for and its OID.
    #[error("{purpose} {oid} is not supported")]
    UnknownAlgorithm {
        /// What the algorithm does in the message.
        purpose: &'static str,
        /// Its object identifier.
        oid: String,
    },
    /// The message is readable, but its signature or digest does not hold.
    #[error("{0}")]
    Integrity(String),
    /// OpenSSL refused an operation that depends on our own input.
    #[error("OpenSSL refuses: {0}")]
    OpenSsl(String),
    /// The source of randomness failed.
    #[error(transparent)]
    Random(#[from] crate::random::RandomError),
}

impl CmsError {
    /// A structure that is not what it should be.
    pub(crate) fn malformed(what: impl std::fmt::Display) -> Self {
        Self::Malformed(what.to_string())
    }
}

impl From<openssl::error::ErrorStack> for CmsError {
    fn from(e: openssl::error::ErrorStack) -> Self {
        Self::OpenSsl(e.to_string())
    }
}
