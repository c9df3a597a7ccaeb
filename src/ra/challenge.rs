//! The configured challenge password of an endpoint (RFC 8894 sections 2.4 and 7.3), kept as a keyed MAC.

use std::fmt;
use std::str::FromStr;

use openssl::pkey::PKey;
use openssl::sign::Signer as Hmac;
use subtle::ConstantTimeEq;

use crate::pki::Digest;
use crate::random::{Random, RandomError};
use crate::secret::Secret;

/// The random bytes of a challenge that is made here.
const GENERATED: usize = 24;

/// The key under which challenges are kept; it lives in the signer's state, never in the configuration.
#[derive(Clone, Debug)]
pub struct ChallengeKey(Secret);

/// What is kept of a challenge: HMAC-SHA-256 over the endpoint's name and the challenge.
#[derive(Clone, PartialEq, Eq)]
pub struct ChallengeMac([u8; 32]);

/// Why a challenge could not be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// The key's file has the wrong length.
    #[error(
        "the challenge key has {0} bytes where 32 are needed; restore secrets/challenge-mac.key from where it was kept, or make a new key and set every challenge again"
    )]
    KeyLength(usize),
    /// The text in the configuration is no MAC.
    #[error(
        "«{0}» is not of the form hmac-sha256:<64 hexadecimal digits>; `chancery challenge mac` prints the right line"
    )]
    Syntax(String),
    /// OpenSSL refused the computation.
    #[error("the MAC of the challenge could not be computed: {0}")]
    Mac(String),
}

impl ChallengeKey {
    /// Length of the key in bytes.
    pub const LEN: usize = 32;

    /// Takes over a key of [`Self::LEN`] bytes.
    pub fn new(key: Secret) -> Result<Self, ChallengeError> {
        if key.len() == Self::LEN {
            Ok(Self(key))
        } else {
            Err(ChallengeError::KeyLength(key.len()))
        }
    }

    /// The MAC by which a one-time `challenge` of `endpoint` is known; never equal to [`Self::mac`].
    pub fn one_time_mac(
        &self,
        endpoint: &str,
        challenge: &Secret,
    ) -> Result<ChallengeMac, ChallengeError> {
        self.compute(b"chancery one-time challenge v1\0", endpoint, challenge)
    }

    /// The MAC of `challenge` at `endpoint`. Bound to the endpoint, so that equal challenges of two
    /// endpoints cannot be told to be equal.
    pub fn mac(&self, endpoint: &str, challenge: &Secret) -> Result<ChallengeMac, ChallengeError> {
        self.compute(b"chancery challenge v1\0", endpoint, challenge)
    }

    /// What stands in for the one-time challenge of a transaction ID that has none: the same each
    /// time, as long as one that [`generate`] makes, and known to nobody.
    pub fn absent(&self, endpoint: &str, transaction_id: &[u8]) -> Result<Secret, ChallengeError> {
        let id = Secret::new(transaction_id.to_vec());
        let mac = self.compute(b"chancery absent challenge v1\0", endpoint, &id)?;
        Ok(Secret::new(hex::encode(&mac.0[..GENERATED]).into_bytes()))
    }

    fn compute(
        &self,
        purpose: &[u8],
        endpoint: &str,
        challenge: &Secret,
    ) -> Result<ChallengeMac, ChallengeError> {
        let failed = |e: openssl::error::ErrorStack| ChallengeError::Mac(e.to_string());
        let key = PKey::hmac(self.0.expose()).map_err(failed)?;
        let mut hmac = Hmac::new(Digest::Sha256.openssl(), &key).map_err(failed)?;
        for part in [purpose, endpoint.as_bytes(), b"\0", challenge.expose()] {
            hmac.update(part).map_err(failed)?;
        }
        let mut out = [0; 32];
        hmac.sign(&mut out).map_err(failed)?;
        Ok(ChallengeMac(out))
    }
}

impl ChallengeMac {
    /// The octets.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The transaction ID by which a one-time challenge is found: 64 hexadecimal digits.
    pub fn transaction_id(&self) -> String {
        hex::encode(self.0)
    }

    /// The MAC that `id` is the transaction ID of.
    pub fn from_transaction_id(id: &[u8]) -> Option<Self> {
        let bytes = hex::decode(id).ok()?;
        let mac = <[u8; 32]>::try_from(bytes).ok().map(Self)?;
        // One spelling: another one would be another transaction.
        (mac.transaction_id().as_bytes() == id).then_some(mac)
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for ChallengeMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hmac-sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for ChallengeMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChallengeMac(..)")
    }
}

impl serde::Serialize for ChallengeMac {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for ChallengeMac {
    type Err = ChallengeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("hmac-sha256:").and_then(|h| hex::decode(h).ok());
        let bytes = digits.and_then(|b| <[u8; 32]>::try_from(b).ok());
        bytes.map(Self).ok_or_else(|| ChallengeError::Syntax(text.chars().take(100).collect()))
    }
}

/// A new challenge of 192 bits as 48 hexadecimal digits: letters and digits alone, so that every
/// form and command line of a device takes it.
pub fn generate(random: &dyn Random) -> Result<Secret, RandomError> {
    let bytes: [u8; GENERATED] = crate::random::bytes(random)?;
    Ok(Secret::new(hex::encode(bytes).into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> ChallengeKey {
        ChallengeKey::new(Secret::new(vec![byte; 32])).unwrap()
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn matches_only_the_same_key_endpoint_and_challenge() {
        let kept = key(1).mac("device", &secret("abc")).unwrap();
        assert!(kept.matches(&key(1).mac("device", &secret("abc")).unwrap()));
        assert!(!kept.matches(&key(1).mac("device", &secret("abd")).unwrap()));
        assert!(!kept.matches(&key(1).mac("other", &secret("abc")).unwrap()));
        assert!(!kept.matches(&key(2).mac("device", &secret("abc")).unwrap()));
    }

    #[test]
    fn text_round_trips_and_rubbish_is_refused() {
        let mac = key(1).mac("device", &secret("abc")).unwrap();
        assert!(mac.to_string().parse::<ChallengeMac>().unwrap().matches(&mac));
        for bad in ["", "hmac-sha256:", "hmac-sha256:00", "abc", &format!("md5:{}", "0".repeat(64))]
        {
            assert!(bad.parse::<ChallengeMac>().is_err(), "{bad}");
        }
        assert!(ChallengeKey::new(Secret::new(vec![0; 16])).is_err());
    }

    #[test]
    fn a_transaction_id_names_its_challenge_in_one_spelling() {
        let mac = key(1).one_time_mac("device", &secret("abc")).unwrap();
        let id = mac.transaction_id();
        assert!(ChallengeMac::from_transaction_id(id.as_bytes()).unwrap().matches(&mac));
        for other in ["", &id[1..], &id[2..], &format!("{id}00"), "x"] {
            assert!(ChallengeMac::from_transaction_id(other.as_bytes()).is_none(), "{other}");
        }
        let upper = id.to_uppercase();
        assert!(upper == id || ChallengeMac::from_transaction_id(upper.as_bytes()).is_none());
        let absent = |id: &[u8]| key(1).absent("device", id).unwrap();
        assert_eq!(absent(b"a").len(), generate(&crate::random::SystemRandom).unwrap().len());
        assert!(
            absent(b"a").ct_eq(absent(b"a").expose()) && !absent(b"a").ct_eq(absent(b"b").expose())
        );
    }

    #[test]
    fn generated_challenges_are_long_and_differ() {
        let a = generate(&crate::random::SystemRandom).unwrap();
        let b = generate(&crate::random::SystemRandom).unwrap();
        assert_eq!(a.len(), 48);
        assert!(!a.ct_eq(b.expose()));
    }
}
