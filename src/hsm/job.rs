//! One operation on its way to a session and its answer back.

use std::sync::Arc;
use std::time::Instant;

use zeroize::Zeroizing;

use super::audit::Attributes;
use super::error::{HsmError, KeyProblem};
use super::keys::{Key, KeyPurpose};
use super::mechanism::{DecryptMechanism, SignMechanism};
use super::queue::{Queued, Rank};
use super::retry::{Class, Failure};
use crate::signing::KeyUseError;

/// What to do with a key.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// Sign this input.
    Sign(SignMechanism, Vec<u8>),
    /// Decrypt this ciphertext.
    Decrypt(DecryptMechanism, Vec<u8>),
    /// Find the key and read its attributes.
    Inspect,
}

/// What came of it.
pub(super) enum Output {
    /// A signature or a plaintext.
    Bytes(Zeroizing<Vec<u8>>),
    /// The audited attributes.
    Attributes(Attributes),
}

/// Why nothing came of it.
#[derive(Clone, Debug)]
pub(super) enum JobError {
    /// A call failed.
    Failed(Failure),
    /// The ciphertext was refused, or so it seems: C_Decrypt returned a code that an attacker can
    /// choose.
    CiphertextRefused,
    /// The HSM is away, and the text says how that showed.
    Away(String),
    /// The key is not there, or another.
    Key(KeyProblem),
    /// The token refuses the PIN.
    PinRefused(String),
    /// The queue is full.
    Busy,
    /// The deadline passed.
    Expired,
    /// The HSM is being closed.
    Closed,
    /// This build has no mechanism for that digest.
    NoMechanism,
}

/// An answer, and which thread gave it.
pub(super) struct Answer {
    pub(super) worker: usize,
    pub(super) output: Output,
}

pub(super) type Reply = Box<dyn FnOnce(Result<Answer, JobError>) + Send>;

/// One operation.
pub(super) struct Job {
    pub(super) key: Arc<Key>,
    pub(super) operation: Operation,
    pub(super) deadline: Instant,
    /// The thread whose answer was no good.
    pub(super) avoid: Option<usize>,
    pub(super) reply: Reply,
}

impl Queued for Job {
    fn avoids(&self) -> Option<usize> {
        self.avoid
    }

    fn rank(&self) -> Rank {
        match self.key.reference.purpose {
            KeyPurpose::CaSign | KeyPurpose::OcspSign | KeyPurpose::LogSign => Rank::Committed,
            KeyPurpose::RaSign => Rank::Reply,
            KeyPurpose::RaDecrypt => Rank::Intake,
        }
    }
}

impl From<JobError> for KeyUseError {
    fn from(error: JobError) -> Self {
        let away = |why: &str| Self::Unavailable(why.into());
        match error {
            JobError::Failed(failure) => match failure.class() {
                Class::Request => Self::Refused(failure.to_string()),
                _ => Self::Unavailable(failure.to_string()),
            },
            JobError::CiphertextRefused => away("the HSM did not decrypt"),
            JobError::Key(problem) => Self::Unavailable(problem.to_string()),
            JobError::PinRefused(cause) => {
                Self::Unavailable(format!("the token refuses the PIN ({cause})"))
            }
            JobError::Away(reason) => Self::Unavailable(reason),
            JobError::Busy => away("its queue is full"),
            JobError::Expired => away("it did not answer in time"),
            JobError::Closed => away("it is being closed"),
            JobError::NoMechanism => Self::Refused("there is no mechanism for this digest".into()),
        }
    }
}

impl JobError {
    /// As an error about `key` on `token`, for the start.
    pub(super) fn about(self, key: &str, token: &str, timeout: std::time::Duration) -> HsmError {
        let what = || format!("key {key} on token {token}");
        let problem = |problem| HsmError::Key { key: key.into(), token: token.into(), problem };
        match self {
            Self::Failed(failure) => HsmError::Call { what: what(), failure },
            Self::Key(it) => problem(it),
            Self::PinRefused(cause) => HsmError::PinRefused { token: token.into(), cause },
            Self::Busy | Self::Expired => HsmError::Timeout { what: what(), after: timeout },
            Self::CiphertextRefused | Self::Away(_) | Self::Closed | Self::NoMechanism => {
                problem(KeyProblem::SelfTest(KeyUseError::from(self).to_string()))
            }
        }
    }
}
