//! Shamir's secret sharing over GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. By hand: `sharks` is
//! unmaintained and had biased coefficients (RUSTSEC-2024-0398), its forks have few users, `vsss-rs`
//! brings elliptic curves; the arithmetic is short and has published vectors.

use openssl::sha::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::random::{self, Random, RandomError};
use crate::secret::Secret;

/// The longest secret in bytes.
pub const MAX_SECRET: usize = 64;
/// The most shares of one secret; every combination of them can be tried in a moment.
pub const MAX_SHARES: u8 = 16;
/// So many bytes of a digest are shared with the secret, to tell wrong shares.
const CHECK: usize = 4;

/// One share of a secret.
#[derive(Clone)]
pub struct Share {
    pub(super) set: u16,
    pub(super) threshold: u8,
    pub(super) x: u8,
    pub(super) y: Zeroizing<Vec<u8>>,
}

/// Why a secret cannot be split or put together.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The numbers make no sense.
    #[error(
        "{threshold} of {count} shares cannot be made: choose 2 to {MAX_SHARES} shares and a threshold from 2 to their number"
    )]
    Numbers {
        /// How many are needed.
        threshold: u8,
        /// How many are made.
        count: u8,
    },
    /// The secret is empty or too long.
    #[error("a secret of {0} bytes cannot be shared; it must have 1 to {MAX_SECRET} bytes")]
    Length(usize),
    /// Too few shares.
    #[error("{given} shares are there, {threshold} are needed; type another one")]
    TooFew {
        /// How many different ones are there.
        given: usize,
        /// How many are needed.
        threshold: u8,
    },
    /// The shares are of different secrets.
    #[error(
        "the shares are of different sets ({0:04x} and {1:04x}); use shares of one hand-out only"
    )]
    Mixed(u16, u16),
    /// They do not give the secret.
    #[error("the shares do not give a secret: one of them is wrong; check each against its paper")]
    Wrong,
    /// A test of the new shares failed.
    #[error(
        "the new shares failed their test (combination {0}); nothing was handed out, report this"
    )]
    Untrue(String),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl Share {
    /// The number of the share in its set, from 1.
    pub fn number(&self) -> u8 {
        self.x
    }

    /// Which hand-out it belongs to; says nothing about the secret.
    pub fn set(&self) -> u16 {
        self.set
    }

    /// How many shares are needed.
    pub fn threshold(&self) -> u8 {
        self.threshold
    }

    /// Whether it is the same share, compared in a time that depends on the length alone.
    pub fn is(&self, other: &Self) -> bool {
        let same = self.set == other.set && self.threshold == other.threshold && self.x == other.x;
        same && Secret::new(self.y.to_vec()).ct_eq(&other.y)
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Share({:04x} number {} of threshold {})", self.set, self.x, self.threshold)
    }
}

/// Splits `secret` into `count` shares, any `threshold` of which give it back, and tries every
/// combination of `threshold` shares before it returns.
pub fn split(
    secret: &Secret,
    threshold: u8,
    count: u8,
    random: &dyn Random,
) -> Result<Vec<Share>, ShareError> {
    if !(2..=count).contains(&threshold) || count > MAX_SHARES {
        return Err(ShareError::Numbers { threshold, count });
    }
    if secret.is_empty() || secret.len() > MAX_SECRET {
        return Err(ShareError::Length(secret.len()));
    }
    let set = u16::from_be_bytes(random::bytes(random)?);
    let mut message = Zeroizing::new(secret.expose().to_vec());
    message.extend_from_slice(&check(set, secret.expose()));
    let share =
        |x| Share { set, threshold, x, y: Zeroizing::new(Vec::with_capacity(message.len())) };
    let mut shares: Vec<Share> = (1..=count).map(share).collect();
    let mut polynomial = Zeroizing::new(vec![0; usize::from(threshold)]);
    for byte in message.iter() {
        random.fill(&mut polynomial[1..])?;
        polynomial[0] = *byte;
        for share in &mut shares {
            let value = polynomial.iter().rev().fold(0, |sum, c| multiply(sum, share.x) ^ c);
            share.y.push(value);
        }
    }
    test_all(&shares, secret)?;
    Ok(shares)
}

/// The secret of `shares`; shares that are given twice count once.
pub fn combine(shares: &[Share]) -> Result<Secret, ShareError> {
    let mut used: Vec<&Share> = Vec::new();
    for share in shares {
        match used.iter().find(|u| u.x == share.x) {
            Some(same) if !same.is(share) => return Err(ShareError::Wrong),
            Some(_) => {}
            None => used.push(share),
        }
    }
    let Some(first) = used.first() else {
        return Err(ShareError::TooFew { given: 0, threshold: 2 });
    };
    let (set, threshold, len) = (first.set, first.threshold, first.y.len());
    if let Some(other) = used.iter().find(|s| s.set != set) {
        return Err(ShareError::Mixed(set, other.set));
    }
    if used.len() < usize::from(threshold) {
        return Err(ShareError::TooFew { given: used.len(), threshold });
    }
    if len <= CHECK || used.iter().any(|s| s.y.len() != len || s.threshold != threshold) {
        return Err(ShareError::Wrong);
    }
    let mut message = Zeroizing::new(vec![0; len]);
    for (i, share) in used.iter().enumerate() {
        // Lagrange's basis polynomial at zero.
        let others = used.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, other)| other.x);
        let weight = others.fold(1, |w, x| multiply(w, multiply(x, inverse(x ^ share.x))));
        for (sum, y) in message.iter_mut().zip(share.y.iter()) {
            *sum ^= multiply(weight, *y);
        }
    }
    let (secret, found) = message.split_at(len - CHECK);
    if Secret::new(check(set, secret).to_vec()).ct_eq(found) {
        Ok(Secret::new(secret.to_vec()))
    } else {
        Err(ShareError::Wrong)
    }
}

/// Every combination of threshold shares gives the secret; one share fewer is refused.
fn test_all(shares: &[Share], secret: &Secret) -> Result<(), ShareError> {
    let threshold = shares.first().map_or(0, |s| u32::from(s.threshold));
    for mask in (0u32..1 << shares.len()).filter(|m| m.count_ones() == threshold) {
        let chosen = shares.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1);
        let chosen: Vec<Share> = chosen.map(|(_, s)| s.clone()).collect();
        let numbers = || chosen.iter().map(|s| s.x.to_string()).collect::<Vec<_>>().join("+");
        if !combine(&chosen).is_ok_and(|found| found.ct_eq(secret.expose())) {
            return Err(ShareError::Untrue(numbers()));
        }
        if combine(&chosen[1..]).is_ok() {
            return Err(ShareError::Untrue(numbers()));
        }
    }
    Ok(())
}

/// What tells a wrong secret; itself shared, so that it says nothing to fewer than threshold people.
fn check(set: u16, secret: &[u8]) -> [u8; CHECK] {
    let mut hash = Sha256::new();
    hash.update(b"chancery share check\0");
    hash.update(&set.to_be_bytes());
    hash.update(secret);
    let mut digest = hash.finish();
    let out = [digest[0], digest[1], digest[2], digest[3]];
    digest.zeroize();
    out
}

/// Multiplication without tables or branches on secret values.
fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    for _ in 0..8 {
        product ^= a & 0u8.wrapping_sub(b & 1);
        let carry = 0u8.wrapping_sub(a >> 7);
        a = a << 1 ^ (0x1b & carry);
        b >>= 1;
    }
    product
}

/// The inverse, a to the power of 254.
fn inverse(a: u8) -> u8 {
    (0..253).fold(a, |power, _| multiply(power, a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use proptest::prelude::*;

    #[test]
    fn the_field_is_that_of_aes() {
        // FIPS 197 section 4.2 and the inverse behind its S-box entry for 53.
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert_eq!(multiply(0x57, 0x13), 0xfe);
        assert_eq!(inverse(0x53), 0xca);
        assert!((1..=255).all(|a| multiply(a, inverse(a)) == 1));
    }

    #[test]
    fn a_vector_by_hand() {
        // The polynomial 42 + 05 x over AES's field: f(1) = 47, f(2) = 48, f(3) = 4d.
        let at = |x| 0x42 ^ multiply(5, x);
        assert_eq!([at(1), at(2), at(3)], [0x47, 0x48, 0x4d]);
        let weight = |x: u8, other: u8| multiply(other, inverse(other ^ x));
        assert_eq!(multiply(weight(1, 3), at(1)) ^ multiply(weight(3, 1), at(3)), 0x42);
    }

    #[test]
    fn refuses_senseless_numbers() {
        let secret = Secret::new(vec![1]);
        for (threshold, count) in [(1, 3), (4, 3), (0, 0), (2, 17)] {
            let made = split(&secret, threshold, count, &SystemRandom);
            assert!(matches!(made, Err(ShareError::Numbers { .. })), "{threshold} of {count}");
        }
        assert!(split(&Secret::new(vec![]), 2, 3, &SystemRandom).is_err());
    }

    #[test]
    fn mixed_and_missing_shares_are_told() {
        let secret = Secret::new(b"0123456789".to_vec());
        let a = split(&secret, 2, 3, &SystemRandom).unwrap();
        let mut b = split(&secret, 2, 3, &SystemRandom).unwrap();
        b[1].set = a[0].set ^ 1;
        let mixed = combine(&[a[0].clone(), b[1].clone()]);
        assert!(matches!(mixed, Err(ShareError::Mixed(..))));
        b[1].set = a[0].set;
        assert!(matches!(combine(&[a[0].clone(), b[1].clone()]), Err(ShareError::Wrong)));
        assert!(matches!(combine(&[a[0].clone(), a[0].clone()]), Err(ShareError::TooFew { .. })));
    }

    #[test]
    fn debug_shows_no_share() {
        let shares = split(&Secret::new(b"secret".to_vec()), 2, 2, &SystemRandom).unwrap();
        let expected = format!("Share({:04x} number 1 of threshold 2)", shares[0].set);
        assert_eq!(format!("{:?}", shares[0]), expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn any_secret_returns(secret in proptest::collection::vec(any::<u8>(), 1..40), threshold in 2u8..6, more in 0u8..4) {
            let shares = split(&Secret::new(secret.clone()), threshold, threshold + more, &SystemRandom).unwrap();
            let last = &shares[shares.len() - usize::from(threshold)..];
            prop_assert!(combine(last).unwrap().ct_eq(&secret));
        }
    }
}
