//! The decision who may have a certificate, as types: only [`ProvenRequest::new`] says that the
//! requester holds the key, only [`authorize`] makes an [`AuthorizedRequest`], and nothing else can
//! be prepared for signing. A branch that forgets a check does not compile.

use super::challenge::{ChallengeError, ChallengeKey, ChallengeMac};
use super::key_policy::{KeyPolicy, KeyPolicyError};
use super::one_time::{ChallengeBook, OneTimeError};
use crate::clock::Timestamp;
use crate::pki::{CertificateRequest, CsrError, PublicKey, SignatureError};

/// A PKCS#10 of an RSA-2048 key whose signature does not verify, as common devices would send it:
/// `openssl req -new -newkey rsa:2048 -nodes -subj /CN=stand-in -outform DER` with a challenge password
/// and its last octet changed.
const STAND_IN: &[u8] = include_bytes!("stand_in.der");

/// A PKCS#10 whose own signature verifies: whoever made it holds the private key.
#[derive(Debug)]
pub struct ProvenRequest(CertificateRequest);

impl ProvenRequest {
    /// Reads a PKCS#10 in DER and verifies its self-signature (RFC 2986; RFC 8894 section 7.6 says
    /// why a renewal needs it too). What is no PKCS#10 at all takes as long as one whose signature is
    /// wrong: an envelope that was opened by a wrong key must not show in the time (I7).
    pub fn new(der: &[u8]) -> Result<Self, CsrError> {
        let prove = |der: &[u8]| {
            let csr = CertificateRequest::from_der(der)?;
            csr.verify_possession().map(|()| csr)
        };
        match prove(der) {
            Ok(csr) => Ok(Self(csr)),
            // Now the work that the other kind of failure has had: the result is known.
            Err(e) => {
                let is_request = matches!(e, CsrError::Signature(SignatureError::Mismatch));
                let other = if is_request { &STAND_IN[1..] } else { STAND_IN };
                std::hint::black_box(prove(std::hint::black_box(other)).is_ok());
                Err(e)
            }
        }
    }

    /// The request.
    pub const fn csr(&self) -> &CertificateRequest {
        &self.0
    }

    /// Whether it brings a challenge password, or something that cannot be read as one.
    pub fn has_challenge(&self) -> bool {
        self.0.challenge().map_or(true, |c| c.is_some_and(|c| !c.is_empty()))
    }
}

/// How an endpoint knows whom it may serve.
#[derive(Debug)]
pub struct Authorizer {
    /// The endpoint's name, to which its challenge is bound.
    pub endpoint: String,
    /// The key of all challenges.
    pub key: ChallengeKey,
    /// The endpoint's configured challenge; without one nobody is let in.
    pub challenge: Option<ChallengeMac>,
    /// Whether one-time challenges are good here.
    pub one_time: bool,
    /// The profile of its certificates, to which one-time challenges are bound.
    pub profile: String,
}

impl Authorizer {
    /// Whether the request brings the endpoint's challenge password, or a one-time challenge of
    /// `book` that is good for it at `now`.
    pub fn check(
        &self,
        csr: &CertificateRequest,
        book: &dyn ChallengeBook,
        now: Timestamp,
    ) -> Result<Evidence, Refusal> {
        if self.challenge.is_none() && !self.one_time {
            return Err(Refusal::Closed);
        }
        let challenge = csr.challenge()?.filter(|c| !c.is_empty()).ok_or(Refusal::NoChallenge)?;
        let mac = self.key.mac(&self.endpoint, challenge)?;
        if self.challenge.as_ref().is_some_and(|expected| mac.matches(expected)) {
            return Ok(Evidence::Challenge);
        }
        if !self.one_time {
            return Err(Refusal::WrongChallenge);
        }
        let mac = self.key.one_time_mac(&self.endpoint, challenge)?;
        let found = book.find(&mac).map_err(Refusal::Book)?;
        found.ok_or(Refusal::WrongChallenge)?.check(csr, &self.profile, now)?;
        Ok(Evidence::OneTime(*mac.as_bytes()))
    }
}

/// What proved the right to a certificate; it goes into the ledger with the reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The endpoint's configured challenge password.
    Challenge,
    /// A one-time challenge, by its MAC.
    OneTime([u8; 32]),
    /// An officer's approval, by the sequence of its ledger entry.
    Approval(u64),
    /// The signature of a certificate of ours, by the SHA-256 of that certificate.
    Renewal([u8; 32]),
}

/// A request whose requester has proven possession of the key and the right to a certificate.
#[derive(Debug)]
pub struct AuthorizedRequest {
    request: ProvenRequest,
    evidence: Vec<Evidence>,
    renews_until: Option<Timestamp>,
}

impl AuthorizedRequest {
    /// For the authorizers of this part alone.
    pub(super) fn new(request: ProvenRequest, evidence: Evidence) -> Self {
        Self { request, evidence: vec![evidence], renews_until: None }
    }

    /// The same, in place of a certificate that ends at `end`.
    pub(super) fn renewing(self, end: Timestamp) -> Self {
        Self { renews_until: Some(end), ..self }
    }

    /// A request that was authorized by `evidence` and has now been approved by an officer. The
    /// key is checked again: the policy may have changed.
    pub fn approved(
        request: ProvenRequest,
        mut evidence: Vec<Evidence>,
        approval: u64,
        keys: &KeyPolicy,
    ) -> Result<Self, Refusal> {
        if evidence.is_empty() {
            return Err(Refusal::Closed);
        }
        keys.check(request.csr().public_key())?;
        evidence.push(Evidence::Approval(approval));
        Ok(Self { request, evidence, renews_until: None })
    }

    /// The request.
    pub const fn csr(&self) -> &CertificateRequest {
        self.request.csr()
    }

    /// When the certificate ends that this one comes in place of.
    pub const fn renews_until(&self) -> Option<Timestamp> {
        self.renews_until
    }

    /// What proved the right to it.
    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }
}

/// Why a certificate is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The message was signed by another key than the one that asks for the certificate.
    #[error(
        "the message is signed by another key than the one in the request; the device must sign with the key that it enrols"
    )]
    SignerKey,
    /// The request's challenge attribute cannot be read.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// The endpoint has no authorizer.
    #[error(
        "this endpoint lets nobody enrol: it has no challenge; set challenge_mac or one_time_challenges in its configuration"
    )]
    Closed,
    /// There is no challenge password.
    #[error(
        "the request carries no challenge password; set the endpoint's challenge on the device"
    )]
    NoChallenge,
    /// The challenge is not the endpoint's.
    #[error("the challenge password is wrong; set the endpoint's challenge on the device")]
    WrongChallenge,
    /// A one-time challenge is not good for this request.
    #[error(transparent)]
    OneTime(#[from] OneTimeError),
    /// The one-time challenges could not be looked up.
    #[error("the one-time challenges cannot be looked up: {0}")]
    Book(String),
    /// The key is weak or not allowed.
    #[error(transparent)]
    Key(#[from] KeyPolicyError),
    /// A renewal breaks one of its rules.
    #[error(transparent)]
    Renewal(#[from] super::RenewalError),
    /// The challenge could not be checked; nothing is issued.
    #[error(transparent)]
    Mac(#[from] ChallengeError),
}

/// Decides on a PKCSReq: the signer's key, the challenge, the key's quality. A self-signed signer
/// certificate never authenticates anybody (RFC 8894 section 2.4); it only has to hold the key
/// that is to be certified (section 2.3).
pub fn authorize(
    authorizer: &Authorizer,
    request: ProvenRequest,
    signer: &PublicKey,
    keys: &KeyPolicy,
    book: &dyn ChallengeBook,
    now: Timestamp,
) -> Result<AuthorizedRequest, Refusal> {
    let csr = request.csr();
    if csr.public_key() != signer {
        return Err(Refusal::SignerKey);
    }
    let evidence = authorizer.check(csr, book, now)?;
    keys.check(csr.public_key())?;
    Ok(AuthorizedRequest::new(request, evidence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t14_the_stand_in_does_the_work_of_a_wrong_signature() {
        let error = ProvenRequest::new(STAND_IN).unwrap_err();
        assert_eq!(error, CsrError::Signature(SignatureError::Mismatch));
        assert!(matches!(ProvenRequest::new(b"rubbish"), Err(CsrError::Malformed(_))));
    }
}
