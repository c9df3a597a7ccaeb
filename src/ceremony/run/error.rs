//! Why a ceremony stops.

use std::path::PathBuf;

use crate::ceremony::artefact::ArtefactError;
use crate::ceremony::exchange::ExchangeError;
use crate::ceremony::shares::{PaperError, ShareError};
use crate::ceremony::transcript::{LineError, ReadError, TranscriptError};
use crate::hsm::HsmError;
use crate::random::RandomError;

/// Why a ceremony stops.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The people ended it.
    #[error("the ceremony was ended at {at}: {reason}")]
    Aborted {
        /// The step or the prompt.
        at: String,
        /// What was said.
        reason: String,
    },
    /// A step cannot be done.
    #[error("step {step}: {problem}")]
    Step {
        /// The step.
        step: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Something outside of the steps is not as the plan wants it.
    #[error("{0}")]
    Refused(String),
    /// Nobody answers.
    #[error("the terminal cannot be used: {0}; run the ceremony on a terminal")]
    Desk(String),
    /// A file.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// The HSM.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// The transcript.
    #[error(transparent)]
    Transcript(#[from] TranscriptError),
    /// An existing transcript.
    #[error("the transcript is not whole: {0}")]
    Read(#[from] ReadError),
    /// A line of it.
    #[error(transparent)]
    Line(#[from] LineError),
    /// Something that is built or read.
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    /// Shares.
    #[error(transparent)]
    Shares(#[from] ShareError),
    /// Shares on paper.
    #[error(transparent)]
    Paper(#[from] PaperError),
    /// An exchange message.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// OpenSSL.
    #[error("OpenSSL: {0}")]
    OpenSsl(#[from] openssl::error::ErrorStack),
}

impl From<crate::pki::CertificateError> for RunError {
    fn from(e: crate::pki::CertificateError) -> Self {
        Self::Artefact(ArtefactError::Malformed(e.to_string()))
    }
}

impl From<der::Error> for RunError {
    fn from(e: der::Error) -> Self {
        Self::Artefact(ArtefactError::Encoding(e))
    }
}
