//! One-time challenges (RFC 8894 sections 2.4 and 7.3): what a challenge is good for, and which
//! rule a request breaks. They are bound to endpoint, profile, subject, alternative names, number
//! of uses and expiry. What is kept of them, and what used them, is in the ledger.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::ChallengeMac;
use crate::clock::Timestamp;
use crate::pki::extension::SUBJECT_ALT_NAME;
use crate::pki::{CertificateRequest, GeneralName, name, parse_name};

/// The most uses that a challenge can have.
const MAX_USES: u32 = 1000;
/// The longest text of a restriction in bytes: it has to fit into an entry beside the rest.
const MAX_TEXT: usize = 16 * 1024;

/// What a requester may ask with a challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restriction {
    /// The profile of the endpoint when the challenge was made.
    pub profile: String,
    /// How many certificates it is good for.
    pub uses: u32,
    /// The subject that the request must have, as `O=Example,CN=device-7` in the order of the
    /// encoding; none leaves the names to the profile.
    pub subject: Option<String>,
    /// Where there is a subject: exactly the alternative names that the request must have, as
    /// `dns:host.example`.
    pub san: Vec<String>,
}

/// Why a challenge cannot be made as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestrictionError {
    /// Too many uses, or none.
    #[error("{0} uses; choose 1 to {MAX_USES}")]
    Uses(u32),
    /// The subject cannot be read.
    #[error("the subject cannot be read: {0}; write it as \"O=Example,CN=device-7\"")]
    Subject(String),
    /// An alternative name cannot be read.
    #[error(
        "«{0}» is no alternative name; write dns:, email:, uri:, upn: or ip: and the name behind it"
    )]
    AlternativeName(String),
    /// Alternative names without a subject.
    #[error("alternative names are bound together with a subject; give the subject as well")]
    NoSubject,
    /// More text than an entry holds.
    #[error("the subject and names have more than {MAX_TEXT} bytes")]
    TooLong,
    /// What the ledger holds cannot be read.
    #[error("the ledger's text of the restriction cannot be read: {0}")]
    Text(String),
}

impl Restriction {
    /// Checks that every part can be read again.
    pub fn check(&self) -> Result<(), RestrictionError> {
        if !(1..=MAX_USES).contains(&self.uses) {
            return Err(RestrictionError::Uses(self.uses));
        }
        if self.subject.is_none() && !self.san.is_empty() {
            return Err(RestrictionError::NoSubject);
        }
        self.name()?;
        self.alternative_names()?;
        if self.to_text().len() > MAX_TEXT { Err(RestrictionError::TooLong) } else { Ok(()) }
    }

    /// As it stands in the ledger: JSON with sorted keys is not needed, the text is only read here.
    pub fn to_text(&self) -> String {
        // A struct of texts and numbers can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the ledger's text.
    pub fn from_text(text: &str) -> Result<Self, RestrictionError> {
        serde_json::from_str(text).map_err(|e| RestrictionError::Text(e.to_string()))
    }

    fn name(&self) -> Result<Option<Vec<u8>>, RestrictionError> {
        let parsed = self.subject.as_deref().map(parse_name).transpose();
        parsed.map_err(|e| RestrictionError::Subject(e.to_string()))
    }

    fn alternative_names(&self) -> Result<Vec<GeneralName>, RestrictionError> {
        self.san.iter().map(|text| alternative_name(text)).collect()
    }
}

fn alternative_name(text: &str) -> Result<GeneralName, RestrictionError> {
    let wrong = || RestrictionError::AlternativeName(text.chars().take(100).collect());
    let (kind, value) = text.split_once(':').ok_or_else(wrong)?;
    let owned = value.to_owned();
    let name = match kind {
        "dns" => GeneralName::Dns(owned),
        "email" => GeneralName::Email(owned),
        "uri" => GeneralName::Uri(owned),
        "upn" => GeneralName::UserPrincipal(owned),
        "ip" => GeneralName::Ip(value.parse::<IpAddr>().map_err(|_| wrong())?),
        _ => return Err(wrong()),
    };
    name.check_form(true).map_err(|_| wrong())?;
    Ok(name)
}

/// How a challenge stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is a use left for the request.
    Open,
    /// All uses are taken.
    Used,
    /// An officer withdrew it.
    Revoked,
    /// It ended because the ledger was restored from a backup.
    Voided,
}

/// A challenge as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptChallenge {
    /// What it is good for.
    pub restriction: Restriction,
    /// The first moment at which it is good no more.
    pub expires: Timestamp,
    /// How it stands for the request that is being decided.
    pub standing: Standing,
}

/// Where one-time challenges are found. The error is a text: nothing can be decided now.
pub trait ChallengeBook {
    /// The challenge with this MAC, and how it stands for the request that is being decided.
    fn find(&self, mac: &ChallengeMac) -> Result<Option<KeptChallenge>, String>;
}

/// Which rule a request with a one-time challenge breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OneTimeError {
    /// Used before.
    #[error("the one-time challenge was used before; let an officer issue a new one")]
    Used,
    /// Withdrawn.
    #[error("the one-time challenge was revoked; let an officer issue a new one")]
    Revoked,
    /// Voided by a restore.
    #[error("the one-time challenge is void since a restore; let an officer issue a new one")]
    Voided,
    /// Too late.
    #[error("the one-time challenge expired at {0}; let an officer issue a new one")]
    Expired(Timestamp),
    /// The endpoint has another profile by now.
    #[error("the one-time challenge is for profile {0}; let an officer issue a new one")]
    Profile(String),
    /// Another subject.
    #[error(
        "the one-time challenge is for another subject; ask for the one that it was issued for"
    )]
    Subject,
    /// Other alternative names.
    #[error(
        "the one-time challenge is for other alternative names; ask for those that it was issued for"
    )]
    AlternativeNames,
    /// The ledger's text cannot be read: it is good for nothing.
    #[error("the one-time challenge cannot be used: its restriction is unreadable")]
    Unreadable,
}

impl KeptChallenge {
    /// Checks a request against every rule. Names must be equal, not contained.
    pub fn check(
        &self,
        csr: &CertificateRequest,
        profile: &str,
        now: Timestamp,
    ) -> Result<(), OneTimeError> {
        match self.standing {
            Standing::Open => {}
            Standing::Used => return Err(OneTimeError::Used),
            Standing::Revoked => return Err(OneTimeError::Revoked),
            Standing::Voided => return Err(OneTimeError::Voided),
        }
        if now >= self.expires {
            return Err(OneTimeError::Expired(self.expires));
        }
        if self.restriction.profile != profile {
            return Err(OneTimeError::Profile(self.restriction.profile.clone()));
        }
        let unreadable = |_| OneTimeError::Unreadable;
        let Some(subject) = self.restriction.name().map_err(unreadable)? else { return Ok(()) };
        if name::normalised(&subject) != name::normalised(csr.subject()) {
            return Err(OneTimeError::Subject);
        }
        let mut allowed = self.restriction.alternative_names().map_err(unreadable)?;
        let asked = csr.extension(SUBJECT_ALT_NAME).map(|e| e.value.as_slice());
        let asked = asked.map_or(Ok(Vec::new()), GeneralName::parse_all);
        let mut asked = asked.map_err(|_| OneTimeError::AlternativeNames)?;
        for name in allowed.iter_mut().chain(&mut asked) {
            if let GeneralName::Dns(host) = name {
                host.make_ascii_lowercase();
            }
        }
        let all_in = |a: &[GeneralName], b: &[GeneralName]| a.iter().all(|n| b.contains(n));
        match all_in(&asked, &allowed) && all_in(&allowed, &asked) {
            true => Ok(()),
            false => Err(OneTimeError::AlternativeNames),
        }
    }
}

/// The reference by which the ledger knows the use number `index` of a challenge: the MAC itself
/// for the first, so that no reference has two uses.
pub fn slot(mac: &[u8; 32], index: u32) -> [u8; 32] {
    match index {
        0 => *mac,
        _ => openssl::sha::sha256(&[b"use".as_slice(), mac, &index.to_be_bytes()].concat()),
    }
}

#[cfg(test)]
mod tests;
