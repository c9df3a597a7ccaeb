//! The seal over PKCS#10 requests that the ledger keeps. A request can hold the endpoint's challenge
//! password, which must stand nowhere in clear (RFC 8894 section 7.3), and neither can it be cut out:
//! the request's own signature covers it. The same key seals the one-time challenges under which
//! requests may be encrypted.

use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};

use super::ChallengeMac;
use crate::random::{self, Random, RandomError};
use crate::secret::Secret;

/// The version of the sealed form, its first byte.
const VERSION: u8 = 1;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const REQUEST: &[u8] = b"chancery request v1";
const CHALLENGE: &[u8] = b"chancery one-time challenge v1";

/// The key of the seal; it comes from the HSM, a credential or the signer's state, and is in no backup of
/// the ledger.
#[derive(Clone, Debug)]
pub struct RequestSeal(Secret);

/// Why a request could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key has the wrong length.
    #[error(
        "the key of the seal has {0} bytes where 32 are needed; restore it from where it was kept"
    )]
    KeyLength(usize),
    /// No random nonce could be had.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// OpenSSL refused the cipher.
    #[error("a request could not be sealed: {0}")]
    Cipher(String),
    /// The sealed bytes are damaged, or another key sealed them.
    #[error(
        "what is sealed cannot be opened: the seal's key (seal_key, seal_credential or secrets/request-seal.key) is not the one that sealed it, or the entry is damaged"
    )]
    Sealed,
}

impl RequestSeal {
    /// What a key in a token derives the seal's key from.
    pub const CONTEXT: &[u8] = b"chancery request seal v1";

    /// Takes over a key of 32 bytes.
    pub fn new(key: Secret) -> Result<Self, SealError> {
        if key.len() == 32 { Ok(Self(key)) } else { Err(SealError::KeyLength(key.len())) }
    }

    /// AES-256-GCM: version, nonce, ciphertext, tag.
    pub fn seal(&self, request: &[u8], random: &dyn Random) -> Result<Vec<u8>, SealError> {
        self.sealed(REQUEST, request, random)
    }

    /// The request in DER.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        self.opened(REQUEST, sealed)
    }

    /// The same form for a one-time challenge, bound to its MAC.
    pub fn seal_challenge(
        &self,
        mac: &ChallengeMac,
        challenge: &Secret,
        random: &dyn Random,
    ) -> Result<Vec<u8>, SealError> {
        self.sealed(&[CHALLENGE, mac.as_bytes()].concat(), challenge.expose(), random)
    }

    /// The one-time challenge of that MAC.
    pub fn open_challenge(&self, mac: &ChallengeMac, sealed: &[u8]) -> Result<Secret, SealError> {
        self.opened(&[CHALLENGE, mac.as_bytes()].concat(), sealed).map(Secret::new)
    }

    fn sealed(
        &self,
        context: &[u8],
        content: &[u8],
        random: &dyn Random,
    ) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_LEN] = random::bytes(random)?;
        let mut tag = [0; TAG_LEN];
        let key = self.0.expose();
        let sealed =
            encrypt_aead(Cipher::aes_256_gcm(), key, Some(&nonce), context, content, &mut tag)
                .map_err(|e| SealError::Cipher(e.to_string()))?;
        Ok([&[VERSION], nonce.as_slice(), &sealed, &tag].concat())
    }

    fn opened(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let body = sealed.strip_prefix(&[VERSION]).ok_or(SealError::Sealed)?;
        let (nonce, body) = body.split_at_checked(NONCE_LEN).ok_or(SealError::Sealed)?;
        let at = body.len().checked_sub(TAG_LEN).ok_or(SealError::Sealed)?;
        let (content, tag) = body.split_at(at);
        let key = self.0.expose();
        decrypt_aead(Cipher::aes_256_gcm(), key, Some(nonce), context, content, tag)
            .map_err(|_| SealError::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    fn seal(byte: u8) -> RequestSeal {
        RequestSeal::new(Secret::new(vec![byte; 32])).unwrap()
    }

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let request = b"a request with a challenge";
        let sealed = seal(1).seal(request, &SystemRandom).unwrap();
        assert_eq!(seal(1).open(&sealed).unwrap(), request);
        assert!(!sealed.windows(9).any(|w| w == b"challenge"));
        assert!(seal(2).open(&sealed).is_err());
        for cut in 0..sealed.len() {
            assert!(seal(1).open(&sealed[..cut]).is_err());
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(seal(1).open(&changed).is_err());
        }
        assert_ne!(seal(1).seal(request, &SystemRandom).unwrap(), sealed);
        let [a, b] = ["00", "11"]
            .map(|digits| ChallengeMac::from_transaction_id(digits.repeat(32).as_bytes()).unwrap());
        let challenge = Secret::new(b"a challenge".to_vec());
        let sealed = seal(1).seal_challenge(&a, &challenge, &SystemRandom).unwrap();
        assert!(seal(1).open_challenge(&a, &sealed).unwrap().ct_eq(challenge.expose()));
        assert!(seal(1).open_challenge(&b, &sealed).is_err(), "another challenge's place");
        assert!(seal(1).open(&sealed).is_err() && seal(2).open_challenge(&a, &sealed).is_err());
        assert!(RequestSeal::new(Secret::new(vec![0; 16])).is_err());
    }
}
