//! Why a certificate is revoked (RFC 5280 section 5.3.1).

use std::fmt;
use std::str::FromStr;

/// CRLReason, without those that are said of CAs and attribute authorities only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// No reason is given.
    Unspecified = 0,
    /// The key is, or may be, in other hands.
    KeyCompromise = 1,
    /// The names are no longer right.
    AffiliationChanged = 3,
    /// Another certificate has taken its place.
    Superseded = 4,
    /// The device is out of service.
    CessationOfOperation = 5,
    /// Suspended until it is revoked for good or released.
    CertificateHold = 6,
    /// Released from a hold.
    RemoveFromCrl = 8,
    /// What the certificate allowed is allowed no more.
    PrivilegeWithdrawn = 9,
}

/// Every reason with the name that RFC 5280 gives it.
const NAMES: [(Reason, &str); 8] = [
    (Reason::Unspecified, "unspecified"),
    (Reason::KeyCompromise, "keyCompromise"),
    (Reason::AffiliationChanged, "affiliationChanged"),
    (Reason::Superseded, "superseded"),
    (Reason::CessationOfOperation, "cessationOfOperation"),
    (Reason::CertificateHold, "certificateHold"),
    (Reason::RemoveFromCrl, "removeFromCRL"),
    (Reason::PrivilegeWithdrawn, "privilegeWithdrawn"),
];

impl Reason {
    /// The number in RFC 5280.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reason with this number, if it is one that can be given.
    pub fn from_code(code: u8) -> Option<Self> {
        NAMES.iter().map(|(reason, _)| *reason).find(|r| r.code() == code)
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(_, name)| *name)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(reason, _)| reason == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Reason {
    type Err = String;

    /// Reads the RFC's name in any case, with or without dashes (`keyCompromise`, `key-compromise`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.replace(['-', '_'], "");
        let found = NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(&plain));
        let all = || Self::names().collect::<Vec<_>>().join(", ");
        found.map(|(reason, _)| *reason).ok_or_else(|| format!("expected one of {}", all()))
    }
}

/// Why a status cannot follow another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// Revocation is for good, but for a hold.
    #[error("it is revoked already ({0}); only a certificateHold can be changed or released")]
    Final(String),
    /// There is no hold to release.
    #[error("it is not on hold; removeFromCRL releases a certificateHold and nothing else")]
    NotHeld,
    /// It is on hold already.
    #[error("it is on hold already; name the final reason, or release it by removeFromCRL")]
    Held,
}

/// Whether a certificate whose last status is `current` (CRLReason; none while nobody touched it)
/// may get the status `next`.
pub fn may_follow(current: Option<u8>, next: Reason) -> Result<(), StatusError> {
    let hold = Reason::CertificateHold.code();
    let current = current.filter(|c| *c != Reason::RemoveFromCrl.code());
    match (current, next) {
        (None, Reason::RemoveFromCrl) => Err(StatusError::NotHeld),
        (None, _) => Ok(()),
        (Some(c), Reason::CertificateHold) if c == hold => Err(StatusError::Held),
        (Some(c), _) if c == hold => Ok(()),
        (Some(c), _) => {
            let shown = Reason::from_code(c).map_or_else(|| c.to_string(), |r| r.to_string());
            Err(StatusError::Final(shown))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for (reason, name) in NAMES {
            assert_eq!(name.parse(), Ok(reason));
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
            assert_eq!(reason.to_string(), name);
        }
        assert_eq!("key-compromise".parse(), Ok(Reason::KeyCompromise));
        for strange in ["", "lost", "cACompromise", "aACompromise"] {
            assert!(strange.parse::<Reason>().unwrap_err().contains("superseded"));
        }
        assert!([2, 7, 10, 255].iter().all(|code| Reason::from_code(*code).is_none()));
    }

    #[test]
    fn only_a_hold_can_change() {
        let (hold, release) = (Reason::CertificateHold, Reason::RemoveFromCrl);
        let of = |r: Reason| Some(r.code());
        assert_eq!(may_follow(None, Reason::KeyCompromise), Ok(()));
        assert_eq!(may_follow(None, hold), Ok(()));
        assert_eq!(may_follow(None, release), Err(StatusError::NotHeld));
        assert_eq!(may_follow(of(hold), release), Ok(()));
        assert_eq!(may_follow(of(hold), Reason::Superseded), Ok(()));
        assert_eq!(may_follow(of(hold), hold), Err(StatusError::Held));
        assert_eq!(may_follow(of(release), hold), Ok(()));
        assert_eq!(may_follow(of(release), release), Err(StatusError::NotHeld));
        for next in [Reason::Superseded, hold, release] {
            let refusal = may_follow(of(Reason::KeyCompromise), next).unwrap_err();
            assert_eq!(refusal, StatusError::Final("keyCompromise".into()));
        }
    }
}
