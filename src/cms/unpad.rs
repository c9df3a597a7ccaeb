//! The padding of RSA key transport, taken off on the host after a raw RSA operation in the HSM, in
//! a time that depends on public lengths alone (RFC 8017 sections 7.1.2 and 7.2.2, RFC 3218).
//!
//! A defect is never reported: the caller gets a substitute key that it cannot tell from a real one
//! (implicit rejection, I7). The substitute comes from [`implicit_rejection`], so that the same
//! ciphertext always gives the same key; a random one would tell an attacker who sends it twice.
//!
//! By hand, because OpenSSL's decoders want the private key, and answer defects with errors.

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::pki::Digest;
use crate::secret::Secret;

/// The key of `key_len` bytes inside `em`, the whole RSAES-PKCS1-v1_5 block of the modulus's
/// length; `substitute`, which has `key_len` bytes, where any of it is wrong, the length of the key
/// included.
pub fn pkcs1_v15(em: &[u8], key_len: usize, substitute: &Secret) -> Secret {
    // 00 02, at least eight octets that are not zero, 00, the key. The length of the key is known,
    // so every octet's place is, and no search for the separator is needed.
    let Some(separator) = em.len().checked_sub(key_len + 1).filter(|at| *at >= 10) else {
        return substitute.clone();
    };
    let mut good = em[0].ct_eq(&0) & em[1].ct_eq(&2) & em[separator].ct_eq(&0);
    for octet in &em[2..separator] {
        good &= !octet.ct_eq(&0);
    }
    select(good, &em[separator + 1..], substitute)
}

/// The key of `key_len` bytes inside `em`, the whole RSAES-OAEP block of the modulus's length, with
/// `digest` for the label and for MGF1 and an empty label; `substitute`, which has `key_len` bytes,
/// where any of it is wrong. The error is OpenSSL's refusal of the digest, whatever `em` holds.
pub fn oaep(
    em: &[u8],
    digest: Digest,
    key_len: usize,
    substitute: &Secret,
) -> Result<Secret, ErrorStack> {
    let label = digest.hash(b"")?;
    let h = label.len();
    // 00, masked seed, masked (hash of the label, zeros, 01, the key): RFC 8017 section 7.1.1.
    let Some(separator) = em.len().checked_sub(h + 1 + key_len + 1).filter(|at| *at >= h) else {
        return Ok(substitute.clone());
    };
    let (masked_seed, masked_db) = em[1..].split_at(h);
    let mut seed = Zeroizing::new(masked_seed.to_vec());
    xor(&mut seed, &mgf1(masked_db, h, digest)?);
    let mut db = Zeroizing::new(masked_db.to_vec());
    xor(&mut db, &mgf1(&seed, masked_db.len(), digest)?);

    let mut good = em[0].ct_eq(&0) & db[..h].ct_eq(&label) & db[separator].ct_eq(&1);
    for octet in &db[h..separator] {
        good &= octet.ct_eq(&0);
    }
    Ok(select(good, &db[separator + 1..], substitute))
}

/// The substitute key for `ciphertext`: HMAC-SHA256 under a secret `key` of the signer, continued
/// in blocks where `key_len` is more than 32.
pub fn implicit_rejection(
    key: &Secret,
    ciphertext: &[u8],
    key_len: usize,
) -> Result<Secret, ErrorStack> {
    let hmac = PKey::hmac(key.expose())?;
    let mut out = Zeroizing::new(Vec::with_capacity(key_len + 32));
    let mut block = 0u32;
    while out.len() < key_len {
        let mut signer = Signer::new(Digest::Sha256.openssl(), &hmac)?;
        signer.update(ciphertext)?;
        if block > 0 {
            signer.update(&block.to_be_bytes())?;
        }
        out.extend_from_slice(&Zeroizing::new(signer.sign_to_vec()?));
        block += 1;
    }
    Ok(Secret::new(out[..key_len].to_vec()))
}

/// MGF1 (RFC 8017 appendix B.2.1): `len` octets of mask from `seed`.
pub(crate) fn mgf1(
    seed: &[u8],
    len: usize,
    digest: Digest,
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let mut mask = Zeroizing::new(Vec::with_capacity(len + digest.len()));
    let mut counter = 0u32;
    while mask.len() < len {
        let input = Zeroizing::new([seed, &counter.to_be_bytes()].concat());
        mask.extend_from_slice(&Zeroizing::new(digest.hash(&input)?));
        counter += 1;
    }
    mask.truncate(len);
    Ok(mask)
}

/// `into` with `mask` over it; the shorter length counts.
pub(crate) fn xor(into: &mut [u8], mask: &[u8]) {
    for (octet, mask) in into.iter_mut().zip(mask) {
        *octet ^= mask;
    }
}

/// `found` if `good`, else `substitute`, octet by octet. Both have the same length; were the
/// substitute shorter, zeros stand in, so that the length says nothing.
pub(super) fn select(good: Choice, found: &[u8], substitute: &Secret) -> Secret {
    let other = substitute.expose().iter().copied().chain(std::iter::repeat(0));
    let chosen = found.iter().zip(other).map(|(f, s)| u8::conditional_select(&s, f, good));
    Secret::new(chosen.collect())
}

#[cfg(test)]
mod tests;
