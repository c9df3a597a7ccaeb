//! Which public keys may be certified: allowed kinds and sizes, and none that is known to be weak
//! (CA/Browser Forum Baseline Requirements 6.1.1.3, 6.1.5 and 6.1.6 as a floor). A refusal names
//! its reason in words for an administrator.

use std::sync::Arc;

use der::asn1::UintRef;
use der::{Decode, Sequence};

use super::blocklist::Blocklist;
use super::rsa;
use crate::pki::{KeyKind, PublicKey};

/// The rules for the keys of one profile.
#[derive(Clone, Debug)]
pub struct KeyPolicy {
    /// The sizes of RSA moduli, in bits.
    pub rsa_sizes: Vec<u32>,
    /// The other kinds of keys: curves, and Ed25519.
    pub curves: Vec<KeyKind>,
    /// The public exponents of RSA keys.
    pub exponents: Exponents,
    /// Whether a modulus is tested for being itself a prime. That takes longer than all other
    /// checks together: about as long as two signatures of the same size in software.
    pub prime_test: bool,
    /// Keys that are known to be compromised.
    pub blocklists: Vec<Arc<Blocklist>>,
    /// The CA's own keys, over which nobody gets a certificate.
    pub own_keys: OwnKeys,
}

/// The keys of this installation, with the names of what they are for.
#[derive(Clone, Debug, Default)]
pub struct OwnKeys(Vec<(String, Identity)>);

/// Which public exponents are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exponents {
    /// 65537 alone, which every usual generator uses.
    #[default]
    F4,
    /// Every odd number from 2^16+1 to 2^64.
    Wide,
}

/// What makes two keys the same key: the modulus, whatever the exponent, or else the whole SPKI.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity(Vec<u8>);

/// Why a key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyPolicyError {
    /// The kind or size is not in the profile's list.
    #[error("the profile does not allow {found} keys; it allows {allowed}")]
    NotAllowed {
        /// What the key is.
        found: KeyKind,
        /// What the profile allows.
        allowed: String,
    },
    /// The AlgorithmIdentifier is encoded in another way than the one allowed.
    #[error(
        "the key's algorithm identifier is not encoded as RFC 3279, 5480 or 8410 ask; the client's software makes unusual keys, update it"
    )]
    Algorithm,
    /// The key itself is not encoded in the one allowed way.
    #[error("the key is not encoded in the usual way: {0}")]
    Encoding(&'static str),
    /// An even modulus.
    #[error("the RSA modulus is even; the key's generator is broken")]
    EvenModulus,
    /// An exponent outside of the policy.
    #[error("the RSA public exponent is {0}; make the key with exponent 65537")]
    Exponent(String),
    /// A small prime divides the modulus.
    #[error("the RSA modulus is divisible by {0}; the key's generator is broken")]
    SmallFactor(u32),
    /// A ROCA key.
    #[error(
        "the RSA key was made by the library with the ROCA flaw (CVE-2017-15361); update the token's or TPM's firmware and make a new key"
    )]
    Roca,
    /// A modulus that is not random.
    #[error("the RSA modulus follows a pattern; the key's generator is broken")]
    Pattern,
    /// A power of a number.
    #[error("the RSA modulus is a power with exponent {0}; the key's generator is broken")]
    PerfectPower(u32),
    /// Primes that Fermat's method finds.
    #[error(
        "the primes of the RSA modulus are too close to each other (Fermat); the key's generator is broken"
    )]
    ClosePrimes,
    /// A prime.
    #[error("the RSA modulus is itself a prime; the key's generator is broken")]
    PrimeModulus,
    /// A key of an old order.
    #[error("the Ed25519 key is a point of small order; the key's generator is broken")]
    SmallOrder,
    /// A listed key.
    #[error("the key is on the list of compromised keys; make a new one")]
    Blocklisted,
    /// One of the CA's own keys.
    #[error("the key is the CA's own ({0}); somebody asks for a certificate over it")]
    OwnKey(String),
    /// OpenSSL failed; nothing is known about the key, so it is refused.
    #[error("the key could not be checked: {0}")]
    Unchecked(String),
}

/// RSAPublicKey (RFC 8017 appendix A.1.1), strictly: minimal, positive integers, nothing else.
#[derive(Sequence)]
struct RsaNumbers<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl Default for KeyPolicy {
    /// RSA of 2048, 3072 and 4096 bits with exponent 65537; P-256, P-384 and P-521.
    fn default() -> Self {
        Self {
            rsa_sizes: vec![2048, 3072, 4096],
            curves: vec![KeyKind::P256, KeyKind::P384, KeyKind::P521],
            exponents: Exponents::F4,
            prime_test: true,
            blocklists: Vec::new(),
            own_keys: OwnKeys::default(),
        }
    }
}

impl KeyPolicy {
    /// Refuses `key` from now on, as one of the CA's own; `name` says in the refusal which.
    pub fn refuse_own(&mut self, name: impl Into<String>, key: &PublicKey) {
        self.own_keys.0.push((name.into(), Identity::of(key)));
    }

    /// Whether keys of this kind are allowed at all.
    pub fn allows(&self, kind: KeyKind) -> bool {
        match kind {
            KeyKind::Rsa(bits) => self.rsa_sizes.contains(&bits),
            other => self.curves.contains(&other),
        }
    }

    /// Checks a key, cheap rules first: for RSA-2048 less than a tenth of a millisecond, the prime test
    /// not counted. That the point of an EC key is on its curve was checked when it was read.
    pub fn check(&self, key: &PublicKey) -> Result<(), KeyPolicyError> {
        if !self.allows(key.kind()) {
            let rsa = self.rsa_sizes.iter().map(|bits| KeyKind::Rsa(*bits));
            let allowed = rsa.chain(self.curves.iter().copied()).map(|k| k.to_string());
            let allowed = allowed.collect::<Vec<_>>().join(", ");
            return Err(KeyPolicyError::NotAllowed { found: key.kind(), allowed });
        }
        if !key.has_canonical_algorithm() {
            return Err(KeyPolicyError::Algorithm);
        }
        if let Some(name) = self.own_keys.name_of(key) {
            return Err(KeyPolicyError::OwnKey(name.into()));
        }
        if self.blocklists.iter().any(|list| list.contains(key)) {
            return Err(KeyPolicyError::Blocklisted);
        }
        let bits = key.key_bits();
        match key.kind() {
            KeyKind::Rsa(_) => self.check_rsa(&bits),
            KeyKind::P256 => check_point(&bits, 32),
            KeyKind::P384 => check_point(&bits, 48),
            KeyKind::P521 => check_point(&bits, 66),
            KeyKind::Ed25519 => check_ed25519(&bits),
            KeyKind::MlDsa(_) => Ok(()), // every string of the right length is a key
        }
    }

    fn check_rsa(&self, key: &[u8]) -> Result<(), KeyPolicyError> {
        let numbers = RsaNumbers::from_der(key).map_err(|_| {
            KeyPolicyError::Encoding("it is no RSAPublicKey with minimal positive integers")
        })?;
        let (n, e) = (numbers.modulus.as_bytes(), numbers.exponent.as_bytes());
        if n.last().is_none_or(|b| b & 1 == 0) {
            return Err(KeyPolicyError::EvenModulus);
        }
        let fits = match self.exponents {
            Exponents::F4 => e == [1, 0, 1],
            Exponents::Wide => {
                (3..=8).contains(&e.len()) && e > [1, 0, 0].as_slice() && e[e.len() - 1] & 1 == 1
            }
        };
        if !fits {
            return Err(KeyPolicyError::Exponent(shown(e)));
        }
        if let Some(factor) = rsa::small_factor(n) {
            return Err(KeyPolicyError::SmallFactor(factor));
        }
        if rsa::is_roca(n) {
            return Err(KeyPolicyError::Roca);
        }
        if rsa::has_pattern(n) {
            return Err(KeyPolicyError::Pattern);
        }
        if let Some(exponent) = rsa::perfect_power(n) {
            return Err(KeyPolicyError::PerfectPower(exponent));
        }
        let unchecked = |e: openssl::error::ErrorStack| KeyPolicyError::Unchecked(e.to_string());
        if rsa::has_close_primes(n).map_err(unchecked)? {
            return Err(KeyPolicyError::ClosePrimes);
        }
        if self.prime_test && rsa::is_prime(n).map_err(unchecked)? {
            return Err(KeyPolicyError::PrimeModulus);
        }
        Ok(())
    }
}

impl OwnKeys {
    /// The name of `key`, if it is one of them.
    fn name_of(&self, key: &PublicKey) -> Option<&str> {
        let identity = Identity::of(key);
        self.0.iter().find(|(_, own)| *own == identity).map(|(name, _)| name.as_str())
    }
}

impl Identity {
    fn of(key: &PublicKey) -> Self {
        let modulus = key.rsa().map(|rsa| rsa.n().to_vec());
        Self(modulus.unwrap_or_else(|| key.spki().to_vec()))
    }
}

/// A small exponent in decimal, a large one by its size.
fn shown(exponent: &[u8]) -> String {
    if exponent.len() > 8 {
        return format!("a number of {} bits or more", 8 * (exponent.len() - 1));
    }
    exponent.iter().fold(0u64, |n, b| (n << 8) | u64::from(*b)).to_string()
}

/// An uncompressed point with coordinates of `len` bytes (SEC 1 section 2.3.3). OpenSSL has
/// refused coordinates outside of the field, points off the curve and infinity.
fn check_point(bits: &[u8], len: usize) -> Result<(), KeyPolicyError> {
    if bits.first() != Some(&4) || bits.len() != 1 + 2 * len {
        return Err(KeyPolicyError::Encoding("it is no uncompressed point"));
    }
    Ok(())
}

/// A canonical Ed25519 key (RFC 8032 section 5.1.3) that is none of the eight small points.
fn check_ed25519(bits: &[u8]) -> Result<(), KeyPolicyError> {
    /// The y-coordinates of the points of order 1, 2, 4 and 8, little-endian.
    const SMALL: [&str; 5] = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ];
    let Ok(mut y) = <[u8; 32]>::try_from(bits) else {
        return Err(KeyPolicyError::Encoding("it is not 32 bytes long"));
    };
    y[31] &= 0x7f; // the sign of x
    if SMALL.contains(&hex::encode(y).as_str()) {
        return Err(KeyPolicyError::SmallOrder);
    }
    // p = 2^255 - 19: ed ff .. ff 7f in this order.
    if y[31] == 0x7f && y[1..31].iter().all(|b| *b == 0xff) && y[0] >= 0xed {
        return Err(KeyPolicyError::Encoding("its coordinate is not below the field's prime"));
    }
    Ok(())
}
