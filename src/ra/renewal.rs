//! Renewal by certificate (RFC 8894 sections 2.3 and 2.5): who holds a certificate of ours gets the
//! next one without a challenge. What is proven comes from the ledger, never from the certificate's
//! own words: that this endpoint issued it, and that nobody revoked it.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::pki::extension::SUBJECT_ALT_NAME;
use crate::pki::{Certificate, CertificateRequest, GeneralName, name};

use super::{AuthorizedRequest, Evidence, KeyPolicy, ProvenRequest, Refusal};

/// The rules of an endpoint's renewals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalPolicy {
    /// How long before its end a certificate may be renewed.
    pub window: Duration,
    /// What the new names may be.
    pub names: NameRule,
    /// Whether the new certificate may have the old key.
    pub same_key: bool,
    /// Whether a challenge that the request brings all the same has to be right.
    pub check_challenge: bool,
}

/// What the names of a renewed certificate may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// The same subject and the same alternative names.
    Same,
    /// The same subject, and some or all of the alternative names.
    Subset,
}

/// What the ledger knows of the certificate that signed a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The certificate, as it was recorded.
    pub certificate: Certificate,
    /// The endpoint that issued it.
    pub endpoint: String,
    /// The profile by which it was issued.
    pub profile: String,
    /// Whether it was revoked, and is still.
    pub revoked: bool,
}

/// Which rule a renewal breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenewalError {
    /// The endpoint has no renewal.
    #[error("this endpoint renews no certificates; enrol with the challenge password")]
    NotOffered,
    /// The ledger does not know the certificate.
    #[error(
        "the certificate that signed the request was not issued here; enrol with the challenge password"
    )]
    Unknown,
    /// Another endpoint or profile issued it.
    #[error(
        "the certificate that signed the request was issued by endpoint {endpoint} with profile {profile}; renew it there"
    )]
    Elsewhere {
        /// The endpoint.
        endpoint: String,
        /// The profile.
        profile: String,
    },
    /// It is over.
    #[error("the certificate expired on {0}; enrol with the challenge password")]
    Expired(Timestamp),
    /// It has not begun.
    #[error("the certificate is not valid before {0}; check the clocks")]
    NotYet(Timestamp),
    /// It was revoked.
    #[error("the certificate was revoked; enrol with the challenge password")]
    Revoked,
    /// It is too early.
    #[error("the certificate can be renewed from {0} on")]
    TooEarly(Timestamp),
    /// The subject differs.
    #[error("the subject differs from the certificate's; ask for the same one, or enrol anew")]
    Subject,
    /// The alternative names differ.
    #[error(
        "the alternative names are not those of the certificate; ask for the same ones, or enrol anew"
    )]
    AlternativeNames,
    /// The key is the old one.
    #[error("the request is for the certificate's own key; make a new key")]
    SameKey,
}

/// Decides on a renewal: a RenewalReq, or a PKCSReq that a certificate of ours signed. `held` is
/// what the ledger has under the fingerprint of the very certificate that signed.
pub fn authorize_renewal(
    policy: &RenewalPolicy,
    (endpoint, profile): (&str, &str),
    request: ProvenRequest,
    held: &Held,
    keys: &KeyPolicy,
    now: Timestamp,
) -> Result<AuthorizedRequest, Refusal> {
    let old = &held.certificate;
    if held.endpoint != endpoint || held.profile != profile {
        let (endpoint, profile) = (held.endpoint.clone(), held.profile.clone());
        return Err(RenewalError::Elsewhere { endpoint, profile }.into());
    }
    if held.revoked {
        return Err(RenewalError::Revoked.into());
    }
    if now > old.not_after() {
        return Err(RenewalError::Expired(old.not_after()).into());
    }
    if now < old.not_before() {
        return Err(RenewalError::NotYet(old.not_before()).into());
    }
    let opens = old.not_after().before(policy.window);
    if now < opens {
        return Err(RenewalError::TooEarly(opens).into());
    }
    let csr = request.csr();
    if name::normalised(csr.subject()) != name::normalised(old.subject()) {
        return Err(RenewalError::Subject.into());
    }
    if !alternative_names_fit(policy.names, csr, old) {
        return Err(RenewalError::AlternativeNames.into());
    }
    if !policy.same_key && csr.public_key() == old.public_key() {
        return Err(RenewalError::SameKey.into());
    }
    keys.check(csr.public_key())?;
    let evidence = Evidence::Renewal(old.fingerprint());
    Ok(AuthorizedRequest::new(request, evidence).renewing(old.not_after()))
}

/// Compares as sets. Names that cannot be read fit nothing.
fn alternative_names_fit(rule: NameRule, csr: &CertificateRequest, old: &Certificate) -> bool {
    let read = |value: Option<&[u8]>| value.map_or(Ok(Vec::new()), GeneralName::parse_all);
    let asked = read(csr.extension(SUBJECT_ALT_NAME).map(|e| e.value.as_slice()));
    let had = read(old.extension(SUBJECT_ALT_NAME).map(|e| e.value.as_slice()));
    let (Ok(asked), Ok(had)) = (asked, had) else { return false };
    let subset = asked.iter().all(|n| had.contains(n));
    match rule {
        NameRule::Same => subset && had.iter().all(|n| asked.contains(n)),
        NameRule::Subset => subset,
    }
}

#[cfg(test)]
mod tests;
