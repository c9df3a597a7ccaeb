//! Keys of test devices. A test of a thousand distinct RSA keys would spend minutes making them: theirs
//! are products of few primes, each pair once. They are worthless by design.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Rsa, RsaPrivateKeyBuilder};

use crate::error::Result;

/// A private key, RSA or EC.
pub type Key = PKey<Private>;

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A fresh RSA key of `bits`, made now.
pub fn fresh_rsa(bits: u32) -> Result<Key> {
    Ok(PKey::from_rsa(Rsa::generate(bits)?)?)
}

/// A fresh EC key on `curve`.
pub fn fresh_ec(curve: Nid) -> Result<Key> {
    let group = EcGroup::from_curve_name(curve)?;
    Ok(PKey::from_ec_key(EcKey::generate(&group)?)?)
}

/// An RSA-2048 key that nothing else in this process has had.
pub fn rsa() -> Result<Key> {
    pooled(2048, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// `count` RSA-2048 keys that nothing else in this process has had.
pub fn many_rsa(count: usize) -> Result<Vec<Key>> {
    let first = NEXT.fetch_add(count, Ordering::Relaxed);
    (first..first + count).map(|index| pooled(2048, index)).collect()
}

/// This process's key number `index` of `bits`; it shares each of its primes with others.
pub fn pooled(bits: u32, index: usize) -> Result<Key> {
    // The pairs in order: (0, 1), (0, 2), (1, 2), (0, 3), …
    let mut second = 1;
    while second * (second + 1) / 2 <= index {
        second += 1;
    }
    let first = index - second * (second - 1) / 2;
    static PRIMES: Mutex<BTreeMap<u32, Vec<BigNum>>> = Mutex::new(BTreeMap::new());
    let mut primes = PRIMES.lock().unwrap_or_else(PoisonError::into_inner);
    let primes = primes.entry(bits).or_default();
    while primes.len() <= second {
        primes.push(prime(bits / 2)?);
    }
    product(&primes[first], &primes[second])
}

/// The public exponent of every key here.
const EXPONENT: u32 = 65537;

/// A prime with its two highest bits set, of which a key with [`EXPONENT`] can be made.
fn prime(bits: u32) -> Result<BigNum> {
    loop {
        let mut prime = BigNum::new()?;
        prime.generate_prime(bits.cast_signed(), false, None, None)?;
        if prime.mod_word(EXPONENT)? != 1 {
            return Ok(prime);
        }
    }
}

/// The key of two primes (RFC 8017 section 3.2).
fn product(p: &BigNumRef, q: &BigNumRef) -> Result<Key> {
    let mut context = BigNumContext::new()?;
    let mut new = |of: &dyn Fn(&mut BigNum, &mut BigNumContext) -> Op| -> Result<BigNum> {
        let mut number = BigNum::new()?;
        of(&mut number, &mut context)?;
        Ok(number)
    };
    let one = BigNum::from_u32(1)?;
    let e = BigNum::from_u32(EXPONENT)?;
    let (p1, q1) = (new(&|r, _| r.checked_sub(p, &one))?, new(&|r, _| r.checked_sub(q, &one))?);
    let n = new(&|r, c| r.checked_mul(p, q, c))?;
    let phi = new(&|r, c| r.checked_mul(&p1, &q1, c))?;
    let d = new(&|r, c| r.mod_inverse(&e, &phi, c))?;
    let dp = new(&|r, c| r.nnmod(&d, &p1, c))?;
    let dq = new(&|r, c| r.nnmod(&d, &q1, c))?;
    let qi = new(&|r, c| r.mod_inverse(q, p, c))?;
    let key = RsaPrivateKeyBuilder::new(n, e, d)?
        .set_factors(p.to_owned()?, q.to_owned()?)?
        .set_crt_params(dp, dq, qi)?;
    Ok(PKey::from_rsa(key.build())?)
}

type Op = std::result::Result<(), openssl::error::ErrorStack>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooled_keys_are_right_and_distinct() {
        let spki = |k: &Key| k.public_key_to_der().unwrap();
        assert_eq!(spki(&pooled(2048, 1).unwrap()), spki(&pooled(2048, 1).unwrap()));
        let many = many_rsa(12).unwrap();
        assert!(many.iter().all(|k| k.bits() == 2048 && k.rsa().unwrap().check_key().unwrap()));
        let mut all: Vec<_> = many.iter().map(spki).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 12);
    }
}
