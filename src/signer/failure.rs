//! Why a SCEP message gets no certificate, and the one table that maps every reason to what leaves
//! the signer: failInfo and failInfoText (RFC 8894 section 3.2.1.4), or an HTTP answer.

use crate::issuance::IssuanceError;
use crate::ledger::{self, LedgerError};
use crate::ra::{OneTimeError, Refusal, TooManyGuesses};
use crate::random::RandomError;
use crate::scep::{FailInfo, RequestError};
use crate::signing::{KeyUseError, SigningError};

/// The kind of [`Failure::Guesses`].
pub(super) const TOO_MANY_GUESSES: &str = "too-many-guesses";
/// The kind of [`Failure::Queries`].
pub(super) const TOO_MANY_QUERIES: &str = "too-many-queries";
/// The kind of [`Failure::Unopened`].
pub(super) const TOO_MANY_UNOPENED: &str = "too-many-unopened";

/// How a message ended that got no certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// A signed FAILURE.
    Refused(Refused),
    /// Nothing signed can be said: HTTP 400 with this text.
    Unreadable(String),
    /// It waits for an officer: a signed PENDING.
    Pending,
    /// The queue is full: HTTP 503 with Retry-After.
    Busy,
    /// Too many wrong challenges came from there: HTTP 503 with Retry-After, whatever this one is.
    Guesses(TooManyGuesses),
    /// Too many queries for what is not there came from there: the same.
    Queries(TooManyGuesses),
    /// Too many envelopes from there could not be opened: HTTP 503 with Retry-After.
    Unopened(TooManyGuesses),
    /// HSM or ledger cannot work now: HTTP 503; the text is for the log.
    Unavailable(String),
}

/// A refusal that the requester is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) fail_info: FailInfo,
    /// What an administrator should change on the device; none where I7 forbids it.
    pub(super) text: Option<String>,
    /// The kind of refusal, for counters and logs: one of a closed set.
    pub(super) reason: &'static str,
    /// What only the log may say.
    pub(super) diagnosis: Option<String>,
}

impl Failure {
    pub(super) fn refused(
        fail_info: FailInfo,
        reason: &'static str,
        text: impl Into<String>,
    ) -> Self {
        Self::Refused(Refused { fail_info, text: Some(text.into()), reason, diagnosis: None })
    }

    /// The envelope could not be opened, or what was in it is no sound PKCS#10: one answer (I7).
    pub(super) fn unopened(diagnosis: &str) -> Self {
        Self::Refused(Refused {
            fail_info: FailInfo::BadRequest,
            text: None,
            reason: "unopened",
            diagnosis: Some(diagnosis.into()),
        })
    }

    /// The kind of failure, for counters: one of a closed set.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Refused(refused) => refused.reason,
            Self::Unreadable(_) => "unreadable",
            Self::Pending => "pending",
            Self::Busy => "busy",
            Self::Guesses(_) => TOO_MANY_GUESSES,
            Self::Queries(_) => TOO_MANY_QUERIES,
            Self::Unopened(_) => TOO_MANY_UNOPENED,
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// What a log line says of it.
    pub(super) fn log_text(&self) -> String {
        match self {
            Self::Refused(r) => match r.diagnosis.as_deref().or(r.text.as_deref()) {
                Some(text) => format!("{} ({}): {text}", r.fail_info, r.reason),
                None => format!("{} ({}): the device was told why", r.fail_info, r.reason),
            },
            Self::Unreadable(text) => format!("unreadable: {text}"),
            Self::Pending => "waits for an officer".into(),
            Self::Busy => "the signing queue is full".into(),
            Self::Guesses(g) => format!(
                "too many wrong challenges; none from there is looked at for {} s",
                g.retry_after_seconds
            ),
            Self::Queries(q) => format!(
                "too many queries for what is not there; none from there is looked at for {} s",
                q.retry_after_seconds
            ),
            Self::Unopened(g) => format!(
                "too many envelopes could not be opened; none from there is for {} s",
                g.retry_after_seconds
            ),
            Self::Unavailable(text) => format!("unavailable: {text}"),
        }
    }
}

impl From<RequestError> for Failure {
    fn from(e: RequestError) -> Self {
        let reason = match e.fail_info {
            FailInfo::BadAlg => "algorithm",
            FailInfo::BadMessageCheck => "message-check",
            _ => "malformed",
        };
        match e.reply {
            Some(_) => Self::refused(e.fail_info, reason, e.text),
            None => Self::Unreadable(e.text),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(e: Refusal) -> Self {
        let (fail_info, reason) = match &e {
            Refusal::SignerKey => (FailInfo::BadMessageCheck, "signer-key"),
            Refusal::Csr(_) => (FailInfo::BadRequest, "request"),
            Refusal::Closed => (FailInfo::BadRequest, "closed"),
            Refusal::NoChallenge => (FailInfo::BadRequest, "no-challenge"),
            Refusal::WrongChallenge => (FailInfo::BadRequest, "wrong-challenge"),
            Refusal::OneTime(OneTimeError::Used) => (FailInfo::BadRequest, "challenge-used"),
            Refusal::OneTime(_) => (FailInfo::BadRequest, "one-time-challenge"),
            Refusal::Book(text) => return Self::Unavailable(text.clone()),
            Refusal::Renewal(_) => (FailInfo::BadRequest, "renewal"),
            Refusal::Key(_) => (FailInfo::BadAlg, "key"),
            Refusal::Mac(e) => return Self::Unavailable(e.to_string()),
        };
        Self::refused(fail_info, reason, e.to_string())
    }
}

impl From<IssuanceError> for Failure {
    fn from(e: IssuanceError) -> Self {
        match &e {
            IssuanceError::KeyKind { .. } | IssuanceError::RequestSignature(..) => {
                Self::refused(FailInfo::BadAlg, "key", e.to_string())
            }
            IssuanceError::Names(names) => Self::Refused(Refused {
                fail_info: FailInfo::BadRequest,
                text: Some(e.to_string()),
                reason: "names",
                diagnosis: Some(names.without_names()),
            }),
            IssuanceError::NoUsage(..) => Self::refused(FailInfo::BadAlg, "key", e.to_string()),
            _ => Self::Unavailable(e.to_string()),
        }
    }
}

impl From<SigningError> for Failure {
    fn from(e: SigningError) -> Self {
        match e {
            SigningError::Full(_) => Self::Busy,
            SigningError::Ledger(LedgerError::Refused(ledger::Refusal::ChallengeUsed(_))) => {
                Refusal::from(OneTimeError::Used).into()
            }
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<TooManyGuesses> for Failure {
    fn from(e: TooManyGuesses) -> Self {
        Self::Guesses(e)
    }
}

impl From<KeyUseError> for Failure {
    fn from(e: KeyUseError) -> Self {
        Self::Unavailable(e.to_string())
    }
}

impl From<LedgerError> for Failure {
    fn from(e: LedgerError) -> Self {
        Self::Unavailable(e.to_string())
    }
}

impl From<RandomError> for Failure {
    fn from(e: RandomError) -> Self {
        Self::Unavailable(e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of our own troubles must never end a device's transaction with a FAILURE.
    #[test]
    fn trouble_with_signing_means_later_and_a_full_queue_is_busy() {
        assert!(matches!(Failure::from(SigningError::Full(1024)), Failure::Busy));
        let others = [
            SigningError::Stopping,
            SigningError::Expired,
            SigningError::Key(KeyUseError::BadSignature),
            SigningError::Key(KeyUseError::Refused("for good".into())),
            SigningError::Object("not as planned".into()),
            SigningError::Ledger(LedgerError::Closed),
        ];
        for error in others {
            let text = error.to_string();
            match Failure::from(error) {
                Failure::Unavailable(said) => assert_eq!(said, text),
                _ => panic!("{text}"),
            }
        }
    }
}
