//! Why the signer does not start, or ends.

use std::path::PathBuf;

use crate::hsm::HsmError;
use crate::issuance::{IssuerError, ProfileError};
use crate::ledger::{LedgerError, StoreError};
use crate::pki::CertificateError;
use crate::ra::{ChallengeError, SealError};
use crate::telemetry::metrics::MetricsError;
use crate::wire::ServeError;

/// Why the signer does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The metrics cannot be made.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A certificate's file cannot be used.
    #[error("the certificate file {} cannot be used: {cause}", path.display())]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// A certificate does not fit its place.
    #[error("the certificate {} of {place} cannot be used: {cause}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Its place in the configuration.
        place: String,
        /// Why, and what to do.
        cause: String,
    },
    /// A CA's certificate or chain does not hold.
    #[error("[ca.{ca}]: {cause}")]
    Issuer {
        /// The CA's name.
        ca: String,
        /// Why.
        cause: IssuerError,
    },
    /// Two purposes share a key.
    #[error(
        "the {0} is also the {1}; each purpose has a key of its own (I4): make one with `chancery init` or in a ceremony"
    )]
    SharedKey(String, String),
    /// A profile cannot be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Profile(Vec<ProfileError>),
    /// A list of known keys cannot be used.
    #[error("the key blocklist {} cannot be used: {cause}", path.display())]
    KeyBlocklist {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The HSM or one of its keys cannot be used.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The challenge key cannot be used.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    /// A CA's CRL cannot be kept.
    #[error("the CRL file {} cannot be read: {cause}", path.display())]
    Crl {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The key of the seal over requests cannot be used.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A user in the configuration does not exist.
    #[error("{key}: this host has no user \"{user}\"; create it or correct the configuration")]
    NoSuchUser {
        /// Where the configuration names it.
        key: String,
        /// Its name.
        user: String,
    },
    /// A socket cannot be opened.
    #[error("the socket {} cannot be opened: {cause}", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// A socket failed while serving.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Only a new process can reach the token again.
    #[error(
        "the module of token {0} does not recover by itself; the process ends to be started again"
    )]
    RestartNeeded(String),
    /// A thread of the HSM did not come back from its module. The ledger is closed.
    #[error("the PKCS#11 module hangs in a call; the ledger is closed, the process is ended hard")]
    ModuleHangs,
    /// The seal's key is missing; the command line hands it in where no token derives it.
    #[error("no key of the seal was handed over")]
    NoSeal,
    /// A secret is missing; the command line hands all of them in.
    #[error("no PIN was handed over for token {0}")]
    NoPin(String),
}

impl From<StoreError> for SignerError {
    fn from(e: StoreError) -> Self {
        Self::Ledger(e.into())
    }
}

impl SignerError {
    pub(super) fn file(path: &std::path::Path) -> impl FnOnce(CertificateError) -> Self {
        let path = path.to_owned();
        move |e| Self::CertificateFile { path, cause: e.to_string() }
    }
}
