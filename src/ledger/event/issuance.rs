//! The events of an enrolment.

use der::{Enumerated, Sequence};

use crate::ledger::{Bytes, Fingerprint};
use crate::pki::SerialNumber;

/// The write-ahead entry of a certificate: durable before the CA key sees the TBSCertificate (I2).
/// The requester is the entry's actor (the fingerprint of the key that signed the request) and
/// origin (the address that it came from).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Reservation {
    /// Name of the endpoint that was asked.
    pub endpoint: String,
    /// The transaction ID as the client sent it.
    pub transaction: Bytes,
    /// The PKCS#10 request.
    pub request: SealedRequest,
    /// Content octets of the serial number's INTEGER; no earlier reservation has the same.
    pub serial: Bytes,
    /// The whole TBSCertificate in DER that will be signed.
    pub tbs: Bytes,
    /// Name of the profile.
    pub profile: String,
    /// Name of the issuer.
    pub issuer: String,
    /// Why the requester may have the certificate.
    pub evidence: Vec<Evidence>,
    /// The abandoned reservation of the same transaction that this one replaces.
    #[asn1(context_specific = "0", optional = "true")]
    pub replaces: Option<u64>,
}

/// A PKCS#10 request. It may hold a challenge password, so the ledger sees it sealed only (I11).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct SealedRequest {
    /// SHA-256 of the request in DER. It tells nothing of the challenge: the request's signature,
    /// which nobody else can make, is hashed too.
    pub digest: Fingerprint,
    /// The request in DER, sealed under a key of the signer.
    pub sealed: Bytes,
}

impl Reservation {
    /// The reserved serial number.
    pub fn serial(&self) -> SerialNumber {
        SerialNumber::from_content(&self.serial)
    }
}

/// What made the requester entitled. Never a secret, nor a plain hash of one (I11).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Evidence {
    /// Who said yes.
    pub authorizer: Authorizer,
    /// What it refers to: the keyed MAC of a one-time challenge, the fingerprint of the renewed
    /// certificate, the sequence of an approval as 8 octets.
    #[asn1(context_specific = "0", optional = "true")]
    pub reference: Option<Bytes>,
    /// A short text for the auditor, where there is something to say.
    #[asn1(context_specific = "1", optional = "true")]
    pub detail: Option<String>,
}

/// The kinds of authorizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enumerated)]
#[repr(u8)]
pub enum Authorizer {
    /// The configured challenge password of the endpoint.
    Challenge = 0,
    /// A one-time challenge; its use is the reservation itself, so a crash cannot re-arm it.
    OneTimeChallenge = 1,
    /// The signature of a certificate that is being renewed.
    Renewal = 2,
    /// An officer's approval.
    Approval = 3,
    /// An outside service.
    Validator = 4,
    /// A command of an administrator.
    Administrator = 5,
}

/// The certificate that came of a reservation: durable before anybody receives it (I1).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Certificate {
    /// Sequence of the reservation.
    pub reservation: u64,
    /// The certificate in DER.
    pub certificate: Bytes,
}

/// A write-ahead entry whose signature nobody may have received: the signer stopped between the
/// two, or gave up. Whether the key signed is unknown, so the serial goes on the CRL.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Abandoned {
    /// Sequence of the write-ahead entry.
    pub reservation: u64,
    /// Content octets of the reserved serial number; empty where the entry had none.
    pub serial: Bytes,
    /// Why it was given up.
    pub reason: String,
}

/// An enrolment that waits for an officer.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Pending {
    /// Name of the endpoint that was asked.
    pub endpoint: String,
    /// The transaction ID as the client sent it.
    pub transaction: Bytes,
    /// The PKCS#10 request.
    pub request: SealedRequest,
    /// What is known for the requester already.
    pub evidence: Vec<Evidence>,
}

/// An officer's or a rule's word on a pending enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Decision {
    /// Sequence of the [`Pending`] entry.
    pub pending: u64,
    /// The word.
    pub verdict: Verdict,
    /// The reason that was given.
    pub reason: String,
}

/// How a pending enrolment ended, or one officer's part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enumerated)]
#[repr(u8)]
pub enum Verdict {
    /// One officer agrees; more are needed.
    Endorsed = 0,
    /// The request is granted.
    Approved = 1,
    /// The request is refused.
    Denied = 2,
    /// Nobody decided in time.
    Expired = 3,
}

/// A one-time challenge was made, revoked or found expired. Its use is in the reservation.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Challenge {
    /// The keyed MAC by which the challenge is known; never the challenge itself.
    pub mac: Bytes,
    /// What happened.
    pub action: ChallengeAction,
    /// The endpoint that it is good for.
    pub endpoint: String,
    /// The first moment at which it is good no more, in milliseconds since 1970.
    pub expires: u64,
    /// What the requester may ask with it, in the configuration's own words.
    #[asn1(context_specific = "0", optional = "true")]
    pub restriction: Option<String>,
    /// The challenge itself under the key of the signer's seal, where requests may be encrypted
    /// under it.
    #[asn1(context_specific = "1", optional = "true")]
    pub sealed: Option<Bytes>,
}

/// The life of a one-time challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enumerated)]
#[repr(u8)]
pub enum ChallengeAction {
    /// It was made.
    Made = 0,
    /// It was withdrawn before its use.
    Revoked = 1,
    /// It was voided because the ledger was restored from a backup.
    Voided = 2,
}

/// Refusals of one kind within one minute. What an unauthenticated sender can cause is counted, so
/// that nobody can flood the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Refusals {
    /// Start of the minute, in milliseconds since 1970.
    pub minute: u64,
    /// The endpoint, or empty where the message named none.
    pub endpoint: String,
    /// The address, network or local user (`uid N`) that they came from.
    pub source: String,
    /// Why they were refused.
    pub reason: String,
    /// How many there were.
    pub count: u64,
    /// Fingerprint of the first refused message, for the auditor.
    #[asn1(context_specific = "0", optional = "true")]
    pub example: Option<Fingerprint>,
}
